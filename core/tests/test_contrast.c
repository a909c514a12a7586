/*
 * test_contrast.c - contrast errors and expected regret: against the full covariance and against simulated allocations
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/contrast.h"
#include "core/estimate/fit.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

enum { LAYERS = 12, WINDOWS = 16 };

static const int64_t TOKENS[WINDOWS] = { 255, 255, 255, 100, 255, 255, 30, 255, 255, 255, 200, 255, 255, 255, 255, 17 };
static const int64_t WEIGHTS[LAYERS] = { 1, 1, 4, 4, 10, 10, 10, 3, 3, 30, 1, 7 };

/* a_lw = truth_l x text of the window x text of the window for half of the layers x the layer's own noise. */
static void draw(double *a, double own, double text, int run)
{
    float z[LAYERS * WINDOWS + 2 * WINDOWS];
    rng_normals(z, LAYERS * WINDOWS + 2 * WINDOWS, 21, rng_stream(RNG_TEST, 1, run, 0), 0);
    for (int l = 0; l < LAYERS; l++)
        for (int w = 0; w < WINDOWS; w++) {
            double common = z[LAYERS * WINDOWS + w], half = l % 2 ? z[LAYERS * WINDOWS + WINDOWS + w] : 0;
            a[l * WINDOWS + w] = (1 + l) * (1 + text * common) * (1 + 0.1 * half) * (1 + own * (1 + l % 3) * z[l * WINDOWS + w]);
        }
}

static void test_covariance_of_means(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], mean, se, sum[WINDOWS];
    draw(a, 0.1, 0.2, 0);
    const double *x = a, *y = a + WINDOWS;
    weighted_mean(&mean, &se, x, TOKENS, WINDOWS);
    assert_true(near(covariance_of_means(x, x, TOKENS, WINDOWS), se * se, 1e-14));
    for (int w = 0; w < WINDOWS; w++) sum[w] = x[w] + y[w];
    double parts = covariance_of_means(x, x, TOKENS, WINDOWS) + 2 * covariance_of_means(x, y, TOKENS, WINDOWS) + covariance_of_means(y, y, TOKENS, WINDOWS);
    assert_true(near(covariance_of_means(sum, sum, TOKENS, WINDOWS), parts, 1e-12));
    const double p[3] = { 1, 2, 6 }, q[3] = { 2, 0, 1 };
    const int64_t one[3] = { 1, 1, 1 };
    assert_true(near(covariance_of_means(p, q, one, 3), (-2 * 1 + -1 * -1 + 3 * 0) * 1.5 / 9, 1e-14));
    assert_true(isnan(covariance_of_means(p, q, one, 1)));
}

static void test_regret_is_that_of_the_full_covariance(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], e[LAYERS * WINDOWS], se[LAYERS], total = 0, first = 0, second = 0, by_layer = 0;
    draw(a, 0.1, 0.3, 1);
    for (int l = 0; l < LAYERS; l++) {
        double mean, unused;
        weighted_mean(&mean, &unused, a + l * WINDOWS, TOKENS, WINDOWS);
        for (int w = 0; w < WINDOWS; w++) e[l * WINDOWS + w] = a[l * WINDOWS + w] / mean - 1;
        total += (double)WEIGHTS[l];
    }
    contrast_errors(se, a, TOKENS, WEIGHTS, LAYERS, WINDOWS);
    for (int l = 0; l < LAYERS; l++) {
        double own = covariance_of_means(e + l * WINDOWS, e + l * WINDOWS, TOKENS, WINDOWS), variance = own, share = (double)WEIGHTS[l] / total;
        first += share * own;
        by_layer += share * se[l] * se[l];
        for (int m = 0; m < LAYERS; m++) {
            double v = covariance_of_means(e + l * WINDOWS, e + m * WINDOWS, TOKENS, WINDOWS);
            second += share * (double)WEIGHTS[m] / total * v;
            variance -= 2 * (double)WEIGHTS[m] / total * v;
            for (int k = 0; k < LAYERS; k++)
                variance += (double)WEIGHTS[m] * (double)WEIGHTS[k] / total / total * covariance_of_means(e + m * WINDOWS, e + k * WINDOWS, TOKENS, WINDOWS);
        }
        assert_true(near(se[l] * se[l], variance, 1e-9));
    }
    double got = contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS);
    assert_true(near(got, (first - second) / 2, 1e-10) && near(got, by_layer / 2, 1e-14));
}

