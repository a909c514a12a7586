/*
 * test_predict.c - prediction intervals: do they cover as often as they say?
 *
 * A simulated model: window w scales all responses by a factor common to all layers, a draw of the noise
 * changes the coefficient of one layer, and the quantized model has one draw of its own.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

static void test_distributions(void **state)
{
    (void)state;
    static const struct { int freedom; double t95, t99; } table[] = {
        { 1, 12.7062047, 63.6567412 }, { 2, 4.3026527, 9.9248432 }, { 3, 3.1824463, 5.8409093 }, { 4, 2.7764451, 4.6040949 }, { 5, 2.5705818, 4.0321430 },
        { 10, 2.2281389, 3.1692727 }, { 30, 2.0422725, 2.7499957 }, { 120, 1.9799304, 2.6174211 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_true(near(student_quantile(0.95, table[i].freedom), table[i].t95, 1e-7));
        assert_true(near(student_quantile(0.99, table[i].freedom), table[i].t99, 1e-7));
    }
    assert_true(near(student_quantile(0.95, 1000000), 1.959964, 1e-6) && near(normal_quantile(0.975), 1.959964, 1e-6));
    assert_true(near(student_quantile(0.95, 1000), student_quantile(0.95, 1001), 2e-3));
    assert_true(isnan(student_quantile(0.95, 0)) && near(normal_below(1.959964), 0.975, 1e-7));
}

static void test_half_width(void **state)
{
    (void)state;
    assert_true(near(student_half_width(0.95, 4, 16 / 5.0), 2 * 2.5705818, 1e-7));                   /* one part */
    assert_true(near(student_half_width(0.95, 2, 1 / 5.0 + 1 / 5.0), sqrt(2) * 2.2281389, 1e-7));    /* two equal ones */
    assert_true(student_half_width(0.95, 0, 0) == 0);
    assert_true(near(student_half_width(0.95, 1, 2), 12.7062047, 1e-7));
    assert_true(isnan(student_half_width(0.95, NAN, 1)) && isnan(student_half_width(0.95, 1, NAN)));
}

/* ---- coverage ---- */

enum { MOST_WINDOWS = 32, MOST_LAYERS = 210, MOST_DRAWS = 4, RUNS = 400 };

typedef struct {
    const char *name;
    int layers, windows, draws;
    bool shared;
    double share;                   /* of the first layer; the others have equal parts */
    double linear;                  /* spread of the part that grows with t, at t2 = 1 */
} Case;

static const double SPREAD = 0.3, TEXT = 0.3, NOISE_T2 = 0.04;

typedef struct { float *z; int64_t at; } Numbers;
static double next(Numbers *n) { return (double)n->z[n->at++]; }

static double base(const Case *c, int layer)
{
    if (c->layers == 1) return 1;
    return layer == 0 ? c->share : (1 - c->share) / (c->layers - 1);
}

/* A draw's effect on the coefficient of a layer as seen at t2. */
static double drawn(const Case *c, int layer, double z, double t2)
{
    return base(c, layer) * z * (c->linear > 0 ? c->linear / sqrt(t2) : SPREAD);
}

typedef struct { double a[MOST_LAYERS * MOST_WINDOWS], by_draw[MOST_LAYERS * MOST_DRAWS], measured[MOST_WINDOWS], t2[MOST_LAYERS], t2_noise[MOST_LAYERS], v[MOST_LAYERS]; } World;

static void simulate(World *world, const Case *c, const double *factor, double t2, Numbers *numbers)
{
    for (int w = 0; w < c->windows; w++) world->measured[w] = 0.01 * t2 * next(numbers);
    for (int l = 0; l < c->layers; l++) {
        double *a = world->a + (int64_t)l * c->windows, quantizer = drawn(c, l, next(numbers), t2);
        world->t2[l] = t2;
        world->t2_noise[l] = NOISE_T2;
        for (int w = 0; w < c->windows; w++) a[w] = 0, world->measured[w] += factor[w] * t2 * (base(c, l) + quantizer);
        for (int d = 0; d < c->draws; d++) {
            double z = next(numbers), mean = 0;
            for (int w = 0; w < c->windows; w++) {
                if (!c->shared) z = next(numbers);
                double one = factor[w] * (base(c, l) + drawn(c, l, z, NOISE_T2));
                a[w] += one / c->draws;
                mean += one / c->windows;
            }
            world->by_draw[(int64_t)l * c->draws + d] = mean;
        }
    }
}

