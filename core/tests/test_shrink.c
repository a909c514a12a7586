/*
 * test_shrink.c - variance between units and shrinkage: closed forms, limits, and the error of simulated layers
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
#include "core/estimate/between.h"
#include "core/estimate/shrink.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

/* Two groups of three, equal s: tau2 = sum of squares / 4 - s^2. */
static void test_equal_errors(void **state)
{
    (void)state;
    const double x[6] = { 1, 2, 6, 10, 11, 15 }, s[6] = { 1.5, 1.5, 1.5, 1.5, 1.5, 1.5 };
    const int group[6] = { 0, 0, 0, 1, 1, 1 };
    double mean[6], se[6], tau2 = 28 / 4.0 - 2.25, own = tau2 / 7, group_variance = 7 / 3.0;
    ShrinkVariances got = shrink(mean, se, &(ShrinkProblem){ .n = 6, .n_groups = 2, .x = x, .s = s, .group = group });
    assert_true(near(got.tau2, tau2, 1e-12) && isnan(got.tau2_parent));
    for (int i = 0; i < 6; i++) {
        double centre = group[i] ? 12 : 3;
        assert_true(near(mean[i], own * x[i] + (1 - own) * centre, 1e-12));
        assert_true(near(se[i] * se[i], own * 2.25 + (1 - own) * (1 - own) * group_variance, 1e-12));
    }
    const double wide[6] = { 3, 3, 3, 3, 3, 3 };
    got = shrink(mean, se, &(ShrinkProblem){ .n = 6, .n_groups = 2, .x = x, .s = wide, .group = group });
    for (int i = 0; i < 6; i++) assert_true(got.tau2 == 0 && near(mean[i], group[i] ? 12 : 3, 1e-14) && near(se[i], sqrt(3), 1e-14));
}

