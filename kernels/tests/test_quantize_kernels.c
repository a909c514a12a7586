/*
 * test_quantize_kernels.c - rotation and grids against ref, identities, and the host's search
 */
#include "core/grid/nearest.h"
#include "kernels/tests/check.h"

static int64_t padded_to(int64_t cols, int group) { return (cols + group - 1) / group * group; }

static float *signs(int64_t n)
{
    float *sign = xmalloc(sizeof *sign * (unsigned long)n);
    rng_signs(sign, n, check_seed(), rng_stream(RNG_TEST, 1, 0, 0), 0);
    return sign;
}

/* ---- rotation ---- */

static float *run_hadamard(const Kernels *k, const float *x, const float *sign, int64_t rows, int64_t cols, int group, bool inverse, bool in_place)
{
    const int64_t padded = padded_to(cols, group), in = rows * (inverse ? padded : cols), out = rows * (inverse ? cols : padded);
    float *from = in_place ? output(k, x, in) : input(k, x, in), *d = sign ? input(k, sign, padded) : NULL;
    float *to = in_place ? from : output(k, NULL, out);
    k->hadamard(to, from, d, rows, cols, group, inverse);
    k->release(d);
    if (!in_place) k->release(from);
    return taken(k, "hadamard", to, out);
}

/* The same bits: sums in double in one order, rounded once. */
static void check_hadamard(int64_t rows, int64_t cols, int group, Fill how)
{
    const int64_t padded = padded_to(cols, group);
    float *sign = signs(padded), *x = filled(rows * padded, how);
    for (int inverse = 0; inverse < 2; inverse++)
        for (int with = 0; with < 2; with++) {
            const int64_t n = rows * (inverse ? cols : padded);
            float *want = run_hadamard(&kernels_ref, x, with ? sign : NULL, rows, cols, group, inverse, false);
            float *got = run_hadamard(check_kernels(), x, with ? sign : NULL, rows, cols, group, inverse, padded == cols && with);
            check_same("hadamard", got, want, n * (int64_t)sizeof *got);
            free(want);
            free(got);
        }
    free(sign);
    free(x);
}

static void test_hadamard(void **state)
{
    (void)state;
    static const int64_t widths[] = { 1, 31, 32, 33, 255, 257, 1024 };
    static const int groups[] = { 1, 2, 8, 32, 64, 128, 256, 1024, 2048 };
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) check_hadamard(3, widths[w], groups[g], FILL_OUTLIERS);
    for (Fill how = 0; how < FILLS; how++) check_hadamard(5, 192, 64, how);
    check_hadamard(2, 4096, 4096, FILL_NORMAL);
    check_hadamard(1, 8192, 8192, FILL_HUGE);
    check_hadamard(2, 16384, 16384, FILL_NORMAL);
    check_hadamard(3, 20000, 32768, FILL_OUTLIERS);
    check_hadamard(1, 70000, 65536, FILL_NORMAL);
    check_hadamard(0, 64, 64, FILL_NORMAL);
    check_done();
}

/* Norms stay and the inverse gives x back, to the rounding of the rotated numbers: half an epsilon of each, and of x itself. */
static void test_hadamard_is_a_rotation(void **state)
{
    (void)state;
    static const int groups[] = { 2, 64, 1024, 16384 };
    for (int g = 0; g < 4; g++) {
        const int64_t cols = 2 * groups[g];
        float *x = filled(cols, FILL_NORMAL), *sign = signs(cols);
        float *y = run_hadamard(check_kernels(), x, sign, 1, cols, groups[g], false, false);
        float *back = run_hadamard(check_kernels(), y, sign, 1, cols, groups[g], true, false);
        double norm = 0, rotated = 0, error = 0;
        for (int64_t i = 0; i < cols; i++) {
            norm += (double)x[i] * x[i];
            rotated += (double)y[i] * y[i];
            error += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
        }
        if (!(fabs(rotated - norm) <= FLT_EPSILON * norm)) check_complain("hadamard: norm^2 %.9g became %.9g", norm, rotated);
        if (!(error <= FLT_EPSILON * FLT_EPSILON * norm)) check_complain("hadamard: back with an error of %g", sqrt(error / norm));
        free(x);
        free(sign);
        free(y);
        free(back);
    }
    check_done();
}

/* The first unit vector becomes equal numbers. */
static void test_hadamard_spreads_a_weight(void **state)
{
    (void)state;
    float x[256] = { 16 }, want[256];
    for (int i = 0; i < 256; i++) want[i] = 1;
    float *got = run_hadamard(check_kernels(), x, NULL, 1, 256, 256, false, false);
    check_same("hadamard of a unit vector", got, want, sizeof want);
    free(got);
    check_done();
}

