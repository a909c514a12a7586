/*
 * test_bootstrap.c - resampling and intervals: against scipy, against the definition, and by coverage
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/bootstrap.h"
#include "core/estimate/fit.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

static void test_quantile(void **state)
{
    (void)state;
    double x[5] = { 5, 1, 4, 2, 3 }, one[1] = { 7 }, bad[2] = { 1, NAN };
    assert_true(quantile(x, 5, 0) == 1 && quantile(x, 5, 1) == 5 && quantile(x, 5, 0.5) == 3);
    assert_true(near(quantile(x, 5, 0.1), 1.4, 1e-15) && quantile(one, 1, 0.3) == 7);
    assert_true(isnan(quantile(bad, 2, 0.5)) && isnan(quantile(x, 0, 0.5)) && isnan(quantile(x, 5, NAN)));
}

/* scipy.stats.bootstrap(method="BCa"), 10^6 resamples, of the mean and (paired) of the weighted mean. */
static void test_interval_agrees_with_scipy(void **state)
{
    (void)state;
    enum { N = 10, RESAMPLES = 100000 };
    static const double smooth[N] = { 0.31, 0.45, 0.52, 0.60, 0.77, 0.91, 1.20, 1.65, 2.40, 5.10 };
    static const double tied[N] = { 0, 0, 0, 1, 1, 1, 1, 2, 2, 5 };
    static const struct { const double *x; int weight[N]; double low, high, se; } scipy[] = {
        { smooth, { 100, 100, 100, 100, 100, 100, 100, 100, 100, 100 }, 0.807, 2.787, 0.4353 },
        { smooth, { 100, 255, 17, 80, 200, 33, 90, 150, 60, 10 }, 0.5955, 1.4405, 0.2210 },
        { tied,   { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 0.7, 2.6, 0.4486 },
    };
    double *replicate = xmalloc(RESAMPLES * sizeof *replicate), without[N], low, high;
    for (size_t i = 0; i < sizeof scipy / sizeof *scipy; i++) {
        const int *w = scipy[i].weight;
        const double *x = scipy[i].x;
        int count[N];
        double sum = 0, total = 0;
        for (int k = 0; k < N; k++) sum += w[k] * x[k], total += w[k];
        for (int k = 0; k < N; k++) without[k] = (sum - w[k] * x[k]) / (total - w[k]);
        for (int r = 0; r < RESAMPLES; r++) {
            double s = 0, t = 0;
            bootstrap_counts(count, N, r, 5);
            for (int k = 0; k < N; k++) s += count[k] * w[k] * x[k], t += count[k] * w[k];
            replicate[r] = s / t;
        }
        assert_true(near(bootstrap_se(replicate, RESAMPLES, N), scipy[i].se * sqrt(10 / 9.0), 0.01));
        bootstrap_interval(&low, &high, replicate, RESAMPLES, sum / total, without, N, 0.95);
        assert_true(near(low, scipy[i].low, 0.01) && near(high, scipy[i].high, 0.01));
    }
    free(replicate);
}

/* erf(t sqrt(n / (n-1)) / sqrt 2) with Student's t from tables. */
static void test_expanded_level(void **state)
{
    (void)state;
    static const struct { int n; double t; } table[] = { { 2, 12.706205 }, { 3, 4.302653 }, { 4, 3.182446 }, { 16, 2.131450 }, { 101, 1.983972 } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double expected = erf(table[i].t * sqrt(table[i].n / (table[i].n - 1.0)) / sqrt(2));
        assert_true(fabs(bootstrap_expanded_level(0.95, table[i].n) - expected) < 1e-7);
    }
    assert_true(fabs(bootstrap_expanded_level(0.95, 1000) - bootstrap_expanded_level(0.95, 1001)) < 1e-3);
}

static void test_intervals_cover(void **state)
{
    (void)state;
    enum { N = 16, RUNS = 400, RESAMPLES = 1000 };
    const double spread = 0.4, truth = 0.03 * exp(spread * spread / 2), t2[1] = { 1 };
    int64_t weight[N];
    int covered = 0;
    for (int k = 0; k < N; k++) weight[k] = 255;
    for (int run = 0; run < RUNS; run++) {
        float z[N];
        double y[N];
        rng_normals(z, N, 77, rng_stream(RNG_TEST, 0, run, 0), 0);
        for (int k = 0; k < N; k++) y[k] = 0.03 * exp(spread * z[k]);
        ResponseFit fit;
        assert_int_equal(fit_response(&fit, y, t2, weight, 1, N, RESAMPLES, (uint64_t)run), OK);
        covered += fit.a_low <= truth && truth <= fit.a_high;
    }
    print_message("95 %% intervals over 16 skewed windows covered in %.1f %% of %d runs\n", 100.0 * covered / RUNS, RUNS);
    assert_true(covered >= 0.90 * RUNS && covered <= 0.97 * RUNS);
}

/* Normal windows, few of them: the plain bootstrap covers half of the time with two. */
static void test_few_windows_cover(void **state)
{
    (void)state;
    enum { RUNS = 1000, MOST = 6 };
    const double t2[1] = { 1 };
    const int64_t weight[MOST] = { 255, 255, 255, 255, 255, 255 };
    for (int n = 2; n <= MOST; n++) {
        int covered = 0;
        for (int run = 0; run < RUNS; run++) {
            float z[MOST];
            double y[MOST];
            rng_normals(z, n, 78, rng_stream(RNG_TEST, n, run, 0), 0);
            for (int k = 0; k < n; k++) y[k] = 1 + 0.3 * (double)z[k];
            ResponseFit fit;
            assert_int_equal(fit_response(&fit, y, t2, weight, 1, n, 200, (uint64_t)run), OK);
            covered += fit.a_low <= 1 && 1 <= fit.a_high;
        }
        print_message("%d windows: 95 %% intervals covered in %.1f %% of %d runs\n", n, 100.0 * covered / RUNS, RUNS);
        assert_true(covered >= (n < 6 ? 0.93 : 0.90) * RUNS && covered <= 0.975 * RUNS);
    }
}

static void test_bootstrap_is_reproducible_and_shared(void **state)
{
    (void)state;
    enum { N = 7 };
    const int64_t weight[N] = { 1, 2, 3, 4, 5, 6, 7 };
    double y[N], twice[N];
    const double t2[1] = { 0.1 };
    for (int k = 0; k < N; k++) y[k] = k * k + 1, twice[k] = 2 * y[k];
    ResponseFit one, again, other, doubled;
    assert_int_equal(fit_response(&one, y, t2, weight, 1, N, 500, 9), OK);
    assert_int_equal(fit_response(&again, y, t2, weight, 1, N, 500, 9), OK);
    assert_int_equal(fit_response(&other, y, t2, weight, 1, N, 500, 10), OK);
    assert_int_equal(fit_response(&doubled, twice, t2, weight, 1, N, 500, 9), OK);
    assert_true(one.a_se == again.a_se && one.a_low == again.a_low && one.a_high == again.a_high);
    assert_true(one.a_se != other.a_se);
    assert_true(doubled.a_se == 2 * one.a_se && doubled.a_low == 2 * one.a_low);
    int count[N], total = 0;
    bootstrap_counts(count, N, 3, 9);
    for (int k = 0; k < N; k++) total += count[k];
    assert_int_equal(total, N);
}

/* fit_response's shortcut through the windows against the definition, resample by resample. */
static void test_interval_of_a_fit(void **state)
{
    (void)state;
    enum { N = 7, RESAMPLES = 300 };
    const int64_t weight[N] = { 1, 2, 3, 4, 5, 6, 7 };
    const double t2[2] = { 0.1, 0.2 };
    double y[2 * N], replicate[RESAMPLES], without[N], low, high;
    for (int k = 0; k < N; k++) y[k] = 0.1 * exp(0.5 * k), y[N + k] = 0.21 * exp(0.5 * k) + 0.01 * k;
    ResponseFit fit, part;
    assert_int_equal(fit_response(&fit, y, t2, weight, 2, N, RESAMPLES, 9), OK);
    for (int r = -N; r < RESAMPLES; r++) {
        int count[N], n = 0;
        int64_t taken[N];
        double z[2 * N];
        if (r >= 0) bootstrap_counts(count, N, r, 9);
        for (int k = 0; k < N; k++) {
            int times = r >= 0 ? count[k] : k != r + N;         /* below 0: without window r + N */
            if (times > 0) taken[n++] = times * weight[k];
        }
        for (int k = 0, m = 0; k < N; k++)
            if (r >= 0 ? count[k] : k != r + N) z[m] = y[k], z[n + m++] = y[N + k];
        assert_int_equal(fit_response(&part, z, t2, taken, 2, n, 0, 0), OK);
        *(r >= 0 ? &replicate[r] : &without[r + N]) = part.a;
    }
    bootstrap_interval(&low, &high, replicate, RESAMPLES, fit.a, without, N, bootstrap_expanded_level(0.95, N));
    assert_true(near(fit.a_low, low, 1e-12) && near(fit.a_high, high, 1e-12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_interval_agrees_with_scipy),
        cmocka_unit_test(test_expanded_level),
        cmocka_unit_test(test_intervals_cover),
        cmocka_unit_test(test_few_windows_cover),
        cmocka_unit_test(test_bootstrap_is_reproducible_and_shared),
        cmocka_unit_test(test_interval_of_a_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
