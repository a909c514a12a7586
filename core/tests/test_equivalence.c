/*
 * test_equivalence.c - equivalence of ratios and regression of logarithms: closed forms, levels and coverage
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
#include "core/estimate/distribution.h"
#include "core/estimate/equivalence.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

/* Equal s: plain mean, sd / sqrt n, between^2 = sd^2 - s^2; p from tables of Student's t with 3 degrees of freedom. */
static void test_equal_errors(void **state)
{
    (void)state;
    const double y[4] = { 0.01, 0.03, -0.02, 0.06 }, s[4] = { 0.01, 0.01, 0.01, 0.01 }, wide[4] = { 1, 1, 1, 1 };
    const double variance = (1e-4 + 1e-4 + 16e-4 + 16e-4) / 3;
    Equivalence e = equivalence_test(y, s, 4, 1.1);
    assert_true(near(e.mean, 0.02, 1e-12) && near(e.se, sqrt(variance / 4), 1e-10) && near(e.between, sqrt(variance - 1e-4), 1e-10));
    e = equivalence_test(y, s, 4, exp(0.02 + 3.1824463 * sqrt(variance / 4)));
    assert_true(near(e.p, 0.025, 1e-6));
    e = equivalence_test(y, s, 4, exp(0.01));               /* the mean lies outside */
    assert_true(e.p > 0.5 && e.p < 1);
    e = equivalence_test(y, s, 4, exp(0.02));
    assert_true(near(e.p, 0.5, 1e-9));
    e = equivalence_test(y, wide, 4, 1.1);
    assert_true(e.between == 0 && near(e.se, 0.5, 1e-12) && e.p > 0.4);
    double minus[4];
    for (int i = 0; i < 4; i++) minus[i] = -y[i];
    Equivalence other = equivalence_test(minus, s, 4, 1.1);
    e = equivalence_test(y, s, 4, 1.1);
    assert_true(near(other.mean, -e.mean, 1e-12) && near(other.p, e.p, 1e-9));
}

static void test_unequal_errors(void **state)
{
    (void)state;
    const double y[3] = { 0.3, -0.1, 0.2 }, s[3] = { 0.1, 0.2, 0.4 };
    Equivalence e = equivalence_test(y, s, 3, 1.1);
    double total = 0, sum = 0, q = 0, v = e.between * e.between;
    for (int i = 0; i < 3; i++) total += 1 / (s[i] * s[i] + v), sum += y[i] / (s[i] * s[i] + v);
    for (int i = 0; i < 3; i++) q += pow(y[i] - sum / total, 2) / (s[i] * s[i] + v);
    assert_true(v > 0 && near(q, 2, 1e-9) && near(e.mean, sum / total, 1e-12) && near(e.se, 1 / sqrt(total), 1e-12));
}

static bool all_nan(LogRegression r)
{
    return isnan(r.slope) && isnan(r.slope_se) && isnan(r.intercept) && isnan(r.intercept_se) && isnan(r.centre) && isnan(r.offset) && isnan(r.offset_se) &&
           isnan(r.sd) && isnan(r.sd_se) && isnan(r.between);
}

static void test_nothing_to_tell(void **state)
{
    (void)state;
    const double y[3] = { 0.01, 0.02, 0.015 }, s[3] = { 0.01, 0.02, 0.01 }, x[3] = { 1, 2, 4 }, equal[3] = { -6.3, -6.3, -6.3 };
    Equivalence e = equivalence_test(y, s, 1, 1.1);
    assert_true(e.mean == 0.01 && isnan(e.se) && isnan(e.between) && isnan(e.p));
    static const double bad[] = { NAN, INFINITY, -1 };
    for (int i = 0; i < 3; i++) {
        const double t[3] = { 0.01, bad[i], 0.01 };
        e = equivalence_test(y, t, 3, 1.1);
        assert_true(isnan(e.mean) && isnan(e.p) && !(e.p < 0.05) && all_nan(equivalence_regression(y, x, t, 3)));
        if (i < 2) assert_true(isnan(equivalence_test(t, s, 3, 1.1).p) && all_nan(equivalence_regression(y, t, s, 3)) && all_nan(equivalence_regression(t, x, s, 3)));
    }
    assert_true(isnan(equivalence_test(y, s, 0, 1.1).mean) && all_nan(equivalence_regression(y, x, s, 2)) && all_nan(equivalence_regression(y, equal, s, 3)) && !isnan(equivalence_regression(y, x, s, 3).slope));
    const double exact[3] = { 0, 0.01, 0.01 }, zero[3] = { 0, 0, 0 };
    e = equivalence_test(y, exact, 3, 1.1);
    assert_true(isfinite(e.mean) && isfinite(e.se) && e.p < 0.05);
    e = equivalence_test(y, zero, 3, 1.1);
    assert_true(near(e.mean, 0.015, 1e-12) && near(e.between, 0.005, 1e-9) && near(e.se, 0.005 / sqrt(3), 1e-9));
}

static void test_share(void **state)
{
    enum { MANY = 1 << 20 };
    (void)state;
    const double y[6] = { 0.19, -0.19, 0.2, NAN, 0.1, 0 }, s[6] = { 0.1, 0.1, 0.1, 0.1, INFINITY, 0 };
    assert_true(near(equivalence_share(y, s, 6, MANY), 0.5, 1e-15) && isnan(equivalence_share(y, s, 0, MANY)));
    const double limit[2] = { 0.19599, 0.19601 };
    assert_true(equivalence_share(limit, s, 2, MANY) == 0.5);
    const double few[2] = { 0.23059, 0.23061 };         /* Student's t of 8 degrees of freedom */
    assert_true(equivalence_share(few, s, 2, 9) == 0.5);
}

