/*
 * test_fit.c - coefficients against closed forms
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/fit.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

static const double LEVELS[3] = { 0.003, 0.03, 0.1 };

static void test_weighted_mean_closed_forms(void **state)
{
    (void)state;
    const double x[4] = { 1, 2, 4, 9 };
    const int64_t equal[4] = { 7, 7, 7, 7 }, weights[4] = { 1, 2, 3, 4 };
    double mean, se;
    weighted_mean(&mean, &se, x, equal, 4);                 /* the textbook's s / sqrt(n) */
    assert_true(near(mean, 4, 1e-15) && near(se, sqrt(38 / 3.0 / 4), 1e-15));
    weighted_mean(&mean, &se, x, weights, 4);
    double m = 53 / 10.0, squares = pow(1 - m, 2) + 4 * pow(2 - m, 2) + 9 * pow(4 - m, 2) + 16 * pow(9 - m, 2);
    assert_true(near(mean, m, 1e-15) && near(se, sqrt(4 / 3.0 * squares) / 10, 1e-14));
    weighted_mean(&mean, &se, x, weights, 1);
    assert_true(mean == 1 && isnan(se));
}

/* y = t2 (a_k + b_k t2) + c_k t2^3 with window effects; token-weighted means of a_k, b_k come back. */
static void synthetic(double *y, double *a, double *b, const double *t2, const int64_t *weight, int n_levels, int n, double cubic)
{
    double total = 0;
    *a = *b = 0;
    for (int k = 0; k < n; k++) {
        double ak = 2 + 0.3 * k, bk = -1 + 0.1 * k * k;
        for (int j = 0; j < n_levels; j++) y[j * n + k] = t2[j] * (ak + bk * t2[j] + cubic * t2[j] * t2[j]);
        *a += (double)weight[k] * ak, *b += (double)weight[k] * bk, total += (double)weight[k];
    }
    *a /= total, *b /= total;
}

static void test_recovers_known_coefficients(void **state)
{
    (void)state;
    enum { N = 5 };
    const int64_t weight[N] = { 100, 255, 255, 17, 80 };
    double y[3 * N], a, b;
    ResponseFit fit;
    synthetic(y, &a, &b, LEVELS, weight, 3, N, 0);
    assert_int_equal(fit_response(&fit, y, LEVELS, weight, 3, N, 200, 1), OK);
    assert_true(near(fit.a, a, 1e-13) && near(fit.b, b, 1e-12) && fit.n_levels == 3);
    assert_true(fit.lack_of_fit < 1e-13);
    assert_true(near(fit.range5, 0.05 * a / fabs(b), 1e-12) && near(fit.range10, 0.1 * a / fabs(b), 1e-12));
    assert_true(fit.a_low < a && a < fit.a_high && fit.a_se > 0 && fit.b_se > 0);
}

static void test_lack_of_fit_is_the_largest_residual(void **state)
{
    (void)state;
    const int64_t weight[1] = { 10 };
    double y[3], z[3], a, b;
    synthetic(y, &a, &b, LEVELS, weight, 3, 1, 40);
    ResponseFit fit;
    assert_int_equal(fit_response(&fit, y, LEVELS, weight, 3, 1, 200, 1), OK);
    double largest = 0, mean_t = 0, mean_z = 0, tt = 0, tz = 0;
    for (int j = 0; j < 3; j++) z[j] = y[j] / LEVELS[j], mean_t += LEVELS[j] / 3, mean_z += z[j] / 3;
    for (int j = 0; j < 3; j++) tt += pow(LEVELS[j] - mean_t, 2), tz += (LEVELS[j] - mean_t) * (z[j] - mean_z);
    double slope = tz / tt, intercept = mean_z - slope * mean_t;
    for (int j = 0; j < 3; j++) largest = fmax(largest, fabs(z[j] - intercept - slope * LEVELS[j]));
    assert_true(near(fit.a, intercept, 1e-12) && near(fit.b, slope, 1e-12));
    assert_true(near(fit.lack_of_fit, largest / intercept, 1e-9));
    assert_true(isnan(fit.a_se) && isnan(fit.a_low) && isnan(fit.a_high) && isnan(fit.b_se));
}

