#include "core/estimate/fit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/bootstrap.h"
#include "core/estimate/distribution.h"
#include "core/estimate/levels.h"

static const double LEVEL = 0.95;           /* of the intervals */
enum { FEWEST_FOR_BOOTSTRAP = 6 };          /* windows; with fewer, resampling covers less than it says */

static double ratio(const double *x, const double *weight, int n)
{
    double sum = 0, total = 0;
    for (int k = 0; k < n; k++) {
        sum += weight[k] * x[k];
        total += weight[k];
    }
    return sum / total;
}

void weighted_mean(double *mean, double *se, const double *x, const int64_t *weight, int n)
{
    double sum = 0, total = 0, squares = 0;
    for (int k = 0; k < n; k++) {
        sum += (double)weight[k] * x[k];
        total += (double)weight[k];
    }
    *mean = sum / total;
    for (int k = 0; k < n; k++) squares += pow((double)weight[k] * (x[k] - *mean), 2);
    *se = n > 1 ? sqrt(squares * n / (n - 1)) / total : NAN;
}

double *window_difference(const double *x, const double *y, int n)
{
    double *out = xmalloc(sizeof *out * (size_t)n);
    for (int k = 0; k < n; k++) out[k] = x[k] - y[k];
    return out;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(double *x, int n, double p)
{
    for (int i = 0; i < n; i++)
        if (isnan(x[i])) return NAN;
    if (n == 0 || !(p >= 0 && p <= 1)) return NAN;
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    double at = p * (n - 1), below = floor(at);
    int i = (int)below;
    return i + 1 < n && at > below ? x[i] + (at - below) * (x[i + 1] - x[i]) : x[i];
}

static int check_input(const double *y, const double *t2, const int64_t *weight, int n_levels, int n_windows)
{
    if (n_levels < 1 || n_windows < 1)
        FAIL(ERR_ARGUMENT, "a fit needs at least one level and one window, not %d and %d", n_levels, n_windows);
    for (int k = 0; k < n_windows; k++)
        if (weight[k] <= 0) FAIL(ERR_ARGUMENT, "window %d has %lld tokens", k, (long long)weight[k]);
    for (int j = 0; j < n_levels; j++) {
        if (!(t2[j] > 0 && isfinite(t2[j]))) FAIL(ERR_ARGUMENT, "level %d has t2 = %g, which is not a positive number", j, t2[j]);
        for (int k = 0; k < n_windows; k++)
            if (!isfinite(y[(int64_t)j * n_windows + k]))
                FAIL(ERR_ARGUMENT, "the response at t2 = %g in window %d is %g", t2[j], k, y[(int64_t)j * n_windows + k]);
    }
    return OK;
}

/*
 * Least squares is linear in the responses and a mean over windows is linear in the windows: with
 * the weights c_j that give a from y_j / t2_j, a is the token-weighted mean of window_a[k] =
 * sum_j c_j y_jk / t2_j, and so for b.  A resample is then one weighted mean.
 */
static void window_coefficients(double *window_a, double *window_b, const double *y, const double *t2, int n_levels, int n_windows)
{
    double *for_a = xmalloc((size_t)n_levels * sizeof *for_a), *for_b = xmalloc((size_t)n_levels * sizeof *for_b);
    levels_weights(for_a, for_b, t2, n_levels);
    for (int k = 0; k < n_windows; k++) window_a[k] = window_b[k] = 0;
    for (int j = 0; j < n_levels; j++)
        for (int k = 0; k < n_windows; k++) {
            double z = y[(int64_t)j * n_windows + k] / t2[j];
            window_a[k] += for_a[j] * z;
            window_b[k] += for_b[j] * z;
        }
    free(for_a);
    free(for_b);
}

/* Draws of one level are averaged first: what is left is curvature beyond b, and noise. */
static double largest_residual(const ResponseFit *fit, const double *y, const double *t2, const double *weight,
                               const int *index, int n_levels, int n_windows)
{
    double largest = 0;
    for (int level = 0; level < fit->n_levels; level++) {
        double residual = 0;
        int n = 0;
        for (int j = 0; j < n_levels; j++) {
            if (index[j] != level) continue;
            residual += ratio(y + (int64_t)j * n_windows, weight, n_windows) / t2[j] - fit->a - fit->b * t2[j];
            n++;
        }
        largest = fmax(largest, fabs(residual / n));
    }
    return largest / fabs(fit->a);
}

static void bootstrap_response(ResponseFit *fit, const double *window_a, const double *window_b, const double *weight,
                               int n, int n_resamples, uint64_t seed)
{
    double *a = xmalloc((size_t)n_resamples * sizeof *a), *b = xmalloc((size_t)n_resamples * sizeof *b);
    double *taken = xmalloc((size_t)n * sizeof *taken), *without = xmalloc((size_t)n * sizeof *without);
    int *count = xmalloc((size_t)n * sizeof *count);
    for (int r = 0; r < n_resamples; r++) {
        bootstrap_counts(count, n, r, seed);
        for (int k = 0; k < n; k++) taken[k] = count[k] * weight[k];
        a[r] = ratio(window_a, taken, n);
        b[r] = ratio(window_b, taken, n);
    }
    memcpy(taken, weight, (size_t)n * sizeof *taken);
    for (int k = 0; k < n; k++) {
        taken[k] = 0;
        without[k] = ratio(window_a, taken, n);
        taken[k] = weight[k];
    }
    fit->a_se = bootstrap_se(a, n_resamples, n);
    fit->b_se = isnan(fit->b) ? NAN : bootstrap_se(b, n_resamples, n);
    bootstrap_interval(&fit->a_low, &fit->a_high, a, n_resamples, fit->a, without, n, bootstrap_expanded_level(LEVEL, n));
    free(a), free(b), free(taken), free(without), free(count);
}

static void student_interval(ResponseFit *fit, const double *window_a, const int64_t *weight, int n)
{
    double mean, se;
    weighted_mean(&mean, &se, window_a, weight, n);
    const double half = student_quantile(LEVEL, n - 1) * se;
    fit->a_low = fit->a - half;
    fit->a_high = fit->a + half;
}

static double *as_doubles(const int64_t *weight, int n)
{
    double *out = xmalloc((size_t)n * sizeof *out);
    for (int k = 0; k < n; k++) out[k] = (double)weight[k];
    return out;
}

int fit_response(ResponseFit *out, const double *y, const double *t2, const int64_t *weight,
                 int n_levels, int n_windows, int n_resamples, uint64_t seed)
{
    TRY(check_input(y, t2, weight, n_levels, n_windows));
    double *window_a = xmalloc((size_t)n_windows * sizeof *window_a);
    double *window_b = xmalloc((size_t)n_windows * sizeof *window_b);
    double *tokens = as_doubles(weight, n_windows);
    int *index = xmalloc((size_t)n_levels * sizeof *index);

    ResponseFit fit = { .n_levels = levels_group(index, t2, n_levels) };
    const bool slope = fit.n_levels > 1;
    window_coefficients(window_a, window_b, y, t2, n_levels, n_windows);
    fit.a = ratio(window_a, tokens, n_windows);
    fit.b = slope ? ratio(window_b, tokens, n_windows) : NAN;
    fit.lack_of_fit = fit.n_levels < 3 ? NAN : largest_residual(&fit, y, t2, tokens, index, n_levels, n_windows);
    fit.range5 = 0.05 * fabs(fit.a) / fabs(fit.b);
    fit.range10 = 0.10 * fabs(fit.a) / fabs(fit.b);
    bootstrap_response(&fit, window_a, window_b, tokens, n_windows, n_resamples, seed);
    if (n_windows < FEWEST_FOR_BOOTSTRAP && isfinite(fit.a_se)) student_interval(&fit, window_a, weight, n_windows);
    *out = fit;
    free(window_a), free(window_b), free(tokens), free(index);
    return OK;
}

/* response[j] = exp(mean of level j) - exp(mean of clean), the means weighted. */
static double origin_slope(double *response, const double *nll, const double *clean, const double *t2,
                           const double *weight, int n_levels, int n_windows)
{
    const double clean_ppl = exp(ratio(clean, weight, n_windows));
    double dot = 0, squares = 0;
    for (int j = 0; j < n_levels; j++) {
        response[j] = exp(ratio(nll + (int64_t)j * n_windows, weight, n_windows)) - clean_ppl;
        dot += response[j] * t2[j];
        squares += t2[j] * t2[j];
    }
    return dot / squares;
}

static double explained(const double *response, const double *t2, double alpha, int n)
{
    double mean = 0, residual = 0, total = 0;
    for (int j = 0; j < n; j++) mean += response[j] / n;
    for (int j = 0; j < n; j++) {
        residual += pow(response[j] - alpha * t2[j], 2);
        total += pow(response[j] - mean, 2);
    }
    return n > 1 ? 1 - residual / total : NAN;
}

int fit_through_origin(double *alpha, double *se, double *r2, const double *nll, const double *clean, const double *t2,
                       const int64_t *weight, int n_levels, int n_windows, int n_resamples, uint64_t seed)
{
    TRY(check_input(nll, t2, weight, n_levels, n_windows));
    for (int k = 0; k < n_windows; k++)
        if (!isfinite(clean[k])) FAIL(ERR_ARGUMENT, "the clean loss of window %d is %g", k, clean[k]);
    double *tokens = as_doubles(weight, n_windows), *taken = xmalloc((size_t)n_windows * sizeof *taken);
    double *response = xmalloc((size_t)n_levels * sizeof *response);
    double *replicate = xmalloc((size_t)n_resamples * sizeof *replicate);
    int *count = xmalloc((size_t)n_windows * sizeof *count);

    *alpha = origin_slope(response, nll, clean, t2, tokens, n_levels, n_windows);
    *r2 = explained(response, t2, *alpha, n_levels);
    for (int r = 0; r < n_resamples; r++) {
        bootstrap_counts(count, n_windows, r, seed);
        for (int k = 0; k < n_windows; k++) taken[k] = count[k] * tokens[k];
        replicate[r] = origin_slope(response, nll, clean, t2, taken, n_levels, n_windows);
    }
    *se = bootstrap_se(replicate, n_resamples, n_windows);
    free(tokens), free(taken), free(response), free(replicate), free(count);
    return OK;
}