/* The cost of an allocation by estimates with errors eta: eq. 9 of the header, in full. */
static double cost(const double *a)
{
    double total = 0, inverse = 0, mean = 0;
    for (int l = 0; l < LAYERS; l++) total += (double)WEIGHTS[l];
    for (int l = 0; l < LAYERS; l++) {
        double estimate, unused;
        weighted_mean(&estimate, &unused, a + l * WINDOWS, TOKENS, WINDOWS);
        double eta = log(estimate / (1 + l)), share = (double)WEIGHTS[l] / total;
        inverse += share * exp(-eta);
        mean += share * eta;
    }
    return inverse * exp(mean) - 1;
}

static void test_expected_regret_by_simulation(void **state)
{
    (void)state;
    enum { RUNS = 4000 };
    static const struct { double own, text; } cases[] = { { 0.05, 0 }, { 0.1, 0 }, { 0.1, 0.3 } };
    double a[LAYERS * WINDOWS];
    for (int i = 0; i < 3; i++) {
        double real = 0, expected = 0;
        for (int run = 0; run < RUNS; run++) {
            draw(a, cases[i].own, cases[i].text, run);
            real += cost(a) / RUNS;
            expected += contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS) / RUNS;
        }
        print_message("noise %.2f, text %.2f: regret %.3e, expected %.3e\n", cases[i].own, cases[i].text, real, expected);
        assert_true(near(expected, real, 0.05));
    }
}

/* What all layers have in common costs nothing, whatever each window does. */
static void test_common_scale_is_free(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], se[LAYERS];
    draw(a, 0, 0.4, 3);
    for (int l = 0; l < LAYERS; l++)
        for (int w = 0; w < WINDOWS; w++) a[l * WINDOWS + w] = (1 + l) * a[w];
    assert_true(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS) < 1e-30);
    draw(a, 0.1, 0.1, 3);
    double regret = contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS);
    for (int i = 0; i < LAYERS * WINDOWS; i++) a[i] *= 1 + i / WINDOWS;
    assert_true(near(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS), regret, 1e-12));
    contrast_errors(se, a, TOKENS, WEIGHTS, 1, WINDOWS);
    assert_true(se[0] < 1e-15);
}

static void test_layers_without_a_logarithm(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], se[LAYERS], without[LAYERS];
    draw(a, 0.1, 0.1, 4);
    contrast_errors(without, a + WINDOWS, TOKENS, WEIGHTS + 1, LAYERS - 1, WINDOWS);
    for (int w = 0; w < WINDOWS; w++) a[w] = w % 2 ? 1 : -3;
    contrast_errors(se, a, TOKENS, WEIGHTS, LAYERS, WINDOWS);
    assert_true(isinf(se[0]) && near(se[5], without[4], 1e-12));
    assert_true(isinf(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS)));
    for (int w = 0; w < WINDOWS; w++) a[w] = 0;
    assert_true(isinf(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS)));
    a[2 * WINDOWS] = NAN;
    assert_true(isnan(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS)));
    a[2 * WINDOWS] = INFINITY;
    contrast_errors(se, a, TOKENS, WEIGHTS, LAYERS, WINDOWS);
    assert_true(isinf(se[0]) && isnan(se[2]) && isfinite(se[5]) && isnan(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, WINDOWS)));
    contrast_errors(se, a, TOKENS, WEIGHTS, LAYERS, 1);
    for (int l = 0; l < LAYERS; l++) assert_true(isnan(se[l]));
    assert_true(isnan(contrast_regret(a, TOKENS, WEIGHTS, LAYERS, 1)));
}

static void test_windows_for_a_regret(void **state)
{
    (void)state;
    assert_true(contrast_windows(0.02, 4, 0.01) == 8 && contrast_windows(0.021, 4, 0.01) == 9 && contrast_windows(0.001, 4, 0.01) == 1);
    assert_true(contrast_windows(0.1, 3, 0.1) == 3 && contrast_windows(0.1 * 3, 1, 0.1) == 3 && contrast_windows(0, 3, 0.1) == 1);
    assert_true(isnan(contrast_windows(NAN, 4, 0.01)) && isnan(contrast_windows(0.1, 4, NAN)) && isnan(contrast_windows(0.1, 4, 0)));
    assert_true(isinf(contrast_windows(INFINITY, 4, 0.01)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covariance_of_means), cmocka_unit_test(test_regret_is_that_of_the_full_covariance),
        cmocka_unit_test(test_expected_regret_by_simulation), cmocka_unit_test(test_common_scale_is_free),
        cmocka_unit_test(test_layers_without_a_logarithm), cmocka_unit_test(test_windows_for_a_regret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
