#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/perturb/perturbation.h"
#include "core/tests/codebook_levels.h"

static void check_levels(const double *expected, int n, double tolerance,
                         const char *quantizer, const char *bits, const char *group, const char *offset)
{
    double level[MOST_LEVELS];
    assert_int_equal(levels_seen(level, quantizer, bits, group, offset), n);
    for (int k = 0; k < n; k++) assert_true(fabs(level[k] - expected[k]) <= tolerance);
}

/* bitsandbytes has them in float32, NF4 from probabilities in float32; of AF4 for other blocks six digits are known, the last
 * one within 1. */
static void test_published_levels(void **state)
{
    (void)state;
    static const double nf4[] = { -1, -0.69619280, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0, 0.07958030, 0.16093020,
                                  0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1 };
    static const double af4[] = { -1, -0.69441008, -0.51243739, -0.37369510, -0.25607552, -0.14982478, -0.04934812, 0, 0.04273164, 0.12934483,
                                  0.21961274, 0.31675666, 0.42563882, 0.55496234, 0.72424863, 1 };
    static const double af4_32[] = { -1, -0.723801, -0.540687, -0.396399, -0.272358, -0.159568, -0.052588, 0, 0.045547, 0.137809, 0.233758, 0.336567,
                                     0.450845, 0.584378, 0.752991, 1 };
    static const double af4_128[] = { -1, -0.664953, -0.485896, -0.352940, -0.241392, -0.141099, -0.046455, 0, 0.040217, 0.121769, 0.206888, 0.298774,
                                      0.402385, 0.526978, 0.694961, 1 };
    static const double af4_256[] = { -1, -0.636302, -0.461416, -0.334195, -0.228264, -0.133337, -0.043887, 0, 0.037985, 0.115033, 0.195534, 0.282621,
                                      0.381242, 0.500920, 0.666074, 1 };
    check_levels(nf4, 16, 2e-7, "nf", "4", "64", NULL);
    check_levels(af4, 16, 2.3e-7, "af", "4", "64", NULL);
    check_levels(af4_32, 16, 1e-6, "af", "4", "32", NULL);
    check_levels(af4_128, 16, 1e-6, "af", "4", "128", NULL);
    check_levels(af4_256, 16, 1e-6, "af", "4", "256", NULL);
}

/* To the rounding of what came out to float32, half of 2^-24. */
static void test_computed_levels(void **state)
{
    (void)state;
    json_t *nf = golden_codebook("nf"), *af = golden_codebook("af"), *array;
    const char *name;
    double level[MOST_LEVELS];
    json_object_foreach(nf, name, array) {                 /* "fixed.b3" */
        char offset[6] = { 0 };
        memcpy(offset, name, 5);
        check_levels(level, numbers(level, MOST_LEVELS, array), 3.1e-8, "nf", name + 7, "64", offset);
    }
    json_object_foreach(af, name, array) {                 /* "b3.g1024" */
        const char bits[2] = { name[1], 0 };
        check_levels(level, numbers(level, MOST_LEVELS, array), 3.1e-8, "af", bits, name + 4, NULL);
    }
    json_decref(nf);
    json_decref(af);
}

/* Levels are found once and kept, whoever asks. */
static void test_levels_from_many_threads(void **state)
{
    (void)state;
    enum { THREADS = 4, N = 96 };
    float w[N], out[THREADS][N];
    int status[THREADS];
    rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
#pragma omp parallel for num_threads(THREADS) schedule(static, 1)
    for (int t = 0; t < THREADS; t++) {
        PerturbationError error;
        status[t] = quantize(out[t], &error, "af", w, 2, 48, "group", t % 2 ? "16" : "24", NULL);
    }
    for (int t = 0; t < THREADS; t++) assert_int_equal(status[t], OK);
    assert_memory_equal(out[0], out[2], sizeof out[0]);
    assert_memory_equal(out[1], out[3], sizeof out[1]);
    assert_memory_not_equal(out[0], out[1], sizeof out[0]);
}

/* ---- Gaussian weights ---- */

/* E ||w^ - w||^2 / E ||w||^2: the largest of a group is exact; given that it is m, the others are normal on [-m, m]. */
static double expected_t2(const double *level, int n, int block)
{
    enum { STEPS = 2000 };
    const double step = 0.01;
    double sum = 0, total = 0;
    for (double m = step; m < 9; m += step) {
        const double u = erf(m * M_SQRT1_2), density = pow(u, block - 1) * exp(-m * m / 2);
        double error = 0, width = 2 * m / STEPS;
        for (int i = 0; i < STEPS && density > 1e-12; i++) {
            const double z = -m + (i + 0.5) * width;
            double nearest = INFINITY;
            for (int k = 0; k < n; k++) nearest = fmin(nearest, fabs(z - m * level[k]));
            error += nearest * nearest * exp(-z * z / 2) * width;
        }
        sum += density * error / (sqrt(2 * M_PI) * u);
        total += density;
    }
    return (block - 1.0) / block * sum / total;
}

/* 2^20 weights: the standard error of t^2 is 0.2 % at most. */
static void test_gaussian_error(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    static float w[N], out[N];
    const char *const groups[] = { "64", "256" };
    double level[MOST_LEVELS];
    PerturbationError error;
    rng_normals(w, N, 8, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int q = 0; q < 2; q++)
        for (int g = 0; g < 2; g++)
            for (int b = 2; b <= 4; b++) {
                const char bits[2] = { (char)('0' + b), 0 };
                const int n = levels_seen(level, quantizers[q], bits, groups[g], NULL);
                const double expected = expected_t2(level, n, atoi(groups[g]));
                assert_int_equal(quantize(out, &error, quantizers[q], w, 1024, N / 1024, "bits", bits, "group", groups[g],
                                          "scale_bits", "64", NULL), OK);
                assert_true(fabs(error.t2 / expected - 1) <= 0.01);
            }
}

/* What AF is for: the mean of |w^ - w| / a in large groups, 0.0249 against NF's 0.0252 in groups of 1024. */
static void test_gaussian_absolute_error(void **state)
{
    (void)state;
    enum { GROUP = 1024, N = GROUP << 10 };
    static float w[N], out[N];
    PerturbationError error;
    double mean[2] = { 0 };
    rng_normals(w, N, 8, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int q = 0; q < 2; q++) {
        assert_int_equal(quantize(out, &error, quantizers[q], w, N / GROUP, GROUP, "group", "0", "scale_bits", "64", NULL), OK);
        for (int64_t first = 0; first < N; first += GROUP) {
            double largest = 0, sum = 0;
            for (int64_t i = first; i < first + GROUP; i++) largest = fmax(largest, fabsf(w[i])), sum += fabs((double)out[i] - w[i]);
            mean[q] += sum / largest / N;
        }
    }
    assert_true(fabs(mean[0] - 0.025245) < 1e-4 && fabs(mean[1] - 0.024893) < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_levels),
        cmocka_unit_test(test_computed_levels),
        cmocka_unit_test(test_levels_from_many_threads),
        cmocka_unit_test(test_gaussian_error),
        cmocka_unit_test(test_gaussian_absolute_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
