#include "core/estimate/additivity.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/predict.h"

static const double FIRST = 1.0 / 64, LAST = 512;          /* |lambda| X: e^512 is still a number */

/* sum_l f(x_l) / f(X) - 1: the excess of the sum, of one size for any lambda. */
static double excess(const double *x, double whole, int n, double lambda)
{
    double sum = 0;
    for (int l = 0; l < n; l++) sum += lambda == 0 ? x[l] / whole : expm1(lambda * x[l]) / expm1(lambda * whole);
    return sum - 1;
}

double additivity_lambda(const double *single, double all, int n_layers)
{
    const double at0 = excess(single, all, n_layers, 0);
    if (!(all > 0)) return NAN;
    if (at0 == 0) return 0;
    const double side = at0 > 0 ? 1 / all : -1 / all;      /* the excess falls with lambda */
    double near = 0, far = FIRST;
    while (!(excess(single, all, n_layers, side * far) * at0 < 0)) {        /* 0 by rounding and NaN are no root */
        near = far;
        far *= 2;
        if (far > LAST) return NAN;
    }
    for (int i = 0; i < 60; i++) {
        double middle = (near + far) / 2;
        if (excess(single, all, n_layers, side * middle) * at0 > 0) near = middle; else far = middle;
    }
    return side * (near + far) / 2;
}

/* Mean over windows but one (none for without < 0). */
static double mean_without(const double *x, const int64_t *tokens, int n, int without)
{
    double sum = 0, total = 0;
    for (int w = 0; w < n; w++) {
        if (w == without) continue;
        sum += (double)tokens[w] * x[w];
        total += (double)tokens[w];
    }
    return sum / total;
}

static double lambda_without(const double *single, const double *all, const int64_t *tokens, int n_layers, int n_windows, int without)
{
    double *mean = xmalloc(sizeof *mean * (size_t)n_layers);
    for (int l = 0; l < n_layers; l++) mean[l] = mean_without(single + (int64_t)l * n_windows, tokens, n_windows, without);
    double lambda = additivity_lambda(mean, mean_without(all, tokens, n_windows, without), n_layers);
    free(mean);
    return lambda;
}

double additivity_scale(double *se, const double *single, const double *all, const int64_t *tokens, int n_layers, int n_windows)
{
    const double lambda = lambda_without(single, all, tokens, n_layers, n_windows, -1);
    double *left = xmalloc(sizeof *left * (size_t)n_windows), mean = 0, squares = 0;
    for (int w = 0; w < n_windows && n_windows > 1; w++) {
        left[w] = lambda_without(single, all, tokens, n_layers, n_windows, w);
        mean += left[w] / n_windows;
    }
    for (int w = 0; w < n_windows && n_windows > 1; w++) squares += (left[w] - mean) * (left[w] - mean);
    *se = n_windows > 1 ? sqrt(squares * (n_windows - 1) / n_windows) : NAN;
    free(left);
    return lambda;
}

double additivity_interaction(double *se, const double *single, const double *all, const int64_t *tokens, int n_layers, int n_windows)
{
    double *one = xmalloc(sizeof *one * (size_t)n_layers);
    for (int l = 0; l < n_layers; l++) one[l] = 1;
    const WindowCoefficients sum = { .n_layers = n_layers, .n_windows = n_windows, .n_draws = 1, .a = single, .tokens = tokens };
    double ratio = predict_ratio(se, &sum, one, all);
    free(one);
    return ratio;
}