static double covered(const Case *c, double t2)
{
    World *world = xmalloc(sizeof *world);
    const int64_t n = 1 + c->windows * 2 + (int64_t)c->layers * (1 + c->draws * (c->windows + 1));
    Numbers numbers = { xmalloc(sizeof(float) * (size_t)n), 0 };
    int64_t tokens[MOST_WINDOWS];
    double factor[MOST_WINDOWS];
    int inside = 0;
    for (int run = 0; run < RUNS; run++) {
        rng_normals(numbers.z, n, 42, rng_stream(RNG_TEST, c->layers, run, c->windows), 0);
        numbers.at = 0;
        for (int w = 0; w < c->windows; w++) tokens[w] = 255, factor[w] = exp(TEXT * next(&numbers));
        simulate(world, c, factor, t2, &numbers);
        WindowCoefficients k = { .n_layers = c->layers, .n_windows = c->windows, .n_draws = c->draws, .a = world->a, .tokens = tokens,
                                 .shared = c->shared, .by_draw = world->by_draw, .t2_noise = c->linear > 0 ? world->t2_noise : NULL };
        draw_variance(world->v, &k);
        Interval interval = predict_loss(&k, world->t2, world->v, world->measured);
        double got, se;
        weighted_mean(&got, &se, world->measured, tokens, c->windows);
        inside += got >= interval.low && got <= interval.high;
    }
    free(numbers.z);
    free(world);
    return (double)inside / RUNS;
}

/* Standard error of a coverage of .95 over 400 runs: .011.  Intervals may err on the safe side. */
static void assert_covers(const Case *c, double t2, double least)
{
    double got = covered(c, t2);
    print_message("%-28s %3d layers %2d windows %d draws%s: %.1f %%\n", c->name, c->layers, c->windows, c->draws, c->shared ? " shared" : "", 100 * got);
    assert_true(got >= least);
}

static void test_fresh_noise_covers(void **state)
{
    (void)state;
    static const int windows[] = { 6, 8, 32 };
    for (int i = 0; i < 3; i++) {
        const Case cases[] = { { "one layer", 1, windows[i], 1, false, 1, 0 }, { "two equal layers", 2, windows[i], 1, false, .5, 0 },
                               { "one layer holds half", 210, windows[i], 1, false, .5, 0 }, { "all equal", 210, windows[i], 1, false, 1 / 210.0, 0 } };
        for (int k = 0; k < 4; k++) assert_covers(&cases[k], 0.02, 0.92);
    }
}

static void test_averaged_draws_cover(void **state)
{
    (void)state;
    const Case cases[] = { { "one layer", 1, 8, 4, false, 1, 0 }, { "one layer holds half", 60, 8, 4, false, .5, 0 }, { "all equal", 60, 32, 4, false, 1 / 60.0, 0 } };
    for (int k = 0; k < 3; k++) assert_covers(&cases[k], 0.02, 0.92);
}

static void test_shared_noise_covers(void **state)
{
    (void)state;
    static const int windows[] = { 6, 32 };
    for (int i = 0; i < 2; i++) {
        const Case cases[] = { { "one layer", 1, windows[i], 2, true, 1, 0 }, { "one layer", 1, windows[i], 4, true, 1, 0 }, { "two equal layers", 2, windows[i], 2, true, .5, 0 },
                               { "one layer holds half", 60, windows[i], 3, true, .5, 0 }, { "all equal", 60, windows[i], 2, true, 1 / 60.0, 0 } };
        for (int k = 0; k < 5; k++) assert_covers(&cases[k], 0.02, 0.92);
    }
}

/* Noise that grows with t, as that of delta-NLL: choices below and above the level of the coefficients. */
static void test_linear_noise_covers(void **state)
{
    (void)state;
    static const double t2[] = { 0.001, 0.01, 0.04, 0.1 };
    const Case fresh = { "grows with t", 60, 8, 1, false, 1 / 60.0, 0.1 }, shared = { "grows with t", 60, 8, 2, true, 1 / 60.0, 0.1 };
    for (int i = 0; i < 4; i++) assert_covers(&fresh, t2[i], 0.92), assert_covers(&shared, t2[i], 0.92);
}

