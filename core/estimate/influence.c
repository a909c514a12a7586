#include "core/estimate/influence.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

enum { FEWEST_LAYERS = 3 };             /* for a median over them that one cannot move at will */

static bool all_finite(const double *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* quantile sorts in place; x stays as it is. */
static double median(const double *x, int n)
{
    double *copy = xmalloc(sizeof *copy * (size_t)n);
    memcpy(copy, x, sizeof *copy * (size_t)n);
    double out = quantile(copy, n, 0.5);
    free(copy);
    return out;
}

Influence influence_largest(const double *a, const int64_t *tokens, int n)
{
    Influence out = { -1, NAN, NAN, NAN };
    if (!all_finite(a, n)) return out;
    double mean, unused, total = 0, most = -1;
    weighted_mean(&mean, &unused, a, tokens, n);
    for (int w = 0; w < n; w++) total += (double)tokens[w];
    for (int w = 0; w < n; w++) {
        double left = total - (double)tokens[w], change = n > 1 ? (double)tokens[w] * (mean - a[w]) / left : 0;
        if (!(fabs(change) > most)) continue;
        most = fabs(change);
        out = (Influence){ w, (double)tokens[w] * a[w] / (total * mean), a[w] / median(a, n), n > 1 ? change / mean : NAN };
    }
    return out;
}

/* level[n_windows]; layers without a positive median have no scale to be compared on. */
static void window_levels(double *level, const double *a, int n_layers, int n_windows)
{
    double *scale = xmalloc(sizeof *scale * (size_t)n_layers), *relative = xmalloc(sizeof *relative * (size_t)n_layers);
    for (int l = 0; l < n_layers; l++)
        scale[l] = all_finite(a + (int64_t)l * n_windows, n_windows) ? median(a + (int64_t)l * n_windows, n_windows) : NAN;
    for (int w = 0; w < n_windows; w++) {
        int n = 0;
        for (int l = 0; l < n_layers; l++)
            if (scale[l] > 0) relative[n++] = a[(int64_t)l * n_windows + w] / scale[l];
        level[w] = n < FEWEST_LAYERS ? 1 : quantile(relative, n, 0.5);
        if (!(level[w] > 0)) level[w] = NAN;
    }
    free(scale), free(relative);
}

/* Values within the cap come back as they were, to the bit; through NaN in a level all of the layer's mean is lost. */
static int cap_layer(double *capped, const double *a, const double *level, int n, double cap)
{
    int n_capped = 0;
    for (int w = 0; w < n; w++) capped[w] = a[w] / level[w];
    const double m = median(capped, n), most = m > 0 ? cap * m : INFINITY;
    for (int w = 0; w < n; w++) {
        const bool over = fabs(capped[w]) > most;
        capped[w] = isnan(level[w]) ? NAN : over ? copysign(most, a[w]) * level[w] : a[w];
        n_capped += over;
    }
    return n_capped;
}

void influence_cap(double *capped, int *n_capped, const double *a, int n_layers, int n_windows, double cap)
{
    assert(cap > 1 && capped != a);
    double *level = xmalloc(sizeof *level * (size_t)n_windows);
    window_levels(level, a, n_layers, n_windows);
    for (int l = 0; l < n_layers; l++) {
        const int64_t at = (int64_t)l * n_windows;
        const bool finite = all_finite(a + at, n_windows);
        n_capped[l] = finite ? cap_layer(capped + at, a + at, level, n_windows, cap) : 0;
        for (int w = 0; w < n_windows && !finite; w++) capped[at + w] = NAN;
    }
    free(level);
}

void influence_robust_mean(double *mean, double *se, int *n_capped, const double *a, const int64_t *tokens, int n_layers, int n_windows, double cap)
{
    double *capped = xmalloc(sizeof *capped * (size_t)n_layers * (size_t)n_windows);
    influence_cap(capped, n_capped, a, n_layers, n_windows, cap);
    for (int l = 0; l < n_layers; l++) weighted_mean(&mean[l], &se[l], capped + (int64_t)l * n_windows, tokens, n_windows);
    free(capped);
}
