/*
 * test_conversion.c - delta-NLL from KL: closed forms, the jackknife against the delta method, coverage on simulated texts
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/estimate/conversion.h"
#include "core/estimate/distribution.h"
#include "core/estimate/predict.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

static ConversionRatio ratio_at(const Conversion *c, double kl, int n_new)
{
    ConversionRatio r = { NAN, NAN, NAN };
    assert_int_equal(conversion_ratio(&r, c, kl, n_new), OK);
    return r;
}

/* ---- closed forms ---- */

static void test_two_windows_by_hand(void **state)
{
    (void)state;
    const double kl[2] = { 1, 3 }, delta[2] = { 1, 2 }, t = 12.7062047;            /* ratio 3/4; 2/3 and 1 without a window */
    const int64_t tokens[2] = { 7, 7 }, unequal[2] = { 10, 30 };
    const Conversion c = { 1, 2, tokens, kl, delta }, weighted = { 1, 2, unequal, kl, delta };
    ConversionRatio r = ratio_at(&c, 2, 0);
    assert_true(r.ratio == 0.75 && near(r.high - r.ratio, t / 6, 1e-7) && near(r.ratio - r.low, t / 6, 1e-7));
    r = ratio_at(&c, 2, 2);
    assert_true(r.ratio == 0.75 && near(r.high - r.ratio, t / 6 * sqrt(2), 1e-7));
    r = ratio_at(&c, 2, 1);
    assert_true(near(r.high - r.ratio, t / 6 * sqrt(3), 1e-7));
    assert_true(near(ratio_at(&weighted, 2.5, 0).ratio, 0.7, 1e-15));
    r = ratio_at(&c, 2.0001, 0);                                /* one level draws no curve */
    assert_true(r.ratio == 0.75 && isnan(r.low) && isnan(r.high));
    r = conversion_of_draw(r, 2, 0.1);
    assert_true(r.ratio == 0.75 && isnan(r.low) && isnan(r.high));
}

enum { N = 40, LEVELS = 3 };

typedef struct { double kl[LEVELS * N], delta[LEVELS * N]; int64_t tokens[N]; } Text;

static Conversion three_levels(Text *text)
{
    static const double level[LEVELS] = { 0.1, 0.4, 1.6 }, ratio[LEVELS] = { 0.75, 0.82, 0.95 };
    for (int w = 0; w < N; w++) {
        text->tokens[w] = 200 + 10 * (w % 6);
        for (int j = 0; j < LEVELS; j++) {
            text->kl[j * N + w] = level[j] * (1 + 0.3 * sin(1.7 * w + 0.1 * j));
            text->delta[j * N + w] = text->kl[j * N + w] * ratio[j] * (1 + 0.2 * cos(0.7 * w + 0.4 * j));
        }
    }
    return (Conversion){ LEVELS, N, text->tokens, text->kl, text->delta };
}

static double mean(const double *x, const int64_t *tokens)
{
    double sum = 0, total = 0;
    for (int w = 0; w < N; w++) sum += (double)tokens[w] * x[w], total += (double)tokens[w];
    return sum / total;
}

/* At a level its ratio, with the standard error that the delta method gives; between two the line in log KL. */
static void test_levels_and_lines(void **state)
{
    (void)state;
    Text text;
    const Conversion c = three_levels(&text);
    double k[LEVELS], r[LEVELS], half_at[LEVELS], se, t = student_quantile(0.95, N - 1);
    for (int j = 0; j < LEVELS; j++) {
        k[j] = mean(text.kl + j * N, text.tokens);
        r[j] = mean(text.delta + j * N, text.tokens) / k[j];
        const ConversionRatio at = ratio_at(&c, k[j], 0), next = ratio_at(&c, k[j], N / 3);
        half_at[j] = at.high - at.ratio;
        assert_true(near(paired_ratio(&se, text.delta + j * N, text.kl + j * N, text.tokens, N), r[j], 1e-14));
        assert_true(near(at.ratio, r[j], 1e-14) && near((at.high - at.ratio) / t, se, 0.02) && near(at.high - at.ratio, at.ratio - at.low, 1e-10));
        assert_true(next.ratio == at.ratio && near((next.high - next.low) / (at.high - at.low), sqrt(1 + N / (double)(N / 3)), 1e-10));
    }
    for (double f = 0.05; f < 1; f += 0.1)
        for (int j = 0; j + 1 < LEVELS; j++) {
            double whole[N], ratio = (1 - f) * r[j] + f * r[j + 1];
            for (int w = 0; w < N; w++)                         /* influence of a window on the blend: what remains is its mean */
                whole[w] = (1 - f) * (text.delta[j * N + w] - r[j] * text.kl[j * N + w]) / k[j] + f * (text.delta[(j + 1) * N + w] - r[j + 1] * text.kl[(j + 1) * N + w]) / k[j + 1] + 1;
            double one[N];
            for (int w = 0; w < N; w++) one[w] = 1;
            paired_ratio(&se, whole, one, text.tokens, N);
            const double kl = k[j] * pow(k[j + 1] / k[j], f);
            const ConversionRatio at = ratio_at(&c, kl, 0), next = ratio_at(&c, kl, 10);
            assert_true(near(at.ratio, ratio, 1e-12) && near((at.high - at.ratio) / t, se, 0.03));
            const double scatter = (1 - f) * pow(half_at[j], 2) + f * pow(half_at[j + 1], 2);        /* a text between levels scatters as they do */
            assert_true(next.ratio == at.ratio && near(pow(next.high - next.ratio, 2), pow(at.high - at.ratio, 2) + 4 * scatter, 1e-9));
        }
}

