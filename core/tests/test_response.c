/*
 * test_response.c - coefficients by window: the same numbers as the fit's, whatever levels and draws
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/fit.h"
#include "core/estimate/levels.h"
#include "core/estimate/response.h"

enum { WINDOWS = 7, MOST_POINTS = 24 };

static const int64_t TOKENS[WINDOWS] = { 100, 255, 255, 17, 80, 143, 255 };

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

typedef struct { uint64_t stream, at; } Dice;
static double roll(Dice *dice) { return rng_uniform(5, dice->stream, dice->at++); }

static double at_level(double level, double z) { return level * (2 + 3 * level) * exp(0.4 * z); }

/* Levels from 1e-3 to .3, at times within 1 % of one another, each with up to 3 draws. */
static void random_response(LayerResponse *r, int trial)
{
    Dice dice = { rng_stream(RNG_TEST, 0, trial, 1), 0 };
    const int levels = 1 + (int)(5 * roll(&dice)), draws = 1 + (int)(3 * roll(&dice));
    response_init(r, 0, levels * draws, WINDOWS);
    double level = 1e-3;
    for (int j = 0; j < levels * draws; j++) {
        if (j % draws == 0) level = j && roll(&dice) < 0.4 ? level * (1 + 0.02 * roll(&dice)) : 1e-3 * pow(300, roll(&dice));
        r->t2_asked[j] = level;
        r->t2[j] = level * (1 + 0.03 * (roll(&dice) - 0.5));
        r->draw[j] = j % draws;
        r->used[j] = j == 0 || roll(&dice) < 0.8;
        for (int w = 0; w < WINDOWS; w++) {
            r->kl[j * WINDOWS + w] = at_level(r->t2[j], roll(&dice));
            r->nll[j * WINDOWS + w] = 3 + at_level(r->t2[j], roll(&dice)) - 0.1 * roll(&dice);
        }
    }
}

static void fit_used(ResponseFit *fit, const LayerResponse *r, const double *clean_nll)
{
    double y[MOST_POINTS * WINDOWS], t2[MOST_POINTS];
    int n = 0;
    for (int j = 0; j < r->n_points; j++) {
        if (!r->used[j]) continue;
        t2[n] = r->t2_asked[j];
        for (int w = 0; w < WINDOWS; w++) {
            int at = j * WINDOWS + w;
            y[n * WINDOWS + w] = (clean_nll ? r->nll[at] - clean_nll[w] : r->kl[at]) * t2[n] / r->t2[j];
        }
        n++;
    }
    assert_int_equal(fit_response(fit, y, t2, TOKENS, n, WINDOWS, 0, 1), OK);
}

static void test_agrees_with_the_fit(void **state)
{
    (void)state;
    double clean[WINDOWS], a[WINDOWS], mean, se;
    int close = 0;
    for (int w = 0; w < WINDOWS; w++) clean[w] = 3 - 0.01 * w;
    for (int trial = 0; trial < 2000; trial++) {
        LayerResponse r;
        ResponseFit fit;
        random_response(&r, trial);
        for (int nll = 0; nll < 2; nll++) {
            fit_used(&fit, &r, nll ? clean : NULL);
            response_coefficients(a, &r, r.used, nll ? clean : NULL);
            weighted_mean(&mean, &se, a, TOKENS, WINDOWS);
            double scale = 0;                           /* rounding is relative to what is summed, which may cancel */
            for (int w = 0; w < WINDOWS; w++) scale = fmax(scale, fabs(a[w]));
            assert_true(fabs(mean - fit.a) <= 1e-11 * scale);
            assert_int_equal(response_levels(&r, r.used), fit.n_levels);
        }
        int index[MOST_POINTS];
        close += levels_group(index, r.t2_asked, r.n_points) == 1 && r.t2_asked[0] != r.t2_asked[r.n_points - 1];
        response_free(&r);
    }
    assert_true(close > 20);                            /* levels that count as one without being equal did come up */
}

static void test_levels(void **state)
{
    (void)state;
    const double t2[5] = { 0.1, 0.03, 0.1009, 0.1011, 0.0301 };
    int index[5];
    assert_int_equal(levels_group(index, t2, 5), 3);
    assert_true(index[0] == 1 && index[1] == 0 && index[2] == 1 && index[3] == 2 && index[4] == 0);
    double for_a[5], for_b[5], sum = 0, first = 0, slope = 0, slope_first = 0;
    assert_int_equal(levels_weights(for_a, for_b, t2, 5), 3);
    for (int j = 0; j < 5; j++) sum += for_a[j], first += for_a[j] * t2[j], slope += for_b[j], slope_first += for_b[j] * t2[j];
    assert_true(near(sum, 1, 1e-12) && fabs(first) < 1e-14 && fabs(slope) < 1e-12 && near(slope_first, 1, 1e-12));
    assert_int_equal(levels_weights(for_a, for_b, (const double[]){ 0.03, 0.0301 }, 2), 1);
    assert_true(for_a[0] == 0.5 && for_a[1] == 0.5 && for_b[0] == 0 && for_b[1] == 0);
}

