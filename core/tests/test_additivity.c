/*
 * test_additivity.c - the additive scale: closed forms, no root, and the coverage of its jackknife
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/rng.h"
#include "core/estimate/additivity.h"
#include "core/estimate/distribution.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

static double whole(const double *x, int n, double lambda)
{
    double sum = 0;
    for (int l = 0; l < n; l++) sum += lambda == 0 ? x[l] : expm1(lambda * x[l]) / lambda;
    return lambda == 0 ? sum : log1p(lambda * sum) / lambda;
}

static void test_recovers_lambda(void **state)
{
    (void)state;
    static const double lambdas[] = { -1.3, -0.75, -0.2, -1e-6, 0, 1e-6, 0.5, 1, 3, 40 };
    const double x[6] = { 0.1, 0.3, 0.02, 0.0, 0.2, 0.05 };
    for (int i = 0; i < 10; i++) assert_true(fabs(additivity_lambda(x, whole(x, 6, lambdas[i]), 6) - lambdas[i]) < 1e-9 * fmax(1, fabs(lambdas[i])));
    const double negative[3] = { 0.3, 0.4, -0.02 };
    for (int i = 0; i < 9; i++) assert_true(fabs(additivity_lambda(negative, whole(negative, 3, lambdas[i]), 3) - lambdas[i]) < 1e-9 * fmax(1, fabs(lambdas[i])));
    const double two[2] = { 1, 1 };                         /* 2 (1 - q) = 1 - q^3, q = (sqrt 5 - 1) / 2 */
    assert_true(near(additivity_lambda(two, 3, 2), log((sqrt(5) - 1) / 2), 1e-12));
    assert_true(near(additivity_lambda(two, log(2 * M_E - 1), 2), 1, 1e-12));              /* perplexities add */
    const double small[2] = { 1e-9, 1e-9 }, large[2] = { 1e3, 1e3 };
    assert_true(near(additivity_lambda(small, 3e-9, 2), 1e9 * log((sqrt(5) - 1) / 2), 1e-9));
    assert_true(near(additivity_lambda(large, 3e3, 2), 1e-3 * log((sqrt(5) - 1) / 2), 1e-12));
}

static void test_no_root(void **state)
{
    (void)state;
    const double x[2] = { 1, 2 }, one[1] = { 1 }, bad[2] = { 1, NAN }, endless[2] = { 1, INFINITY }, below[2] = { -1, -2 };
    assert_true(isnan(additivity_lambda(x, 2, 2)) && isnan(additivity_lambda(x, 1.5, 2)));    /* the whole below a part */
    assert_true(isnan(additivity_lambda(one, 2, 1)) && additivity_lambda(one, 1, 1) == 0);
    assert_true(isnan(additivity_lambda(x, 0, 2)) && isnan(additivity_lambda(below, -4, 2)) && isnan(additivity_lambda(x, NAN, 2)));
    assert_true(isnan(additivity_lambda(bad, 3, 2)) && isnan(additivity_lambda(endless, 3, 2)) && isnan(additivity_lambda(x, INFINITY, 2)));
}

static void test_jackknife_by_hand(void **state)
{
    (void)state;
    const double single[2 * 3] = { 1, 2, 3,  2, 1, 4 }, all[3] = { 4, 5, 9 };
    const int64_t tokens[3] = { 1, 2, 1 };
    const double pairs[3][3] = { { 7 / 3.0, 2, 19 / 3.0 }, { 2, 3, 6.5 }, { 5 / 3.0, 4 / 3.0, 14 / 3.0 } };
    double se, left[3], mean = 0, squares = 0;
    for (int w = 0; w < 3; w++) left[w] = additivity_lambda(pairs[w], pairs[w][2], 2), mean += left[w] / 3;
    for (int w = 0; w < 3; w++) squares += pow(left[w] - mean, 2);
    const double means[2] = { 2, 2 };
    double lambda = additivity_scale(&se, single, all, tokens, 2, 3);
    assert_true(near(lambda, additivity_lambda(means, 5.75, 2), 1e-12) && near(se, sqrt(squares * 2 / 3), 1e-9));
    assert_true(!isnan(additivity_scale(&se, single, all, tokens, 2, 1)) && isnan(se));
    const double fails[3] = { 4, 5, 1 };                    /* without the second window the whole is below a part */
    lambda = additivity_scale(&se, single, fails, tokens, 2, 3);
    assert_true(!isnan(lambda) && isnan(se));
}

static void test_interaction(void **state)
{
    (void)state;
    const double single[2 * 3] = { 1, 2, 3,  2, 1, 4 }, all[3] = { 4, 5, 9 }, exact[3] = { 6, 6, 14 };
    const int64_t tokens[3] = { 1, 2, 1 };
    double se, ratio = additivity_interaction(&se, single, all, tokens, 2, 3), r = 23 / 16.0;
    double squares = pow(4 - r * 3, 2) + 4 * pow(5 - r * 3, 2) + pow(9 - r * 7, 2);
    assert_true(near(ratio, r, 1e-14) && near(se, sqrt(squares * 1.5) / 16, 1e-12));
    assert_true(near(additivity_interaction(&se, single, exact, tokens, 2, 3), 2, 1e-14) && se < 1e-14);
    assert_true(!isnan(additivity_interaction(&se, single, all, tokens, 2, 1)) && isnan(se));
}

/* Windows share a factor of the text, layers have their own, and the whole has lambda -.75 in the mean. */
static void test_coverage(void **state)
{
    (void)state;
    enum { LAYERS = 20, WINDOWS = 16, RUNS = 1000 };
    double single[LAYERS * WINDOWS], all[WINDOWS], mean[LAYERS];
    int64_t tokens[WINDOWS];
    for (int w = 0; w < WINDOWS; w++) tokens[w] = w % 4 ? 255 : 200;
    for (int l = 0; l < LAYERS; l++) mean[l] = 0.002 * (1 + l);
    const double truth = -0.75, total = whole(mean, LAYERS, truth), t = student_quantile(0.95, WINDOWS - 1);
    double inside = 0, error = 0, variance = 0;
    for (int run = 0; run < RUNS; run++) {
        float z[(LAYERS + 2) * WINDOWS];
        rng_normals(z, (LAYERS + 2) * WINDOWS, 51, rng_stream(RNG_TEST, 5, run, 0), 0);
        for (int w = 0; w < WINDOWS; w++) {
            double text = exp(0.2 * z[w] - 0.02);
            all[w] = total * text * (1 + 0.05 * z[WINDOWS + w]);
            for (int l = 0; l < LAYERS; l++) single[l * WINDOWS + w] = mean[l] * text * (1 + 0.2 * z[(2 + l) * WINDOWS + w]);
        }
        double se, lambda = additivity_scale(&se, single, all, tokens, LAYERS, WINDOWS);
        inside += fabs(lambda - truth) <= t * se;
        error += pow(lambda - truth, 2) / RUNS;
        variance += se * se / RUNS;
    }
    print_message("lambda %.2f: error %.3f, jackknife %.3f, 95 %% intervals cover in %.1f %%\n", truth, sqrt(error), sqrt(variance), 100 * inside / RUNS);
    assert_true(inside >= 0.93 * RUNS && inside <= 0.97 * RUNS && near(variance, error, 0.15));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovers_lambda), cmocka_unit_test(test_no_root), cmocka_unit_test(test_jackknife_by_hand),
        cmocka_unit_test(test_interaction), cmocka_unit_test(test_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