static void test_one_level_and_repeated_levels(void **state)
{
    (void)state;
    const int64_t weight[2] = { 1, 3 };
    const double once[1] = { 0.1 }, thrice[3] = { 0.1, 0.1002, 0.0999 }, mixed[4] = { 0.05, 0.1, 0.1, 0.05 };
    double y[8];
    ResponseFit fit;
    y[0] = 0.2, y[1] = 0.6;
    assert_int_equal(fit_response(&fit, y, once, weight, 1, 2, 100, 1), OK);
    assert_true(near(fit.a, 5, 1e-14) && isnan(fit.b) && isnan(fit.b_se) && isnan(fit.range5) && isnan(fit.lack_of_fit));
    assert_true(fit.n_levels == 1 && fit.a_se > 0);

    for (int j = 0; j < 3; j++) y[2 * j] = thrice[j] * (2 + j), y[2 * j + 1] = thrice[j] * 6;
    assert_int_equal(fit_response(&fit, y, thrice, weight, 3, 2, 100, 1), OK);
    assert_true(near(fit.a, (3 + 3 * 6) / 4.0, 1e-14) && isnan(fit.b) && fit.n_levels == 1);

    for (int j = 0; j < 4; j++)
        for (int k = 0; k < 2; k++) y[2 * j + k] = mixed[j] * (3 + 7 * mixed[j] + (j < 2 ? 0.1 : -0.1));
    assert_int_equal(fit_response(&fit, y, mixed, weight, 4, 2, 100, 1), OK);
    assert_true(near(fit.a, 3, 1e-13) && near(fit.b, 7, 1e-12) && fit.n_levels == 2 && isnan(fit.lack_of_fit));
}

static void test_linear_response_has_infinite_range(void **state)
{
    (void)state;
    const int64_t weight[2] = { 1, 1 };
    const double t2[2] = { 0.25, 0.5 }, y[4] = { 0.25, 0.5, 0.5, 1 };
    ResponseFit fit;
    assert_int_equal(fit_response(&fit, y, t2, weight, 2, 2, 10, 1), OK);
    assert_true(fit.a == 1.5 && fit.b == 0 && isinf(fit.range5) && isinf(fit.range10));
}

static void test_constant_windows_have_no_spread(void **state)
{
    (void)state;
    enum { N = 6 };
    const int64_t weight[N] = { 1, 2, 3, 4, 5, 6 };
    const double t2[1] = { 0.5 };
    double y[N];
    for (int k = 0; k < N; k++) y[k] = 1;
    ResponseFit fit;
    assert_int_equal(fit_response(&fit, y, t2, weight, 1, N, 50, 1), OK);
    assert_true(fit.a == 2 && fit.a_se == 0 && fit.a_low == 2 && fit.a_high == 2);
}

static void test_se_agrees_with_weighted_mean(void **state)
{
    (void)state;
    enum { N = 16 };
    double y[N], x[N], mean, se;
    int64_t weight[N];
    for (uint64_t k = 0; k < N; k++) {
        weight[k] = 200 + (int64_t)(55 * rng_uniform(1, 1, k));
        x[k] = exp(0.5 * sqrt(-2 * log(rng_uniform(1, 2, k))));
        y[k] = 0.03 * x[k];
    }
    ResponseFit fit;
    const double t2[1] = { 0.03 };
    assert_int_equal(fit_response(&fit, y, t2, weight, 1, N, 20000, 3), OK);
    weighted_mean(&mean, &se, x, weight, N);
    assert_true(near(fit.a, mean, 1e-13) && near(fit.a_se, se, 0.02));
}

static void test_through_origin_closed_form(void **state)
{
    (void)state;
    enum { N = 3 };
    const int64_t weight[N] = { 1, 1, 2 };
    const double t2[2] = { 0.1, 0.2 }, clean[N] = { 1, 2, 3 };
    const double nll[2 * N] = { 1.1, 2.1, 3.1, 1.1, 2.4, 3.3 };
    double alpha, se, r2;
    assert_int_equal(fit_through_origin(&alpha, &se, &r2, nll, clean, t2, weight, 2, N, 400, 1), OK);
    double d1 = exp(9.4 / 4) - exp(9.0 / 4), d2 = exp(10.1 / 4) - exp(9.0 / 4);
    double expected = (d1 * 0.1 + d2 * 0.2) / 0.05, mean = (d1 + d2) / 2;
    double residual = pow(d1 - 0.1 * expected, 2) + pow(d2 - 0.2 * expected, 2);
    assert_true(near(alpha, expected, 1e-13));
    assert_true(near(r2, 1 - residual / (pow(d1 - mean, 2) + pow(d2 - mean, 2)), 1e-12));
    assert_true(se > 0 && se < alpha);
}

