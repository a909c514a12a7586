/*
 * test_ladder.c - path integrals of slopes: exact where they must be, and near the loss that was measured
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/estimate/ladder.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

enum { MOST = 6 };
static const double NODES[MOST] = { 0, 0.0077, 0.0148, 0.0296, 0.0537, 0.1075 };

static double integral(const double *u, int n, LadderRule rule, double (*s)(double))
{
    double weight[64], sum = 0;
    assert_int_equal(ladder_weights(weight, u, n, rule), OK);
    for (int k = 0; k < n; k++) sum += weight[k] * s(u[k]);
    return sum;
}

static double one(double u) { (void)u; return 1; }
static double line(double u) { return 3 - 20 * u; }
static double saturating(double u) { return 1 + 0.8 * u / (u + 0.03); }
static double saturated(double u) { return u + 0.8 * (u - 0.03 * log1p(u / 0.03)); }

static void test_polynomials(void **state)
{
    (void)state;
    for (int n = 2; n <= MOST; n++) {
        const double u = NODES[n - 1];
        for (LadderRule rule = LADDER_LINEAR; rule <= LADDER_COMPOSITE; rule++) assert_true(near(integral(NODES, n, rule, one), u, 1e-14));
        assert_true(near(integral(NODES, n, LADDER_LINEAR, line), 3 * u, 1e-14));
        assert_true(near(integral(NODES, n, LADDER_TRAPEZOID, line), 3 * u - 10 * u * u, 1e-13));
        assert_true(near(integral(NODES, n, LADDER_COMPOSITE, line), 3 * u - 10 * u * u, 1e-13));
    }
}

static void test_weights(void **state)
{
    (void)state;
    const double u[3] = { 0, 1, 3 };                /* by hand: A = 1, D = (1, -3/2, 1/2), g = 9/24 */
    double weight[3];
    assert_int_equal(ladder_weights(weight, u, 3, LADDER_LINEAR), OK);
    assert_true(weight[0] == 3 && weight[1] == 0 && weight[2] == 0);
    assert_int_equal(ladder_weights(weight, u, 3, LADDER_TRAPEZOID), OK);
    assert_true(weight[0] == 1.5 && weight[1] == 0 && weight[2] == 1.5);
    assert_int_equal(ladder_weights(weight, u, 3, LADDER_COMPOSITE), OK);
    assert_true(near(weight[0], 0.5 - 0.375, 1e-15) && near(weight[1], 1.5 + 0.375 * 1.5, 1e-15) && near(weight[2], 1 - 0.375 * 0.5, 1e-15));
    assert_int_equal(ladder_weights(weight, u, 2, LADDER_COMPOSITE), OK);
    assert_true(weight[0] == 0.5 && weight[1] == 0.5);
}

/* a + b u + sum_j d_j (u - u_j)^3_+ is a natural spline where sum d_j = sum d_j u_j = 0: its integral must be exact. */
static void test_natural_splines_are_exact(void **state)
{
    (void)state;
    for (int n = 3; n <= MOST; n++)
        for (int j = 0; j + 2 < n; j++) {
            const double *p = NODES + j, d[3] = { 1 / (p[1] - p[0]), -1 / (p[1] - p[0]) - 1 / (p[2] - p[1]), 1 / (p[2] - p[1]) };
            double weight[MOST], sum = 0, exact = 2 * NODES[n - 1] + NODES[n - 1] * NODES[n - 1] / 2;
            assert_int_equal(ladder_weights(weight, NODES, n, LADDER_COMPOSITE), OK);
            for (int k = 0; k < n; k++) {
                double s = 2 + NODES[k];
                for (int i = 0; i < 3; i++) s += 1e3 * d[i] * pow(fmax(NODES[k] - p[i], 0), 3);
                sum += weight[k] * s;
            }
            for (int i = 0; i < 3; i++) exact += 1e3 * d[i] * pow(NODES[n - 1] - p[i], 4) / 4;
            assert_true(near(sum, exact, 1e-13));
        }
}

/* The reason for the spline, at unequal nodes as used; and third order (the ends) against the trapezoid's second. */
static void test_saturating_slopes(void **state)
{
    (void)state;
    for (int n = 3; n <= MOST; n++) {
        double composite = integral(NODES, n, LADDER_COMPOSITE, saturating) / saturated(NODES[n - 1]) - 1;
        double trapezoid = integral(NODES, n, LADDER_TRAPEZOID, saturating) / saturated(NODES[n - 1]) - 1;
        print_message("to %.4f: composite %+.2f %%, trapezoid %+.2f %%\n", NODES[n - 1], 100 * composite, 100 * trapezoid);
        assert_true(fabs(composite) < 0.0025 && fabs(composite) < 0.3 * fabs(trapezoid));
    }
    double error[2];
    for (int i = 0; i < 2; i++) {
        double u[64];
        const int n = i ? 33 : 17;
        for (int k = 0; k < n; k++) u[k] = 0.1 * k / (n - 1);
        error[i] = fabs(integral(u, n, LADDER_COMPOSITE, saturating) - saturated(0.1));
    }
    assert_true(error[0] / error[1] > 6.5);
}

/* Slopes and losses over the linear law, measured on a 135M-parameter model (paper-repro.md, table 4, on another text): they have errors of
 * 3-10 %, and the windows differ from level to level. */
static void test_measured_slopes(void **state)
{
    (void)state;
    const double slope[MOST] = { 1, 1.04, 1.19, 1.54, 1.78, 1.27 }, linear[MOST] = { 0, -0.005, -0.041, -0.18, -0.30, -0.338 };
    for (int n = 2; n <= MOST; n++) {
        double weight[MOST], sum = 0, measured = NODES[n - 1] / (1 + linear[n - 1]);
        assert_int_equal(ladder_weights(weight, NODES, n, LADDER_COMPOSITE), OK);
        for (int k = 0; k < n; k++) {
            assert_true(weight[k] > 0);
            sum += weight[k] * slope[k];
        }
        print_message("to %.4f: %+.1f %%\n", NODES[n - 1], 100 * (sum / measured - 1));
        assert_true(near(sum, measured, 0.016));
    }
}

static void test_refusals(void **state)
{
    (void)state;
    const double bad[][3] = { { 0.1, 0.2, 0.3 }, { 0, 0.2, 0.2 }, { 0, 0.2, 0.1 }, { 0, NAN, 0.2 }, { NAN, 0.1, 0.2 }, { 0, 0.1, INFINITY }, { 0, -0.1, 0.2 }, { -0.1, 0.1, 0.2 } };
    double weight[3] = { 7, 7, 7 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(ladder_weights(weight, bad[i], 3, LADDER_COMPOSITE), ERR_ARGUMENT);
    assert_int_equal(ladder_weights(weight, NODES, 1, LADDER_LINEAR), ERR_ARGUMENT);
    assert_true(weight[0] == 7 && weight[1] == 7 && weight[2] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_polynomials), cmocka_unit_test(test_weights), cmocka_unit_test(test_natural_splines_are_exact),
        cmocka_unit_test(test_saturating_slopes), cmocka_unit_test(test_measured_slopes), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
