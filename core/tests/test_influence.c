/*
 * test_influence.c - the worst window, and what capping costs and saves on chi-square data with one wild window
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
#include "core/estimate/fit.h"
#include "core/estimate/influence.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

enum { LAYERS = 31, WINDOWS = 24 };

static void even(int64_t *tokens) { for (int w = 0; w < WINDOWS; w++) tokens[w] = 255; }

/* a_lw = text_w x chi-square with r degrees of freedom / r: every layer's mean is 1. */
static void draw(double *a, int r, double text, int run)
{
    static float z[LAYERS * WINDOWS * 50 + WINDOWS];
    rng_normals(z, (int64_t)LAYERS * WINDOWS * r + WINDOWS, 41, rng_stream(RNG_TEST, r, run, 0), 0);
    for (int i = 0; i < LAYERS * WINDOWS; i++) {
        double sum = 0;
        for (int k = 0; k < r; k++) sum += pow(z[WINDOWS + i * r + k], 2);
        a[i] = sum / r * exp(text * z[i % WINDOWS] - text * text / 2);
    }
}

static void test_largest_influence(void **state)
{
    (void)state;
    const double a[4] = { 1, 2, 3, 34 };
    const int64_t even4[4] = { 5, 5, 5, 5 }, uneven[4] = { 100, 10, 10, 1 };
    Influence i = influence_largest(a, even4, 4);
    assert_true(i.window == 3 && near(i.share, 0.85, 1e-14) && near(i.size, 34 / 2.5, 1e-14) && near(i.change, 2 / 10.0 - 1, 1e-14));
    i = influence_largest(a, uneven, 4);                    /* 184 / 121; without the first 84 / 21 */
    assert_true(i.window == 0 && near(i.share, 100 / 184.0, 1e-14) && near(i.change, 4 / (184 / 121.0) - 1, 1e-13));
    i = influence_largest(a, even4, 1);
    assert_true(i.window == 0 && i.share == 1 && i.size == 1 && isnan(i.change));
    const double bad[2] = { 1, NAN }, endless[2] = { 1, INFINITY };
    assert_true(influence_largest(bad, even4, 2).window == -1 && isnan(influence_largest(bad, even4, 2).share));
    assert_true(influence_largest(endless, even4, 2).window == -1 && isnan(influence_largest(endless, even4, 2).size));
}

/* Three layers whose windows have levels 1, 2, 4: the first has 10 times its median in the last window. */
static void test_definition(void **state)
{
    (void)state;
    const double a[9] = { 1, 2, 40, 3, 6, 12, -5, 10, 20 };
    const int64_t tokens[3] = { 1, 1, 2 };
    double capped[9], mean[3], se[3], expected[9], m, s;
    int n_capped[3];
    influence_cap(capped, n_capped, a, 3, 3, 5);
    for (int i = 0; i < 9; i++) expected[i] = i == 2 ? 5 * 4 : a[i];
    for (int i = 0; i < 9; i++) assert_true(near(capped[i], expected[i], 1e-15));
    assert_true(n_capped[0] == 1 && n_capped[1] == 0 && n_capped[2] == 0);
    influence_robust_mean(mean, se, n_capped, a, tokens, 3, 3, 5);
    weighted_mean(&m, &s, expected, tokens, 3);
    assert_true(near(mean[0], 43 / 4.0, 1e-14) && mean[0] == m && se[0] == s && n_capped[0] == 1);
    influence_cap(capped, n_capped, a, 3, 3, INFINITY);
    for (int i = 0; i < 9; i++) assert_true(capped[i] == a[i]);
    const double one[4] = { 1, -9, 1, 30 };                 /* one layer has no level but its own: 1 */
    influence_cap(capped, n_capped, one, 1, 4, 5);
    assert_true(n_capped[0] == 2 && capped[0] == 1 && capped[1] == -5 && capped[2] == 1 && capped[3] == 5);
}

/* A hard text is no outlier: everything 100 times larger in one window stays as it is. */
static void test_common_level_is_kept(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], capped[LAYERS * WINDOWS];
    int n_capped[LAYERS];
    draw(a, 50, 0, 0);
    for (int l = 0; l < LAYERS; l++) a[l * WINDOWS + 3] *= 100;
    influence_cap(capped, n_capped, a, LAYERS, WINDOWS, 5);
    for (int i = 0; i < LAYERS * WINDOWS; i++) assert_true(capped[i] == a[i]);
    for (int l = 0; l < LAYERS; l++) assert_int_equal(n_capped[l], 0);
}

