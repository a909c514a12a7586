#include "core/estimate/predict.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"

static const double LEVEL = 0.95;

static double variance_around(const double *x, const double *centre, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (x[i] - centre[i]) * (x[i] - centre[i]);
    return n > 1 ? sum / (n - 1) : NAN;
}

/* expected[w] = a_l x what window w does to the layers other than l, which sum to others[w].  Where there
 * are none, or their sum drowns in its own noise, they tell nothing about the window. */
static void expected_of_window(double *expected, double a, const double *others, const WindowCoefficients *c)
{
    double mean, se;
    weighted_mean(&mean, &se, others, c->tokens, c->n_windows);
    for (int w = 0; w < c->n_windows; w++) expected[w] = c->n_layers > 1 && mean > 2 * se ? a * others[w] / mean : a;
}

static void fresh_variance(double *v, const WindowCoefficients *c)
{
    const int n = c->n_windows;
    double *sum = xcalloc((size_t)n, sizeof *sum), *others = xmalloc(sizeof *others * (size_t)n);
    double *expected = xmalloc(sizeof *expected * (size_t)n);
    for (int64_t i = 0; i < (int64_t)c->n_layers * n; i++) sum[i % n] += c->a[i];
    for (int l = 0; l < c->n_layers; l++) {
        const double *a = c->a + (int64_t)l * n;
        double mean, se;
        weighted_mean(&mean, &se, a, c->tokens, n);
        for (int w = 0; w < n; w++) others[w] = sum[w] - a[w];
        expected_of_window(expected, mean, others, c);
        v[l] = c->n_draws * variance_around(a, expected, n);
    }
    free(sum);
    free(others);
    free(expected);
}

static void shared_variance(double *v, const WindowCoefficients *c)
{
    const int n = c->n_draws;
    double *mean = xmalloc(sizeof *mean * (size_t)n);
    for (int l = 0; l < c->n_layers; l++) {
        const double *a = c->by_draw + (int64_t)l * n;
        double sum = 0;
        for (int d = 0; d < n; d++) sum += a[d];
        for (int d = 0; d < n; d++) mean[d] = sum / n;
        v[l] = c->n_windows > 1 ? variance_around(a, mean, n) : NAN;
    }
    free(mean);
}

void draw_variance(double *v, const WindowCoefficients *c)
{
    assert(c->n_draws >= 1 && (!c->shared || c->by_draw));
    if (c->shared) shared_variance(v, c);
    else fresh_variance(v, c);
}

/* What the draws in layer l add to the variance of measured - S. */
static double draw_part(const WindowCoefficients *c, int l, double t2, double v)
{
    double quantizer = t2 * (c->t2_noise ? fmax(t2, c->t2_noise[l]) : t2);
    return t2 > 0 ? v * (quantizer + (c->shared ? t2 * t2 / c->n_draws : 0)) : 0;
}

/* Each kind of error with its own t, which covers where their sum with joint degrees of freedom does
 * not (Banerjee 1961): by chance the estimate with the fewest may be next to nothing. */
static double half_width(const WindowCoefficients *c, const double *t2, const double *v, double se)
{
    const int freedom = (c->shared ? c->n_draws : c->n_windows) - 1;
    double variance = 0, squares = 0;
    for (int l = 0; l < c->n_layers; l++) {
        double part = draw_part(c, l, t2[l], v[l]);
        variance += part;
        squares += part * part / freedom;
    }
    return hypot(student_quantile(LEVEL, c->n_windows - 1) * se, student_half_width(LEVEL, variance, squares));
}

/* S_w; the caller frees. */
static double *predicted_windows(const WindowCoefficients *c, const double *t2)
{
    double *predicted = xcalloc((size_t)c->n_windows, sizeof *predicted);
    for (int l = 0; l < c->n_layers; l++)
        for (int w = 0; w < c->n_windows; w++) predicted[w] += c->a[(int64_t)l * c->n_windows + w] * t2[l];
    return predicted;
}

Interval predict_loss(const WindowCoefficients *c, const double *t2, const double *v, const double *measured)
{
    double *predicted = predicted_windows(c, t2), *difference = window_difference(measured, predicted, c->n_windows);
    double value, mean, se;
    weighted_mean(&value, &se, predicted, c->tokens, c->n_windows);
    weighted_mean(&mean, &se, difference, c->tokens, c->n_windows);
    free(predicted);
    free(difference);
    double half = c->n_windows > 1 ? half_width(c, t2, v, se) : NAN;
    return (Interval){ value, value - half, value + half };
}

double paired_ratio(double *se, const double *a, const double *b, const int64_t *tokens, int n)
{
    double value, got, mean;
    weighted_mean(&value, se, b, tokens, n);
    weighted_mean(&got, se, a, tokens, n);
    double *rest = xmalloc(sizeof *rest * (size_t)n);
    for (int w = 0; w < n; w++) rest[w] = a[w] - got / value * b[w];
    weighted_mean(&mean, se, rest, tokens, n);
    free(rest);
    *se /= fabs(value);
    return got / value;
}

double predict_ratio(double *se, const WindowCoefficients *c, const double *t2, const double *measured)
{
    double *predicted = predicted_windows(c, t2), ratio = paired_ratio(se, measured, predicted, c->tokens, c->n_windows);
    free(predicted);
    return ratio;
}