/* Equal s: ordinary least squares. */
static void test_regression_by_hand(void **state)
{
    (void)state;
    const double x[4] = { -8, -7, -6, -3 }, y[4] = { -7.9, -7.1, -6.2, -2.8 }, s[4] = { 0.01, 0.01, 0.01, 0.01 };
    LogRegression r = equivalence_regression(y, x, s, 4);
    double sxy = -2 * -1.9 + -1 * -1.1 + 0 * -0.2 + 3 * 3.2, slope = sxy / 14, rss = 0;
    for (int i = 0; i < 4; i++) rss += pow(y[i] + 6 - slope * (x[i] + 6), 2);
    assert_true(near(r.slope, slope, 1e-12) && near(r.intercept, -6 + 6 * slope, 1e-9) && near(r.centre, -6, 1e-12) && fabs(r.offset) < 1e-12);
    assert_true(near(r.sd, sqrt(rss / 2), 1e-9) && near(r.sd_se, r.sd / 2, 1e-12) && near(r.between, sqrt(rss / 2 - 1e-4), 1e-9));
    assert_true(near(r.slope_se, r.sd / sqrt(14), 1e-9) && near(r.intercept_se, r.sd * sqrt(1 / 4.0 + 36 / 14.0), 1e-9) && near(r.offset_se, r.sd / 2, 1e-9));
    const double wide[4] = { 1, 1, 1, 1 };
    r = equivalence_regression(y, x, wide, 4);
    assert_true(r.between == 0 && near(r.slope_se, 1 / sqrt(14), 1e-12) && near(r.sd, sqrt(rss / 2), 1e-12));
}

/* ---- simulated layers: standard errors from .02 to .3, sd between layers tau ---- */

enum { MOST = 60, RUNS = 1500 };

static void draw(double *y, double *s, int n, double mean, double tau, int run)
{
    float z[2 * MOST];
    rng_normals(z, 2 * MOST, 61, rng_stream(RNG_TEST, 6, run, 0), 0);
    for (int i = 0; i < n; i++) {
        s[i] = 0.02 * pow(15, rng_uniform(61, rng_stream(RNG_TEST, 7, run, 0), (uint64_t)i));
        y[i] = mean + tau * z[i] + s[i] * z[MOST + i];
    }
}

/* At the margin itself equivalence may be claimed in 5 % of cases; inside it with power. */
static void test_levels_of_the_test(void **state)
{
    (void)state;
    static const struct { int n; double tau, most, power; } cases[] = { { 12, 0, 0.04, 0.9 }, { 12, 0.1, 0.075, 0.4 }, { 60, 0.1, 0.065, 0.95 }, { 4, 0.1, 0.085, 0 } };
    for (int c = 0; c < 4; c++) {
        double y[MOST], s[MOST], claimed = 0, power = 0, covered = 0, between = 0;
        for (int run = 0; run < RUNS; run++) {
            draw(y, s, cases[c].n, log(1.1), cases[c].tau, run);
            Equivalence e = equivalence_test(y, s, cases[c].n, 1.1);
            claimed += e.p < 0.05;
            covered += fabs(e.mean - log(1.1)) <= student_quantile(0.95, cases[c].n - 1) * e.se;
            between += e.between * e.between / RUNS;
            draw(y, s, cases[c].n, 0, cases[c].tau, run);
            power += equivalence_test(y, s, cases[c].n, 1.1).p < 0.05;
        }
        print_message("%2d layers, between %.1f (found %.3f): claimed at the margin %.1f %%, at 1 %.0f %%; intervals cover %.1f %%\n", cases[c].n, cases[c].tau,
                      sqrt(between), 100 * claimed / RUNS, 100 * power / RUNS, 100 * covered / RUNS);
        assert_true(claimed <= cases[c].most * RUNS && covered >= 0.92 * RUNS);
        assert_true(power > cases[c].power * RUNS);
    }
}

static void test_regression_covers(void **state)
{
    (void)state;
    enum { N = 36 };
    const double t = student_quantile(0.95, N - 2);
    double slope = 0, intercept = 0, offset = 0, between = 0;
    for (int run = 0; run < RUNS; run++) {
        double y[N], s[N], x[N];
        draw(y, s, N, 0.05, 0.1, run);
        for (int i = 0; i < N; i++) x[i] = -9 + i % 12 * 0.5, y[i] += 1.02 * x[i];
        LogRegression r = equivalence_regression(y, x, s, N);
        slope += fabs(r.slope - 1.02) <= t * r.slope_se;
        intercept += fabs(r.intercept - 0.05) <= t * r.intercept_se;
        offset += fabs(r.offset - 0.05 - 0.02 * r.centre) <= t * r.offset_se;
        between += r.between * r.between / RUNS;
    }
    print_message("regression of %d pairs: slope covered %.1f %%, intercept %.1f %%, offset %.1f %%, between %.3f\n", N, 100 * slope / RUNS, 100 * intercept / RUNS, 100 * offset / RUNS, sqrt(between));
    assert_true(slope >= 0.93 * RUNS && intercept >= 0.93 * RUNS && offset >= 0.93 * RUNS && slope <= 0.97 * RUNS && intercept <= 0.97 * RUNS && offset <= 0.97 * RUNS);
    assert_true(near(sqrt(between), 0.1, 0.05));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_errors), cmocka_unit_test(test_unequal_errors), cmocka_unit_test(test_nothing_to_tell), cmocka_unit_test(test_share),
        cmocka_unit_test(test_regression_by_hand), cmocka_unit_test(test_levels_of_the_test), cmocka_unit_test(test_regression_covers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
