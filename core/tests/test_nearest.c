/*
 * test_nearest.c - the search through cells gives the codes of the plain loop, bit for bit
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/grid/grid.h"
#include "core/grid/nearest.h"

/* Compares on count vectors z [count][p]; says which one differs. */
static void check_equal(const float *point, int n, int p, const float *z, int64_t count)
{
    Nearest *nearest = nearest_new(point, n, p);
    uint16_t *code = xmalloc((size_t)count * sizeof *code), *expected = xmalloc((size_t)count * sizeof *expected);
    memset(code, 0xff, (size_t)count * sizeof *code);
    nearest_codes(code, nearest, z, count);
    nearest_brute(expected, point, n, p, z, count);
    for (int64_t i = 0; i < count; i++) {
        if (code[i] != expected[i]) print_error("p=%d n=%d, vector %lld: %d, should be %d\n", p, n, (long long)i, code[i], expected[i]);
        assert_int_equal(code[i], expected[i]);
    }
    nearest_free(nearest);
    free(code);
    free(expected);
}

/* Normal vectors, as they come, far out and in the middle; about n_work distances in all. */
static void check_normals(const float *point, int n, int p, double n_work)
{
    int64_t count = (int64_t)fmin(1e6, n_work / n);
    float *z = xmalloc((size_t)(count * p) * sizeof *z);
    rng_normals(z, count * p, 11, rng_stream(RNG_TEST, p, 0, n), 0);
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < p; j++) z[i * p + j] *= i % 50 == 0 ? 4 : i % 50 == 1 ? 1e-3f : 1;
    check_equal(point, n, p, z, count);
    free(z);
}

/* Where distances tie or nearly do: the points themselves, middles of two, steps of an ulp from there. */
static void check_ties(const float *point, int n, int p)
{
    enum { KINDS = 4 };
    int64_t count = (int64_t)n * KINDS;
    float *z = xmalloc((size_t)(count * p) * sizeof *z);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < p; j++) {
            float a = point[i * p + j], b = point[(i + 1) % n * p + j];
            z[(KINDS * i + 0) * p + j] = a;
            z[(KINDS * i + 1) * p + j] = (a + b) / 2;
            z[(KINDS * i + 2) * p + j] = nextafterf((a + b) / 2, 9);
            z[(KINDS * i + 3) * p + j] = nextafterf((a + b) / 2, -9);
        }
    check_equal(point, n, p, z, count);
    free(z);
}

static void check_extremes(const float *point, int n, int p)
{
    static const float value[] = { 0, -0.0f, 1e-40f, 5, -5, 5.6f, 30, -1e3f, 1e10f, -1e18f, 1e19f, 3e38f, -FLT_MAX, INFINITY, -INFINITY, NAN, -NAN };
    enum { VALUES = sizeof value / sizeof *value };
    float z[VALUES * VALUES * NEAREST_DIMENSIONS];
    for (int a = 0; a < VALUES; a++)
        for (int b = 0; b < VALUES; b++)
            for (int j = 0; j < p; j++) z[(a * VALUES + b) * p + j] = value[j % 2 ? b : a];
    check_equal(point, n, p, z, VALUES * VALUES);
    uint16_t code;
    const float undefined[NEAREST_DIMENSIONS] = { NAN };
    Nearest *nearest = nearest_new(point, n, p);
    nearest_codes(&code, nearest, undefined, 1);
    assert_int_equal(code, 0);
    nearest_free(nearest);
}

static void check_grid(const Grid *grid, double n_work)
{
    check_normals(grid->point, grid->n, grid->p, n_work);
    check_ties(grid->point, grid->n, grid->p);
    check_extremes(grid->point, grid->n, grid->p);
}

static void test_grids_of_the_program(void **state)
{
    (void)state;
    static const int size[][2] = { { 1, 1 }, { 1, 2 }, { 1, 9 }, { 1, 16 }, { 1, 256 }, { 1, 4096 }, { 2, 16 }, { 2, 64 }, { 2, 88 }, { 2, 256 }, { 3, 256 },
                                   { 3, 830 }, { 3, 4096 }, { 4, 256 }, { 4, 4096 }, { 5, 1024 } };
    const Grid *grid;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        assert_int_equal(grid_find(&grid, size[i][0], size[i][1]), OK);
        check_grid(grid, 3e7);
    }
    assert_int_equal(grid_uniform(&grid, 256), OK);
    check_grid(grid, 3e7);
}

/* Points that are no grid: a lattice full of exact ties, all the same, far from 0, tiny, huge, random in any dimension. */
static void test_other_points(void **state)
{
    (void)state;
    enum { N = 625 };
    float point[N * NEAREST_DIMENSIONS], z[N * 4];
    for (int i = 0; i < N; i++)
        for (int j = 0, rest = i; j < 4; j++, rest /= 5) {
            point[4 * i + j] = (float)(rest % 5 - 2);
            z[4 * i + j] = point[4 * i + j] + 0.5f;
        }
    check_equal(point, N, 4, z, N);
    check_normals(point, N, 4, 1e7);
    static const float scale[] = { 0, 1e-30f, 1e-15f, 1e-6f, 1e6f, 1e15f }, shift[] = { 0, 100 };
    for (int s = 0; s < 6; s++)
        for (int k = 0; k < 2; k++)
            for (int p = 1; p <= NEAREST_DIMENSIONS; p++) {
                int n = p < 6 ? 100 : 40;
                rng_normals(point, n * p, 12, rng_stream(RNG_TEST, p, 1, s), 0);
                for (int i = 0; i < n * p; i++) point[i] = point[i] * scale[s] + shift[k];
                check_normals(point, n, p, 1e5);
                check_ties(point, n, p);
                check_extremes(point, n, p);
            }
}

/* Twins one ulp apart: which of them is nearer is for float32's rounding to say, however far from the middle between them. */
static void test_twins(void **state)
{
    (void)state;
    enum { N = 100 };
    float point[N * 4];
    for (int p = 1; p <= 4; p++) {
        rng_normals(point, N * p, 13, rng_stream(RNG_TEST, p, 2, 0), 0);
        for (int i = 1; i < N; i += 2)
            for (int j = 0; j < p; j++) point[i * p + j] = nextafterf(point[(i - 1) * p + j], i % 4 == 1 ? 9 : -9);
        check_normals(point, N, p, 1e6);
        check_ties(point, N, p);
    }
}

/* Points in their own order and in reverse: of equal ones the first counts. */
static void test_ties_go_to_the_lower_index(void **state)
{
    (void)state;
    enum { N = 24 };
    float point[2 * N];
    uint16_t code[2];
    for (int i = 0; i < N; i++) {
        point[2 * i] = (float)(i / 2 % 3);
        point[2 * i + 1] = (float)(i / 12);
    }
    const float z[4] = { 2, 1, 0.5f, 0.5f };
    Nearest *nearest = nearest_new(point, N, 2);
    nearest_codes(code, nearest, z, 2);
    nearest_free(nearest);
    assert_int_equal(code[0], 16);
    assert_int_equal(code[1], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grids_of_the_program),
        cmocka_unit_test(test_other_points),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_ties_go_to_the_lower_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