/* Constant; as much wider as the line leaves it, and never narrower than at the level. */
static void test_beyond_the_levels(void **state)
{
    (void)state;
    Text text;
    const Conversion c = three_levels(&text);
    for (int upper = 0; upper < 2; upper++) {
        const int edge = upper ? LEVELS - 1 : 0, inner = upper ? LEVELS - 2 : 1;
        const double k = mean(text.kl + edge * N, text.tokens), k_inner = mean(text.kl + inner * N, text.tokens);
        const ConversionRatio at = ratio_at(&c, k, 0), at_inner = ratio_at(&c, k_inner, 0);
        const double slope = (at.ratio - at_inner.ratio) / log(k / k_inner);
        double last = at.high - at.ratio;
        for (double factor = 1.5; factor < 100; factor *= 1.5) {
            const ConversionRatio far = ratio_at(&c, upper ? k * factor : k / factor, 0);
            const double strayed = fabs(slope) * log(factor);
            assert_true(near(far.ratio, at.ratio, 1e-14) && far.high - far.ratio >= (at.high - at.ratio) + strayed - 1e-12);
            assert_true(far.high - far.ratio > last && near(far.high - far.ratio, far.ratio - far.low, 1e-9));
            last = far.high - far.ratio;
        }
        assert_true(last > 0.2);
    }
}

/* With one common factor in all windows of a level nothing is uncertain but how the curve goes on. */
static void test_exact_curve(void **state)
{
    (void)state;
    const double kl[6] = { 1, 2, 3, 4, 8, 12 }, delta[6] = { 0.8, 1.6, 2.4, 3.6, 7.2, 10.8 };
    const int64_t tokens[3] = { 5, 5, 5 };
    const Conversion c = { 2, 3, tokens, kl, delta };
    ConversionRatio r = ratio_at(&c, 4, 0);
    assert_true(near(r.ratio, 0.85, 1e-14) && near(r.low, 0.85, 1e-13) && near(r.high, 0.85, 1e-13));
    r = ratio_at(&c, 32, 1);
    assert_true(near(r.ratio, 0.9, 1e-14) && near(r.low, 0.8, 1e-13) && near(r.high, 1, 1e-13));
    r = ratio_at(&c, 0.5, 1);
    assert_true(near(r.ratio, 0.8, 1e-14) && near(r.low, 0.7, 1e-13) && near(r.high, 0.9, 1e-13));
    r = conversion_of_draw(ratio_at(&c, 4, 0), 4, 0.06);      /* delta-NLL 3.4 +- .06 sqrt(4) */
    assert_true(near(r.ratio, 0.85, 1e-14) && near(4 * r.low, 3.4 - 0.12 * 1.959964, 1e-7) && near(4 * r.high, 3.4 + 0.12 * 1.959964, 1e-7));
}