/* Safe, but not idle: with many layers no wider than twice what the truth needs. */
static void test_width(void **state)
{
    (void)state;
    const Case c = { "all equal", 210, 32, 1, false, 1 / 210.0, 0 };
    World *world = xmalloc(sizeof *world);
    float *z = xmalloc(sizeof *z * 210 * 40);
    double factor[32], truth = SPREAD / sqrt(210) * sqrt(1 + 1 / 32.0) * 0.02;
    int64_t tokens[32];
    for (int w = 0; w < 32; w++) factor[w] = 1, tokens[w] = 10;
    rng_normals(z, 210 * 40, 1, rng_stream(RNG_TEST, 0, 0, 0), 0);
    simulate(world, &c, factor, 0.02, &(Numbers){ z, 0 });
    WindowCoefficients k = { .n_layers = 210, .n_windows = 32, .n_draws = 1, .a = world->a, .tokens = tokens };
    draw_variance(world->v, &k);
    Interval interval = predict_loss(&k, world->t2, world->v, world->measured);
    assert_true(near((interval.high - interval.low) / 2, 1.96 * truth, 0.1));
    free(z);
    free(world);
}

/* ---- closed forms ---- */

static void test_dominant_layer_keeps_its_variance(void **state)
{
    (void)state;
    const double a[3 * 4] = { 10, 14, 6, 10,   1, 1, 1, 1,   2, 2, 2, 2 };
    const int64_t tokens[4] = { 5, 5, 5, 5 };
    WindowCoefficients k = { .n_layers = 3, .n_windows = 4, .n_draws = 1, .a = a, .tokens = tokens };
    double v[3];
    draw_variance(v, &k);
    assert_true(near(v[0], 32 / 3.0, 1e-12));
    k.n_draws = 3;
    draw_variance(v, &k);
    assert_true(near(v[0], 32, 1e-12));
    k.n_layers = 1, k.n_draws = 1;
    draw_variance(v, &k);
    assert_true(near(v[0], 32 / 3.0, 1e-12));
}

static void test_without_interval(void **state)
{
    (void)state;
    const double a[2] = { 3, 5 }, t2[1] = { 0.1 }, measured[2] = { 0.3, 0.5 };
    const int64_t tokens[2] = { 1, 3 };
    double v[1], se;
    WindowCoefficients one = { .n_layers = 1, .n_windows = 1, .n_draws = 1, .a = a, .tokens = tokens };
    draw_variance(v, &one);
    Interval i = predict_loss(&one, t2, v, measured);
    assert_true(isnan(v[0]) && near(i.value, 0.3, 1e-15) && isnan(i.low) && isnan(i.high));
    assert_true(near(predict_ratio(&se, &one, t2, measured), 1, 1e-15) && isnan(se));
    const double single[1] = { 4 };
    WindowCoefficients shared = { .n_layers = 1, .n_windows = 2, .n_draws = 1, .a = a, .tokens = tokens, .shared = true, .by_draw = single };
    draw_variance(v, &shared);
    i = predict_loss(&shared, t2, v, measured);
    assert_true(isnan(v[0]) && near(i.value, 0.45, 1e-15) && isnan(i.low) && isnan(i.high));
}

/* What the text does to both cancels: twice the prediction in every window is a ratio of 2, known exactly. */
static void test_ratio(void **state)
{
    (void)state;
    const double a[3] = { 3, 5, 9 }, t2[1] = { 0.1 }, twice[3] = { 0.6, 1, 1.8 }, other[3] = { 0.4, 0.5, 0.9 };
    const int64_t tokens[3] = { 1, 1, 2 };
    WindowCoefficients k = { .n_layers = 1, .n_windows = 3, .n_draws = 1, .a = a, .tokens = tokens };
    double se, ratio = predict_ratio(&se, &k, t2, twice);
    assert_true(near(ratio, 2, 1e-14) && se < 1e-14);
    ratio = predict_ratio(&se, &k, t2, other);
    double r = 2.7 / 2.6, squares = pow(0.4 - r * 0.3, 2) + pow(0.5 - r * 0.5, 2) + 4 * pow(0.9 - r * 0.9, 2);
    assert_true(near(ratio, r, 1e-14) && near(se, sqrt(squares * 1.5) / 2.6, 1e-12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions), cmocka_unit_test(test_half_width), cmocka_unit_test(test_fresh_noise_covers),
        cmocka_unit_test(test_averaged_draws_cover), cmocka_unit_test(test_shared_noise_covers), cmocka_unit_test(test_linear_noise_covers),
        cmocka_unit_test(test_width), cmocka_unit_test(test_dominant_layer_keeps_its_variance), cmocka_unit_test(test_without_interval),
        cmocka_unit_test(test_ratio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