/* The bounds are what the header says: of the bias, and that se knows neither bias nor the noise of the cap. */
static void test_bias_and_error(void **state)
{
    (void)state;
    enum { RUNS = 200 };
    static const struct { int r; double bias, slack; } cases[] = { { 1, -0.224, 0.01 }, { 2, -0.040, 0.002 }, { 5, -0.0009, 0.0003 }, { 10, 0, 2e-5 }, { 50, 0, 1e-12 } };
    double a[LAYERS * WINDOWS], mean[LAYERS], se[LAYERS];
    int64_t tokens[WINDOWS];
    int n_capped[LAYERS];
    even(tokens);
    for (int i = 0; i < 5; i++) {
        double bias = 0, squares = 0, variance = 0;
        int capped = 0;
        for (int run = 0; run < RUNS; run++) {
            draw(a, cases[i].r, 0.3, run);
            influence_robust_mean(mean, se, n_capped, a, tokens, LAYERS, WINDOWS, 5);
            for (int l = 0; l < LAYERS; l++) {
                double plain, unused;
                weighted_mean(&plain, &unused, a + l * WINDOWS, tokens, WINDOWS);
                bias += (mean[l] - plain) / LAYERS / RUNS;
                squares += pow(mean[l] - 1, 2) / LAYERS / RUNS;
                variance += se[l] * se[l] / LAYERS / RUNS;
                capped += n_capped[l];
            }
        }
        print_message("r = %2d: bias %+.3f %%, capped %.2f %%, error %.4f, mean se %.4f\n", cases[i].r, 100 * bias, 100.0 * capped / (LAYERS * WINDOWS * RUNS), sqrt(squares), sqrt(variance));
        assert_true(fabs(bias - cases[i].bias) < cases[i].slack);
        assert_true(cases[i].r < 2 || near(variance, squares, cases[i].r == 2 ? 0.3 : 0.1));
    }
}

/* Window 21 of layer 4 carries 73 times its median, as measured once: the mean rises by 4/24 at most, not by 3. */
static void test_one_wild_window(void **state)
{
    (void)state;
    double a[LAYERS * WINDOWS], mean[LAYERS], se[LAYERS], clean[LAYERS], plain, plain_se;
    int64_t tokens[WINDOWS];
    int n_capped[LAYERS];
    even(tokens);
    draw(a, 50, 0.3, 1);
    influence_robust_mean(clean, se, n_capped, a, tokens, LAYERS, WINDOWS, 5);
    a[4 * WINDOWS + 21] *= 73;
    influence_robust_mean(mean, se, n_capped, a, tokens, LAYERS, WINDOWS, 5);
    weighted_mean(&plain, &plain_se, a + 4 * WINDOWS, tokens, WINDOWS);
    Influence i = influence_largest(a + 4 * WINDOWS, tokens, WINDOWS);
    print_message("one wild window: mean %.2f -> %.2f (se %.2f), robust %.2f -> %.2f (se %.2f); share %.2f, %.0f x the median\n", clean[4], plain, plain_se, clean[4], mean[4], se[4], i.share, i.size);
    assert_true(i.window == 21 && i.share > 0.6 && i.size > 50 && plain > 2.5 * clean[4]);
    assert_true(n_capped[4] == 1 && mean[4] > clean[4] && mean[4] < 1.25 * clean[4] && se[4] < 0.2 * plain_se);
    for (int l = 0; l < LAYERS; l++) assert_true(l == 4 || (n_capped[l] == 0 && near(mean[l], clean[l], 1e-14)));
}

static void test_what_cannot_be_capped(void **state)
{
    (void)state;
    double a[4 * 3] = { 1, 1, 90, 1, 1, 1, 2, 2, 2, 0, 0, 50 }, capped[12];
    int n_capped[4];
    influence_cap(capped, n_capped, a, 4, 3, 5);            /* no positive median: no scale */
    assert_true(n_capped[0] == 1 && capped[2] == 5 && n_capped[3] == 0 && capped[11] == 50);
    a[4] = NAN;
    influence_cap(capped, n_capped, a, 4, 3, 5);            /* two layers left: level 1 */
    assert_true(isnan(capped[3]) && isnan(capped[5]) && n_capped[1] == 0 && capped[2] == 5 && capped[8] == 2);
    a[4] = 1, a[5] = INFINITY;
    influence_cap(capped, n_capped, a, 4, 3, 5);
    assert_true(isnan(capped[3]) && isnan(capped[5]) && n_capped[1] == 0 && capped[2] == 5 && capped[8] == 2);
    const double negative[9] = { 1, 1, -1, 1, 1, -1, 2, 2, 90 };
    influence_cap(capped, n_capped, negative, 3, 3, 5);
    assert_true(isnan(capped[2]) && isnan(capped[8]) && capped[6] == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_influence), cmocka_unit_test(test_definition), cmocka_unit_test(test_common_level_is_kept),
        cmocka_unit_test(test_bias_and_error), cmocka_unit_test(test_one_wild_window), cmocka_unit_test(test_what_cannot_be_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
