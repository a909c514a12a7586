/*
 * fit.h - weighted least squares of a response against t^2, and bootstrap intervals over windows
 *
 * The response of one layer to noise is y(t^2) = a t^2 + b t^4 + O(t^6); its noise is multiplicative,
 * so the right weighting is ordinary least squares of y/t^2 = a + b t^2 (weights 1/t^4).
 */
#ifndef CORE_ESTIMATE_FIT_H
#define CORE_ESTIMATE_FIT_H

#include <stdint.h>

/* mean and its standard error over n windows weighted by their tokens (ratio estimator, delete-one
 * residuals: se^2 = n/(n-1) sum w_i^2 (x_i - mean)^2 / (sum w)^2).  se = NaN for n = 1. */
void weighted_mean(double *mean, double *se, const double *x, const int64_t *weight, int n);

/* x - y, window by window: what a difference of losses on the same text is averaged from.  The caller frees. */
double *window_difference(const double *x, const double *y, int n);

typedef struct {
    double a, b;                    /* y/t2 = a + b t2; b = NaN with one level                     */
    double a_se, b_se;              /* bootstrap over windows (bootstrap.h); NaN with one window   */
    double a_low, a_high;           /* 95 % interval of a: BCa over windows, widened for few of them; below
                                       6 windows a +- Student's t x weighted_mean's se              */
    double lack_of_fit;             /* largest |residual| of y/t2 relative to a; NaN below three levels */
    double range5, range10;         /* t2 at which |b| t2 = 5 %, 10 % of |a|; NaN where b is; infinity where b = 0 */
    int n_levels;                   /* distinct ones: t2 within 1 % are draws of one level, as measured */
} ResponseFit;

/* y[n_levels][n_windows]: response of each window (KL or delta-NLL, nats/token) at t2[level] (draws
 * averaged by the caller or given as further levels with equal t2); weight[n_windows]: tokens.
 * Resamples windows, never tokens or levels, so common noise across levels is kept together.
 * ERR_ARGUMENT: no data, t2 or a weight not positive, a response not finite. */
int fit_response(ResponseFit *out, const double *y, const double *t2, const int64_t *weight,
                 int n_levels, int n_windows, int n_resamples, uint64_t seed);

/* Algorithm 3 of arXiv 2411.17525: least squares through the origin on raw responses,
 * alpha = sum_j d_j t_j^2 / sum_j t_j^4, where d_j = exp(mean nll at level j) - exp(mean clean) is the
 * rise of the perplexity.  nll[n_levels][n_windows] and clean[n_windows] are mean losses of a window;
 * se by the same bootstrap; r2 = 1 - residual / centred sum of squares, NaN for one level. */
int fit_through_origin(double *alpha, double *se, double *r2, const double *nll, const double *clean, const double *t2,
                       const int64_t *weight, int n_levels, int n_windows, int n_resamples, uint64_t seed);

/* Quantiles of x[n] (sorted in place), linear interpolation; p in [0, 1]. */
double quantile(double *x, int n, double p);

#endif