/* Where every window has the same clean loss, d = exp(clean) (exp(mean delta) - 1), and for small
 * deltas the standard error is that of a weighted mean. */
static void test_through_origin_se(void **state)
{
    (void)state;
    enum { N = 12 };
    int64_t weight[N];
    double clean[N], nll[2 * N], delta[N], mean, se, alpha, alpha_se, r2;
    const double t2[2] = { 1e-3, 2e-3 };
    for (int k = 0; k < N; k++) {
        weight[k] = 100 + k;
        clean[k] = 2;
        delta[k] = 1 + 0.2 * sin(k);
        for (int j = 0; j < 2; j++) nll[j * N + k] = 2 + 1e-3 * t2[j] * delta[k];
    }
    assert_int_equal(fit_through_origin(&alpha, &alpha_se, &r2, nll, clean, t2, weight, 2, N, 20000, 1), OK);
    weighted_mean(&mean, &se, delta, weight, N);
    assert_true(near(alpha, exp(2) * 1e-3 * mean, 1e-5) && near(alpha_se, exp(2) * 1e-3 * se, 0.02) && near(r2, 1, 1e-6));
}

static void test_failures_say_why(void **state)
{
    (void)state;
    const int64_t weight[2] = { 1, 1 }, none[2] = { 1, 0 };
    const double t2[1] = { 0.1 }, zero[1] = { 0 }, y[2] = { 1, 2 }, bad[2] = { 1, NAN };
    ResponseFit fit = { .a = -7 };
    double alpha = -7, se = -7, r2 = -7;
    assert_int_equal(fit_response(&fit, y, t2, weight, 0, 2, 10, 1), ERR_ARGUMENT);
    assert_int_equal(fit_response(&fit, y, t2, none, 1, 2, 10, 1), ERR_ARGUMENT);
    assert_string_equal(err_last(), "window 1 has 0 tokens");
    assert_int_equal(fit_response(&fit, y, zero, weight, 1, 2, 10, 1), ERR_ARGUMENT);
    assert_int_equal(fit_response(&fit, bad, t2, weight, 1, 2, 10, 1), ERR_ARGUMENT);
    assert_string_equal(err_last(), "the response at t2 = 0.1 in window 1 is nan");
    assert_int_equal(fit_through_origin(&alpha, &se, &r2, y, bad, t2, weight, 1, 2, 10, 1), ERR_ARGUMENT);
    assert_true(fit.a == -7 && alpha == -7 && se == -7 && r2 == -7);
    assert_int_equal(fit_response(&fit, y, t2, weight, 1, 2, 0, 1), OK);
    assert_true(isnan(fit.a_se) && isnan(fit.a_low) && fit.a == 15);
}

static void test_speed(void **state)
{
    (void)state;
    enum { LAYERS = 210, N = 16, RESAMPLES = 2000 };
    double y[3 * N], a, b;
    int64_t weight[N];
    for (int k = 0; k < N; k++) weight[k] = 255;
    synthetic(y, &a, &b, LEVELS, weight, 3, N, 1);
    clock_t start = clock();
    for (int layer = 0; layer < LAYERS; layer++) {
        ResponseFit fit;
        assert_int_equal(fit_response(&fit, y, LEVELS, weight, 3, N, RESAMPLES, 1), OK);
    }
    print_message("%d fits of %d windows with %d resamples: %.2f s\n", LAYERS, N, RESAMPLES, (double)(clock() - start) / CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weighted_mean_closed_forms),
        cmocka_unit_test(test_recovers_known_coefficients),
        cmocka_unit_test(test_lack_of_fit_is_the_largest_residual),
        cmocka_unit_test(test_one_level_and_repeated_levels),
        cmocka_unit_test(test_linear_response_has_infinite_range),
        cmocka_unit_test(test_constant_windows_have_no_spread),
        cmocka_unit_test(test_se_agrees_with_weighted_mean),
        cmocka_unit_test(test_through_origin_closed_form),
        cmocka_unit_test(test_through_origin_se),
        cmocka_unit_test(test_failures_say_why),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
