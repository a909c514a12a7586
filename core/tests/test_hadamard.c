#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/quantize/hadamard.h"

/* H [n][n] as the recursion in hadamard.h builds it. */
static signed char *matrix(int64_t n)
{
    signed char *h = xmalloc((size_t)(n * n));
    h[0] = 1;
    for (int64_t m = 1; m < n; m *= 2)
        for (int64_t r = m - 1; r >= 0; r--)
            for (int64_t c = m - 1; c >= 0; c--) {
                const signed char x = h[r * n + c];
                h[r * n + c + m] = h[(r + m) * n + c] = x;
                h[(r + m) * n + c + m] = (signed char)-x;
            }
    return h;
}

enum { LONGEST = 2048 };

/* Small integers: every sum is exact, in any order. */
static void fill_integers(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (double)(rng_integer(3, rng_stream(RNG_TEST, 0, 0, 0), (uint64_t)i) % 2001) - 1000;
}

static void test_is_the_matrix(void **state)
{
    (void)state;
    static double x[LONGEST], y[LONGEST];
    for (int64_t n = 1; n <= LONGEST; n *= 2) {
        signed char *h = matrix(n);
        fill_integers(x, n);
        memcpy(y, x, sizeof y);
        hadamard_transform(y, n);
        for (int64_t r = 0; r < n; r++) {
            double sum = 0;
            for (int64_t c = 0; c < n; c++) sum += h[r * n + c] * x[c];
            assert_true(y[r] == sum);
        }
        free(h);
    }
}

static void test_is_its_own_inverse(void **state)
{
    (void)state;
    static double x[LONGEST], y[LONGEST];
    static float normal[LONGEST];
    rng_normals(normal, LONGEST, 4, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int64_t n = 1; n <= LONGEST; n *= 2) {
        double before = 0, after = 0;
        for (int64_t i = 0; i < n; i++) x[i] = y[i] = normal[i], before += x[i] * x[i];
        hadamard_transform(y, n);
        for (int64_t i = 0; i < n; i++) after += y[i] * y[i];
        assert_true(fabs(after - (double)n * before) <= 1e-13 * after);
        hadamard_transform(y, n);
        for (int64_t i = 0; i < n; i++) assert_true(fabs(y[i] - (double)n * x[i]) <= 1e-13 * (double)n);
    }
}

static void test_length_and_nothing_else(void **state)
{
    (void)state;
    double x[80];
    for (int64_t n = 1; n <= 64; n *= 2) {
        for (int i = 0; i < 80; i++) x[i] = 1;
        hadamard_transform(x + 3, n);                       /* of any alignment, and no other element */
        for (int i = 0; i < 80; i++) assert_true(x[i] == (i == 3 ? (double)n : i > 3 && i < 3 + n ? 0 : 1));
    }
}

static void test_groups(void **state)
{
    (void)state;
    const struct { int64_t wanted, cols, group; } cases[] = {
        { 0, 576, 64 }, { 0, 1536, 512 }, { 0, 1024, 1024 }, { 0, 4096, 1024 }, { 0, 64, 64 }, { 0, 575, 1 }, { 0, 18944, 512 },
        { 64, 1536, 64 }, { 128, 576, 128 }, { 1024, 576, 1024 }, { 1, 576, 1 }, { 4096, 4096, 4096 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t group = -1;
        assert_int_equal(hadamard_group(&group, cases[i].wanted, cases[i].cols), OK);
        assert_int_equal(group, cases[i].group);
    }
    int64_t group = -1;
    assert_int_equal(hadamard_group(&group, 48, 576), ERR_ARGUMENT);
    assert_string_equal(err_last(), "hadamard=48 is no power of two; the nearest are 32 and 64");
    assert_int_equal(hadamard_group(&group, 3, 576), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), " 2 and 4"));
    assert_int_equal(hadamard_group(&group, 1000, 576), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), " 512 and 1024"));
    assert_int_equal(group, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_the_matrix),
        cmocka_unit_test(test_is_its_own_inverse),
        cmocka_unit_test(test_length_and_nothing_else),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