/* A line through a noisier level that errs alike is surer beyond than the level itself; the constant is not. */
static void test_line_surer_than_the_level(void **state)
{
    (void)state;
    const double kl[6] = { 1, 1, 1, 4, 4, 4 }, delta[6] = { 0.6, 0.8, 1, 3.2, 3.6, 4 };          /* ratios .8 +- .2 and .9 +- .1, in step */
    const int64_t tokens[3] = { 5, 5, 5 };
    const Conversion c = { 2, 3, tokens, kl, delta };
    const ConversionRatio at = ratio_at(&c, 4, 0), beyond = ratio_at(&c, 8, 0);
    assert_true(near(at.high - at.ratio, student_quantile(0.95, 2) * 0.1 / sqrt(3), 1e-10));
    assert_true(beyond.ratio == at.ratio && near(beyond.high - beyond.ratio, at.high - at.ratio + 0.05, 1e-10));
}

/* ---- coverage ---- */

enum { RUNS = 4000, MOST_WINDOWS = 32 };

/* A curve like that of a model: straight between the levels, and on beyond them. */
static const double LEVEL_KL[LEVELS] = { 0.095, 0.386, 1.644 }, LEVEL_RATIO[LEVELS] = { 0.74, 0.82, 0.92 };

static double true_ratio(double kl)
{
    const int j = kl > LEVEL_KL[1];
    return LEVEL_RATIO[j] + (LEVEL_RATIO[j + 1] - LEVEL_RATIO[j]) * log(kl / LEVEL_KL[j]) / log(LEVEL_KL[j + 1] / LEVEL_KL[j]);
}

/* Windows differ in KL by 30 % and in their ratio by 30 %, in part from level to level; both expectations are those of the curve. */
static void window_losses(double *kl, double *delta, double mean_kl, const float *common, const float *own)
{
    static const double SPREAD = 0.3, SHARED = 0.9;
    const double z = SHARED * (double)common[1] + sqrt(1 - SHARED * SHARED) * (double)own[0];
    *kl = mean_kl * exp(SPREAD * (double)common[0] - SPREAD * SPREAD / 2);
    *delta = *kl * true_ratio(mean_kl) * exp(SPREAD * z - SPREAD * SPREAD / 2);
}

/* How often the interval at kl contains the truth (n_new = 0) or what n_new other windows show, of a model that is one draw. */
static double covered(int n_windows, double kl, int n_new, double draw)
{
    enum { PER_WINDOW = 2 + LEVELS };
    double losses[2][LEVELS * MOST_WINDOWS], inside = 0;
    float z[2 * MOST_WINDOWS * PER_WINDOW];
    int64_t tokens[MOST_WINDOWS];
    for (int w = 0; w < MOST_WINDOWS; w++) tokens[w] = 255;
    for (int run = 0; run < RUNS; run++) {
        rng_normals(z, 2 * MOST_WINDOWS * PER_WINDOW, 5, rng_stream(RNG_TEST, 13, run, n_windows), 0);
        for (int w = 0; w < n_windows; w++)
            for (int j = 0; j < LEVELS; j++)
                window_losses(&losses[0][j * n_windows + w], &losses[1][j * n_windows + w], LEVEL_KL[j], z + w * PER_WINDOW, z + w * PER_WINDOW + 2 + j);
        double truth = true_ratio(kl), sum_kl = 0, sum_delta = 0;
        for (int w = 0; w < n_new; w++) {
            double new_kl, new_delta;
            const float *at = z + (MOST_WINDOWS + w) * PER_WINDOW;
            window_losses(&new_kl, &new_delta, kl, at, at + 2);
            sum_kl += new_kl, sum_delta += new_delta;
        }
        if (n_new > 0) truth = sum_delta / sum_kl;
        truth += draw / sqrt(kl) * normal_quantile(rng_uniform(6, rng_stream(RNG_TEST, 13, run, n_windows), 0));
        const ConversionRatio r = conversion_of_draw(ratio_at(&(Conversion){ LEVELS, n_windows, tokens, losses[0], losses[1] }, kl, n_new), kl, draw);
        inside += truth >= r.low && truth <= r.high;
    }
    return inside / RUNS;
}

/* Standard error of a coverage of .95 over 4000 runs: .0035.  That few windows with unequal KL are fewer than they seem shows. */
static void test_coverage(void **state)
{
    (void)state;
    static const int windows[] = { 4, 8, 16, 32 }, new_windows[] = { 0, 1, 8, 32 };
    static const double kl[] = { 0.095, 0.19, 0.6, 1.644 };
    for (int i = 0; i < 4; i++)
        for (int m = 0; m < 4; m++) {
            double got[4];
            for (int k = 0; k < 4; k++) got[k] = covered(windows[i], kl[k], new_windows[m], 0);
            print_message("%2d windows, new text of %2d: %.1f %.1f %.1f %.1f %% at KL .095, .19, .6, 1.644\n", windows[i], new_windows[m], 100 * got[0], 100 * got[1], 100 * got[2], 100 * got[3]);
            for (int k = 0; k < 4; k++) assert_true(got[k] >= 0.925 && got[k] <= 0.965);
        }
}

