/* Draws that serve all windows: the variance of a sum is met whatever it comes from, draws, windows or both together. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/estimate/crossed.h"

enum { ROWS = 15, COLUMNS = 8, TRIALS = 4000 };

static double normal(int trial, int purpose, int i)
{
    float z;
    rng_normals(&z, 1, 1, rng_stream(RNG_TEST, purpose, 0, trial), (uint64_t)i);
    return z;
}

/* Estimate and the estimated variance of one trial: level r counts for h_r, its draw has spread `draw`, and so on. */
static double trial(double *variance, int t, double draw, double window, double both)
{
    double h[ROWS], e[ROWS][COLUMNS], total = 0, columns = 0, estimate = 0;
    for (int r = 0; r < ROWS; r++) total += h[r] = (r + 1) * (r + 1);
    for (int r = 0; r < ROWS; r++) {
        h[r] /= total;
        for (int c = 0; c < COLUMNS; c++) {
            e[r][c] = h[r] / COLUMNS * (1 + draw * normal(t, 0, r) + window * normal(t, 1, c) + both * normal(t, 2, r * COLUMNS + c));
            estimate += e[r][c];
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        double sum = 0;
        for (int r = 0; r < ROWS; r++) sum += e[r][c] -= h[r] / COLUMNS * estimate;
        columns += sum * sum;
    }
    *variance = pow(crossed_se(columns * COLUMNS / (COLUMNS - 1.0), crossed_draws(&e[0][0], h, ROWS, COLUMNS)), 2);
    return estimate;
}

static void check(double draw, double window, double both, double most)
{
    double mean = 0, squares = 0, claimed = 0;
    for (int t = 0; t < TRIALS; t++) {
        double variance, estimate = trial(&variance, t, draw, window, both);
        mean += estimate / TRIALS;
        squares += (estimate - 1) * (estimate - 1) / TRIALS;
        claimed += variance / TRIALS;
    }
    printf("draw %g, window %g, both %g: variance claimed / true %.3f\n", draw, window, both, claimed / squares);
    assert_true(fabs(mean - 1) < 0.02);
    if (!(claimed / squares > 0.93 && claimed / squares < most)) fail_msg("claimed / true %g", claimed / squares);
}

static void test_variance_is_met(void **state)
{
    (void)state;
    check(0.3, 0, 0, 1.07);
    check(0, 0.3, 0, 1.07);
    check(0, 0, 0.3, 1.15);
    check(0.1, 0.1, 0.3, 1.07);
    check(0.3, 0.3, 0.3, 1.07);
}

/* Two draws, two windows, by hand. */
static void test_by_hand(void **state)
{
    (void)state;
    const double half[] = { 0.5, 0.5 }, draws[] = { 1, 1, -1, -1 }, windows[] = { 1, -1, 1, -1 }, both[] = { 1, -1, -1, 1 };
    assert_true(crossed_draws(draws, half, 2, 2) == 2 * 4 / 0.5);
    assert_true(crossed_draws(windows, half, 2, 2) == 0);
    assert_true(crossed_draws(both, half, 2, 2) == -4 * 2 / 0.5);
    assert_true(crossed_se(4, 5) == 3 && crossed_se(2, -7) == 1 && isnan(crossed_se(NAN, 1)));
    assert_true(isnan(crossed_draws(draws, half, 1, 2)) && isnan(crossed_draws(draws, half, 2, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_variance_is_met), cmocka_unit_test(test_by_hand) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