static void test_hadamard_shows_nan(void **state)
{
    (void)state;
    static const int groups[] = { 64, 16384 };
    for (int g = 0; g < 2; g++) {
        const int64_t cols = 2 * groups[g];
        float *x = filled(cols, FILL_NORMAL);
        x[groups[g] + 7] = NAN;
        float *want = run_hadamard(&kernels_ref, x, NULL, 1, cols, groups[g], false, false);
        float *got = run_hadamard(check_kernels(), x, NULL, 1, cols, groups[g], false, false);
        check_close("hadamard", got, want, NULL, cols, 0);
        check_nan("hadamard", got, want, cols);
        free(x);
        free(want);
        free(got);
    }
    check_done();
}

/* ---- grids ---- */

static float *run_encode(const Kernels *k, const float *x, const float *point, int64_t count, int n, int p)
{
    float *from = input(k, x, count * p), *grid = input(k, point, (int64_t)n * p), *code = output(k, NULL, count);
    k->grid_encode(code, from, grid, count, n, p);
    k->release(from);
    k->release(grid);
    return taken(k, "grid_encode", code, count);
}

static float *run_decode(const Kernels *k, const float *code, const float *point, const float *scale, int64_t count, int n, int p, int64_t group)
{
    float *from = input(k, code, count), *grid = input(k, point, (int64_t)n * p), *out = output(k, NULL, count * p);
    float *scales = input(k, scale, (count * p + group - 1) / group);
    k->grid_decode(out, from, grid, scales, count, p, group);
    k->release(from);
    k->release(grid);
    k->release(scales);
    return taken(k, "grid_decode", out, count * p);
}

/* Equal to the last bit, and to nearest_brute, the host's definition. */
static void check_grid(int64_t count, int n, int p)
{
    float *x = filled(count * p, FILL_OUTLIERS), *point = filled((int64_t)n * p, FILL_NORMAL), *scale = filled(count * p, FILL_NORMAL);
    if (n > 40)
        for (int j = 0; j < p; j++) point[33 * p + j] = point[5 * p + j];               /* a point twice */
    for (int64_t i = 0; i < count; i += 3)
        for (int j = 0; j < p; j++) x[i * p + j] = point[i % n * p + j];                /* points themselves */
    float *want = run_encode(&kernels_ref, x, point, count, n, p), *got = run_encode(check_kernels(), x, point, count, n, p);
    check_same("grid_encode", got, want, count * (int64_t)sizeof *got);
    uint16_t *brute = xmalloc(sizeof *brute * (unsigned long)(count + 1));
    nearest_brute(brute, point, n, p, x, count);
    for (int64_t i = 0; i < count; i++)
        if (!(got[i] == brute[i])) check_complain("grid_encode: p=%d n=%d: code %g, the host has %d", p, n, got[i], brute[i]);
    if (count) got[count / 2] = NAN;
    for (int group = 1; group < 200; group = 3 * group + 1) {
        float *values = run_decode(&kernels_ref, got, point, scale, count, n, p, group);
        float *mine = run_decode(check_kernels(), got, point, scale, count, n, p, group);
        check_close("grid_decode", mine, values, NULL, count * p, 0);
        if (count) check_nan("grid_decode", mine, values, count * p);
        free(values);
        free(mine);
    }
    free(brute);
    free(x);
    free(point);
    free(scale);
    free(want);
    free(got);
}

static void test_grids(void **state)
{
    (void)state;
    static const int64_t counts[] = { 0, 1, 31, 32, 33, 255, 257, 1025 };
    for (int p = 1; p <= 8; p++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) check_grid(counts[c], p % 2 ? 16 : 37, p);
    check_grid(100, 1, 1);
    check_grid(100, 2, 2);
    check_grid(300, 256, 2);
    check_grid(40, 4096, 1);
    check_grid(40, 4097, 1);
    check_grid(40, 4096, 2);
    check_grid(40, 4096, 5);
    check_done();
}

/* Between two points, and on a point that is there twice: the least index.  Nothing is nearest to NaN. */
static void test_grid_ties(void **state)
{
    (void)state;
    const float point[] = { 3, 1, -1, 1, -3 }, x[] = { 0, 2, 1, -2, 9, NAN, INFINITY }, want[] = { 1, 0, 1, 2, 0, NAN, NAN };
    float *got = run_encode(check_kernels(), x, point, 7, 5, 1);
    check_close("grid_encode, ties", got, want, NULL, 7, 0);
    check_nan("grid_encode, ties", got, want, 7);
    free(got);
    check_done();
}

int main(int argc, char **argv)
{
    (void)argc;
    check_start(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hadamard),
        cmocka_unit_test(test_hadamard_is_a_rotation),
        cmocka_unit_test(test_hadamard_spreads_a_weight),
        cmocka_unit_test(test_hadamard_shows_nan),
        cmocka_unit_test(test_grids),
        cmocka_unit_test(test_grid_ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