/* Four groups of two under two parents: the same rule one floor up, and the whole against the normal posterior. */
static void test_groups_under_parents(void **state)
{
    (void)state;
    const double x[8] = { 0, 2, 4, 8, 20, 22, 23, 33 }, s[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    const int group[8] = { 0, 0, 1, 1, 2, 2, 3, 3 }, parent[4] = { 0, 0, 1, 1 };
    const double centre[4] = { 1, 6, 21, 28 }, top[4] = { 3.5, 3.5, 24.5, 24.5 };
    double mean[8], se[8], tau2 = (2 + 8 + 2 + 50) / 4.0 - 1, v = (tau2 + 1) / 2, tau2_parent = (12.5 + 24.5) / 2 - v;
    ShrinkVariances got = shrink(mean, se, &(ShrinkProblem){ 8, 4, 2, x, s, group, parent });
    assert_true(near(got.tau2, tau2, 1e-12) && near(got.tau2_parent, tau2_parent, 1e-12));
    double own = tau2 / (tau2 + 1), kept = tau2_parent / (v + tau2_parent);
    double group_variance = kept * v + (1 - kept) * (1 - kept) * (v + tau2_parent) / 2;
    for (int i = 0; i < 8; i++) {
        double m = kept * centre[group[i]] + (1 - kept) * top[group[i]];
        assert_true(near(mean[i], own * x[i] + (1 - own) * m, 1e-12));
        assert_true(near(se[i] * se[i], own + (1 - own) * (1 - own) * group_variance, 1e-12));
    }
}

/* sum (x - m)^2 / (s^2 + v) = n - 1 with unequal s, by the definition. */
static void test_moment_equation(void **state)
{
    (void)state;
    const double x[5] = { 1, 2, 6, 3, 9 }, s[5] = { 0.1, 1, 2, 0.5, 0 };
    const int group[5] = { 0 };
    double mean[5], se[5], sum = 0, total = 0, q = 0;
    double v = shrink(mean, se, &(ShrinkProblem){ .n = 5, .n_groups = 1, .x = x, .s = s, .group = group }).tau2;
    for (int i = 0; i < 5; i++) sum += x[i] / (s[i] * s[i] + v), total += 1 / (s[i] * s[i] + v);
    for (int i = 0; i < 5; i++) q += pow(x[i] - sum / total, 2) / (s[i] * s[i] + v);
    assert_true(near(q, 4, 1e-10) && mean[4] == 9 && se[4] == 0);
    assert_true(near(mean[2], (v * 6 + 4 * sum / total) / (4 + v), 1e-12));
}

static void test_limits(void **state)
{
    (void)state;
    const double x[5] = { 1, 2, 6, NAN, 3 }, tiny[5] = { 1e-9, 1e-9, 1e-9, 1, NAN }, exact[5] = { 0, 0, 0, 0, -1 }, mixed[5] = { 0, 1e3, 1e3, INFINITY, 1e3 };
    const int group[5] = { 0 };
    double mean[5], se[5];
    ShrinkVariances got = shrink(mean, se, &(ShrinkProblem){ .n = 5, .n_groups = 1, .x = x, .s = tiny, .group = group });
    for (int i = 0; i < 3; i++) assert_true(near(mean[i], x[i], 1e-12) && near(se[i], 1e-9, 1e-6));
    for (int i = 3; i < 5; i++) assert_true(near(mean[i], 3, 1e-12) && near(se[i], sqrt(got.tau2 * 4 / 3), 1e-9));
    assert_true(near(got.tau2, 7, 1e-12));
    got = shrink(mean, se, &(ShrinkProblem){ .n = 5, .n_groups = 1, .x = x, .s = exact, .group = group });
    assert_true(near(got.tau2, 7, 1e-12) && mean[1] == 2 && se[1] == 0 && near(mean[4], 3, 1e-12));
    got = shrink(mean, se, &(ShrinkProblem){ .n = 5, .n_groups = 1, .x = x, .s = mixed, .group = group });
    assert_true(got.tau2 == 0);
    for (int i = 0; i < 5; i++) assert_true(near(mean[i], 1, 1e-12) && se[i] < 1e-90);
}

static void test_what_nothing_is_known_of(void **state)
{
    (void)state;
    const double x[5] = { 4, NAN, 7, 1, 2 }, s[5] = { 1, 1, 2, INFINITY, NAN };
    const int single[5] = { 0, 1, 2, 3, 4 }, two[5] = { 0, 0, 0, 1, 1 }, apart[5] = { 0, 0, 1, 2, 2 };
    double mean[5], se[5];
    ShrinkVariances got = shrink(mean, se, &(ShrinkProblem){ .n = 5, .n_groups = 5, .x = x, .s = s, .group = single });
    assert_true(isnan(got.tau2) && mean[0] == 4 && se[0] == 1 && mean[2] == 7 && se[2] == 2);
    assert_true(isnan(mean[1]) && isinf(se[1]) && isnan(mean[3]) && isinf(se[3]) && isnan(mean[4]) && isinf(se[4]));
    got = shrink(mean, se, &(ShrinkProblem){ 5, 5, 2, x, s, single, two });             /* groups of one: the parent's rule alone */
    assert_true(isnan(got.tau2) && near(got.tau2_parent, 4.5 - 2.5, 1e-9) && near(mean[0], (2 * 4 + 1 * (4 / 3.0 + 7 / 6.0) / 0.5) / 3, 1e-9));
    assert_true(near(mean[1], (4 / 3.0 + 7 / 6.0) / 0.5, 1e-9) && near(se[1], sqrt(2 + 2), 1e-9) && isnan(mean[3]));
    got = shrink(mean, se, &(ShrinkProblem){ 5, 5, 3, x, s, single, apart });           /* no parent has two groups */
    assert_true(isnan(got.tau2_parent) && mean[0] == 4 && se[0] == 1 && mean[1] == 4 && isinf(se[1]) && mean[2] == 7);
}

static double hyperbola(double v, const void *data) { return *(const double *)data / (1 + v); }
static double not_a_number(double v, const void *data) { (void)data; return v * NAN; }

static void test_between(void **state)
{
    (void)state;
    const double large = 12, small = 2, none = 0;
    assert_true(near(between_variance(hyperbola, &large, 3), 3, 1e-12) && between_variance(hyperbola, &small, 3) == 0);
    assert_true(between_variance(hyperbola, &none, 3) == 0 && isnan(between_variance(hyperbola, &large, 0)) && isnan(between_variance(not_a_number, &large, 3)));
    assert_true(between_weight(2, 1) == 0.2 && between_weight(NAN, 1) == 0 && between_weight(-1, 1) == 0 && between_weight(INFINITY, 1) == 0);
    assert_true(between_weight(0, 0) > 1e100 && isfinite(between_weight(0, 0)) && isnan(between_weight(1, NAN)) == false);
}

/* ---- simulated layers: 7 types x 5 depths x 6 layers, standard errors from .05 to 1 ---- */

enum { GROUPS = 35, TYPES = 7, LAYERS = 210, RUNS = 300 };

typedef struct { double shrunk, raw, group, type, calibration, inside; } Errors;

/* Squared error of the precision-weighted mean of everything of the same kind. */
static void pooled(double *mean, const double *x, const double *s, int per_kind)
{
    for (int first = 0; first < LAYERS; first += per_kind) {
        double sum = 0, total = 0;
        for (int i = first; i < first + per_kind; i++) sum += x[i] / (s[i] * s[i]), total += 1 / (s[i] * s[i]);
        for (int i = first; i < first + per_kind; i++) mean[i] = sum / total;
    }
}

static Errors simulate(double tau, double tau_parent)
{
    Errors e = { 0 };
    int group[LAYERS], parent[GROUPS];
    for (int i = 0; i < LAYERS; i++) group[i] = i / 6;
    for (int g = 0; g < GROUPS; g++) parent[g] = g / 5;
    for (int run = 0; run < RUNS; run++) {
        float z[2 * LAYERS + GROUPS];
        double truth[LAYERS], x[LAYERS], s[LAYERS], mean[LAYERS], se[LAYERS], by_group[LAYERS], by_type[LAYERS];
        rng_normals(z, 2 * LAYERS + GROUPS, 31, rng_stream(RNG_TEST, 3, run, 0), 0);
        for (int i = 0; i < LAYERS; i++) {
            s[i] = 0.05 * pow(20, rng_uniform(31, rng_stream(RNG_TEST, 4, run, 0), (uint64_t)i));
            truth[i] = parent[group[i]] + tau_parent * z[2 * LAYERS + group[i]] + tau * z[i];
            x[i] = truth[i] + s[i] * z[LAYERS + i];
        }
        shrink(mean, se, &(ShrinkProblem){ LAYERS, GROUPS, TYPES, x, s, group, parent });
        pooled(by_group, x, s, 6);
        pooled(by_type, x, s, 30);
        for (int i = 0; i < LAYERS; i++) {
            const double one = 1.0 / LAYERS / RUNS, error = pow(mean[i] - truth[i], 2);
            e.shrunk += one * error, e.raw += one * pow(x[i] - truth[i], 2);
            e.group += one * pow(by_group[i] - truth[i], 2), e.type += one * pow(by_type[i] - truth[i], 2);
            e.calibration += one * error / (se[i] * se[i]), e.inside += one * (error <= pow(1.96 * se[i], 2));
        }
    }
    return e;
}

/* Without any spread the type's mean is the best there is, and the estimated tau2, at times above 0, errs on the safe side. */
static void test_error_and_calibration(void **state)
{
    (void)state;
    static const struct { double tau, parent; } cases[] = { { 0, 0 }, { 0, 0.5 }, { 0.2, 0 }, { 0.2, 0.5 }, { 1, 0.3 }, { 3, 3 } };
    for (int i = 0; i < 6; i++) {
        Errors e = simulate(cases[i].tau, cases[i].parent);
        print_message("tau %.1f, of groups %.1f: squared error %.4f; raw %.4f, group mean %.4f, type mean %.4f; (error / se)^2 %.3f, inside %.3f\n", cases[i].tau,
                      cases[i].parent, e.shrunk, e.raw, e.group, e.type, e.calibration, e.inside);
        assert_true(e.shrunk <= e.raw && e.shrunk <= 1.02 * e.group && e.shrunk <= e.type + 0.0005);
        assert_true(e.inside >= 0.935 && e.inside <= (cases[i].tau > 0 ? 0.96 : 0.98) && e.calibration <= 1.1 && e.calibration >= (cases[i].tau > 0 ? 0.95 : 0.6));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_errors), cmocka_unit_test(test_groups_under_parents), cmocka_unit_test(test_moment_equation),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_what_nothing_is_known_of), cmocka_unit_test(test_between), cmocka_unit_test(test_error_and_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
