/* Two sets of coefficients: closed forms, what a common factor does, and simulated noise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/estimate/agreement.h"

#define NEAR(got, want, bound) do { double got_ = (got), want_ = (want); if (!(fabs(got_ - want_) <= (bound))) fail_msg(#got " = %.17g, expected %.17g", got_, want_); } while (0)

static void test_two_layers(void **state)
{
    (void)state;
    const double a[] = { 2, 3 }, b[] = { 1, 6 }, none[] = { 0, 0 };
    const int64_t weights[] = { 100, 300 };
    Agreement g = agreement_of(a, none, b, none, weights, 2);
    double p = log(2), q = log(0.5);
    assert_int_equal(g.n, 2);
    NEAR(g.scale, 5.0 / 7, 1e-15);
    NEAR(g.correlation, 1, 1e-12);
    NEAR(g.spread, fabs(p - q) / sqrt(2), 1e-12);
    NEAR(g.beyond, g.spread, 1e-12);
    NEAR(g.regret, (0.25 * exp(-p) + 0.75 * exp(-q)) * exp(0.25 * p + 0.75 * q) - 1, 1e-12);
    NEAR(g.noise, 0, 0);
}

/* The regret is what it says: bits by reverse water-filling on a, paid for by b. */
static void test_regret_is_that_of_allocation(void **state)
{
    (void)state;
    enum { N = 9 };
    double a[N], b[N], none[N] = { 0 }, weight = 0, log_a = 0, log_b = 0, loss = 0, best = 0;
    int64_t weights[N];
    for (int i = 0; i < N; i++) {
        a[i] = exp(3 * rng_uniform(1, rng_stream(RNG_TEST, 0, 0, 0), (uint64_t)i));
        b[i] = a[i] * exp(rng_uniform(1, rng_stream(RNG_TEST, 0, 0, 1), (uint64_t)i));
        weights[i] = 100 + 37 * i;
        weight += (double)weights[i], log_a += (double)weights[i] * log(a[i] / (double)weights[i]), log_b += (double)weights[i] * log(b[i] / (double)weights[i]);
    }
    for (int i = 0; i < N; i++) {       /* t_l^2 proportional to weights_l / a_l, at equal sums of weights x log t^2 */
        loss += b[i] * (double)weights[i] / a[i] * exp(log_a / weight);
        best += (double)weights[i] * exp(log_b / weight);
    }
    NEAR(agreement_of(a, none, b, none, weights, N).regret, loss / best - 1, 1e-12);
}

static void test_common_factor(void **state)
{
    (void)state;
    const double a[] = { 1, 2, 5, 9 }, b[] = { 3, 6, 15, 27 }, none[4] = { 0 };
    const int64_t weights[] = { 1, 2, 3, 4 };
    Agreement g = agreement_of(a, none, b, none, weights, 4);
    NEAR(g.scale, 1.0 / 3, 1e-15);
    NEAR(g.spread, 0, 1e-7);
    NEAR(g.regret, 0, 1e-12);
}

/* Independent noise of a known size: the spread is all noise, and so is the regret. */
static void test_noise_is_told(void **state)
{
    (void)state;
    enum { N = 2000 };
    double *a = malloc(sizeof *a * N), *b = malloc(sizeof *b * N), *a_se = malloc(sizeof *a_se * N), *b_se = malloc(sizeof *b_se * N);
    int64_t *weights = malloc(sizeof *weights * N);
    float z[2 * N];
    rng_normals(z, 2 * N, 3, rng_stream(RNG_TEST, 0, 0, 2), 0);
    for (int i = 0; i < N; i++) {
        double truth = exp(i % 7);
        a_se[i] = 0.06 * truth, b_se[i] = 0.08 * truth;
        a[i] = truth + a_se[i] * z[2 * i], b[i] = truth + b_se[i] * z[2 * i + 1];
        weights[i] = 1 + i % 3;
    }
    Agreement g = agreement_of(a, a_se, b, b_se, weights, N);
    NEAR(g.spread, 0.1, 0.005);
    NEAR(g.beyond, 0, 0.03);
    NEAR(g.noise, 0.005, 0.0003);
    NEAR(g.regret, g.noise, 0.0006);
    for (int i = 0; i < N; i++) a[i] *= exp(0.2 * (i % 2 ? 1 : -1)), a_se[i] *= exp(0.2 * (i % 2 ? 1 : -1));
    NEAR(agreement_of(a, a_se, b, b_se, weights, N).beyond, 0.2, 0.01);
    free(a), free(b), free(a_se), free(b_se), free(weights);
}

static void test_left_out(void **state)
{
    (void)state;
    const double a[] = { 1, -2, NAN, 4, 5 }, b[] = { 1, 2, 3, 4, 0 }, se[] = { 0.1, 0.1, 0.1, NAN, 0.1 };
    const int64_t weights[] = { 1, 1, 1, 1, 1 };
    Agreement g = agreement_of(a, se, b, se, weights, 5);
    assert_int_equal(g.n, 2);
    NEAR(g.scale, 1, 0);
    assert_true(isnan(g.beyond) && isnan(g.noise));
    assert_true(isnan(agreement_of(a, se, b, se, weights, 3).scale));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_layers), cmocka_unit_test(test_regret_is_that_of_allocation), cmocka_unit_test(test_common_factor),
        cmocka_unit_test(test_noise_is_told), cmocka_unit_test(test_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