static void test_coverage_of_a_draw(void **state)
{
    (void)state;
    static const double draw[] = { 0.01, 0.05, 0.2 };
    for (int i = 0; i < 3; i++) {
        const double got[3] = { covered(8, 0.19, 0, draw[i]), covered(8, 0.19, 8, draw[i]), covered(32, 1.2, 32, draw[i]) };
        print_message("draws of %.2f: %.1f %.1f %.1f %%\n", draw[i], 100 * got[0], 100 * got[1], 100 * got[2]);
        for (int k = 0; k < 3; k++) assert_true(got[k] >= 0.925 && got[k] <= 0.97);
    }
}

/* Where the truth goes on along the line the interval must hold it. */
static void test_coverage_beyond(void **state)
{
    (void)state;
    static const double kl[] = { 0.01, 0.05, 3, 8 };
    for (int k = 0; k < 4; k++) {
        const double got = covered(16, kl[k], 0, 0);
        print_message("16 windows, KL %g: %.1f %%\n", kl[k], 100 * got);
        assert_true(got >= 0.935);
    }
}

/* ---- refusals ---- */

static void expect_failure(const Conversion *c, double kl, int n_new, const char *words)
{
    ConversionRatio r = { -7, -7, -7 };
    assert_int_equal(conversion_ratio(&r, c, kl, n_new), ERR_ARGUMENT);
    if (!strstr(err_last(), words)) fail_msg("'%s' does not say '%s'", err_last(), words);
    assert_true(r.ratio == -7 && r.low == -7 && r.high == -7);
}

static void test_refusals(void **state)
{
    (void)state;
    const double kl[4] = { 1, 3, 2, 4 }, delta[4] = { 1, 2, 2, 3 }, bad_delta[4] = { 1, 2, NAN, 3 }, single[2] = { 1, 0 }, negative[2] = { 1, -2 }, infinite[2] = { 1, INFINITY };
    const double falling[4] = { 2, 4, 1, 3 }, equal[4] = { 2, 4, 4, 2 };
    const int64_t tokens[2] = { 5, 5 }, no_tokens[2] = { 5, 0 };
    const Conversion good = { 2, 2, tokens, kl, delta };
    ratio_at(&good, 2, 0);
    const double bad_kl[] = { 0, -1, NAN, INFINITY };
    for (int i = 0; i < 4; i++) expect_failure(&good, bad_kl[i], 0, "to convert");
    expect_failure(&good, 2, -1, "-1 windows");
    expect_failure(&(Conversion){ 0, 2, tokens, kl, delta }, 2, 0, "one level");
    expect_failure(&(Conversion){ 1, 1, tokens, kl, delta }, 2, 0, "two windows");
    expect_failure(&(Conversion){ 1, 2, no_tokens, kl, delta }, 2, 0, "0 tokens");
    expect_failure(&(Conversion){ 2, 2, tokens, kl, bad_delta }, 2, 0, "level 1 of the conversion, window 0");
    expect_failure(&(Conversion){ 1, 2, tokens, infinite, delta }, 2, 0, "window 1");
    expect_failure(&(Conversion){ 1, 2, tokens, single, delta }, 2, 0, "not positive");
    expect_failure(&(Conversion){ 1, 2, tokens, negative, delta }, 2, 0, "not positive");
    expect_failure(&(Conversion){ 2, 2, tokens, falling, delta }, 2, 0, "not above");
    expect_failure(&(Conversion){ 2, 2, tokens, equal, delta }, 2, 0, "not above");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_windows_by_hand), cmocka_unit_test(test_levels_and_lines), cmocka_unit_test(test_beyond_the_levels),
        cmocka_unit_test(test_exact_curve), cmocka_unit_test(test_line_surer_than_the_level),
        cmocka_unit_test(test_coverage), cmocka_unit_test(test_coverage_of_a_draw), cmocka_unit_test(test_coverage_beyond), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("conversion", tests, NULL, NULL);
}
