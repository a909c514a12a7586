#include "core/estimate/contrast.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

double covariance_of_means(const double *a, const double *b, const int64_t *tokens, int n)
{
    double mean_a, mean_b, unused, sum = 0, total = 0;
    weighted_mean(&mean_a, &unused, a, tokens, n);
    weighted_mean(&mean_b, &unused, b, tokens, n);
    for (int w = 0; w < n; w++) {
        sum += (double)tokens[w] * (double)tokens[w] * (a[w] - mean_a) * (b[w] - mean_b);
        total += (double)tokens[w];
    }
    return n > 1 ? sum * n / (n - 1) / (total * total) : NAN;
}

static double *shares(const int64_t *weights, int n_layers)
{
    double *share = xmalloc(sizeof *share * (size_t)n_layers), total = 0;
    for (int l = 0; l < n_layers; l++) {
        assert(weights[l] >= 1);
        total += (double)weights[l];
    }
    for (int l = 0; l < n_layers; l++) share[l] = (double)weights[l] / total;
    return share;
}

static double *means(const double *a, const int64_t *tokens, int n_layers, int n_windows)
{
    double *mean = xmalloc(sizeof *mean * (size_t)n_layers), unused;
    for (int l = 0; l < n_layers; l++) weighted_mean(&mean[l], &unused, a + (int64_t)l * n_windows, tokens, n_windows);
    return mean;
}

static bool usable(double mean) { return isfinite(mean) && mean > 0; }

/* c_w, over the layers that have a logarithm: one without must not hide what is known of the others. */
static double *window_levels(const double *a, const double *mean, const double *share, int n_layers, int n_windows)
{
    double *level = xcalloc((size_t)n_windows, sizeof *level), total = 0;
    for (int l = 0; l < n_layers; l++) {
        if (!usable(mean[l])) continue;
        total += share[l];
        for (int w = 0; w < n_windows; w++) level[w] += share[l] * (a[(int64_t)l * n_windows + w] / mean[l] - 1);
    }
    for (int w = 0; w < n_windows; w++) level[w] /= total;
    return level;
}

static double error_without(double mean) { return mean <= 0 && isfinite(mean) ? INFINITY : NAN; }

void contrast_errors(double *se, const double *a, const int64_t *tokens, const int64_t *weights, int n_layers, int n_windows)
{
    double *share = shares(weights, n_layers), *mean = means(a, tokens, n_layers, n_windows);
    double *level = window_levels(a, mean, share, n_layers, n_windows), *contrast = xmalloc(sizeof *contrast * (size_t)n_windows);
    for (int l = 0; l < n_layers; l++) {
        double unused;
        for (int w = 0; w < n_windows; w++) contrast[w] = a[(int64_t)l * n_windows + w] / mean[l] - 1 - level[w];
        weighted_mean(&unused, &se[l], contrast, tokens, n_windows);
        if (!usable(mean[l]) && n_windows > 1) se[l] = error_without(mean[l]);
    }
    free(share), free(mean), free(level), free(contrast);
}

double contrast_regret(const double *a, const int64_t *tokens, const int64_t *weights, int n_layers, int n_windows)
{
    double *share = shares(weights, n_layers), *se = xmalloc(sizeof *se * (size_t)n_layers), regret = 0;
    contrast_errors(se, a, tokens, weights, n_layers, n_windows);
    for (int l = 0; l < n_layers; l++) regret += share[l] * se[l] * se[l] / 2;
    free(share), free(se);
    return regret;
}

double contrast_windows(double regret, int n_windows, double target)
{
    static const double ROUNDING = 1e-12;       /* a regret that meets its target needs no further window */
    if (!(target > 0) || isnan(regret)) return NAN;
    return fmax(ceil(n_windows * (regret / target) * (1 - ROUNDING)), 1);
}