/* Two levels, two draws; the smaller level's KL is 1 +- .4 times what is required of it. */
static void level_of_draws(LayerResponse *r)
{
    response_init(r, 0, 4, WINDOWS);
    for (int j = 0; j < 4; j++) {
        r->t2[j] = r->t2_asked[j] = j < 2 ? 0.01 : 0.09;
        r->draw[j] = j % 2;
        for (int w = 0; w < WINDOWS; w++) r->kl[j * WINDOWS + w] = r->t2[j] * (j % 2 ? 1.4 : 0.6), r->nll[j * WINDOWS + w] = 3 + r->t2[j];
    }
}

static void test_floor_is_decided_by_level(void **state)
{
    (void)state;
    LayerResponse r;
    level_of_draws(&r);
    response_use_above(&r, 0.0099, TOKENS);
    assert_true(r.used[0] && r.used[1] && r.used[2] && r.used[3]);
    response_use_above(&r, 0.0101, TOKENS);
    assert_true(!r.used[0] && !r.used[1] && r.used[2] && r.used[3]);
    response_use_above(&r, NAN, TOKENS);
    assert_true(!r.used[0] && !r.used[3]);
    response_free(&r);
}

static void test_draws_and_no_points(void **state)
{
    (void)state;
    LayerResponse r;
    double a[WINDOWS], by_draw[2];
    const bool all[4] = { true, true, true, true }, none[4] = { false }, large[4] = { false, false, true, true };
    level_of_draws(&r);
    response_by_draw(by_draw, 2, &r, all, NULL, TOKENS);
    assert_true(near(by_draw[0], 0.6, 1e-12) && near(by_draw[1], 1.4, 1e-12));
    response_coefficients(a, &r, all, NULL);
    for (int w = 0; w < WINDOWS; w++) assert_true(near(a[w], 1, 1e-12));
    response_coefficients(a, &r, none, NULL);
    assert_true(isnan(a[0]) && response_levels(&r, none) == 0 && isnan(response_noise_level(&r, none)));
    assert_true(response_levels(&r, all) == 2 && response_levels(&r, large) == 1);
    response_free(&r);
}

/* A loss g t (the gradient times an error in one direction) gives a coefficient g / t_noise. */
/* A matrix of zeros stays what it is, whatever noise it is asked to take: its coefficient is 0. */
static void test_matrix_of_zeros(void **state)
{
    (void)state;
    LayerResponse r;
    response_init(&r, 0, 1, WINDOWS);
    r.t2_asked[0] = 0.03;
    for (int w = 0; w < WINDOWS; w++) r.nll[w] = 3;
    const double clean[WINDOWS] = { 3, 3, 3, 3, 3, 3, 3 };
    const bool take[] = { true };
    double a[WINDOWS];
    response_coefficients(a, &r, take, NULL);
    for (int w = 0; w < WINDOWS; w++) assert_true(a[w] == 0);
    response_coefficients(a, &r, take, clean);
    for (int w = 0; w < WINDOWS; w++) assert_true(a[w] == 0);
    response_free(&r);
}

static void test_noise_level(void **state)
{
    (void)state;
    LayerResponse r;
    double a[WINDOWS];
    const bool all[4] = { true, true, true, true }, large[4] = { false, false, true, true };
    level_of_draws(&r);
    for (int j = 0; j < 4; j++)
        for (int w = 0; w < WINDOWS; w++) r.kl[j * WINDOWS + w] = 7 * sqrt(r.t2[j]);
    response_coefficients(a, &r, all, NULL);
    assert_true(near(7 / sqrt(response_noise_level(&r, all)), a[0], 1e-12));
    assert_true(near(response_noise_level(&r, large), 0.09, 1e-12));
    response_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_the_fit), cmocka_unit_test(test_levels), cmocka_unit_test(test_floor_is_decided_by_level),
        cmocka_unit_test(test_draws_and_no_points), cmocka_unit_test(test_matrix_of_zeros), cmocka_unit_test(test_noise_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
