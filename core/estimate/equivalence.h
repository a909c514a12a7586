/*
 * equivalence.h - does the law hold to within a margin? over layers, and over layers and choices
 *
 * T1: log ratios y_i = log(measured_i / predicted_i) = mean + u_i + noise of standard error s_i, u_i ~ N(0, between^2)
 * over layers.  Weights 1 / (s_i^2 + between^2) with between^2 by moments (between.h); that makes the standard error of
 * the weighted mean, 1 / sqrt(sum of weights), Hartung and Knapp's (2001), or larger where between = 0: Student's t with
 * n - 1 degrees of freedom.  Equivalence is shown, not assumed (TOST, Schuirmann 1987): p is the larger of the two
 * one-sided levels against mean = log margin and mean = -log margin, so few or noisy layers fail.  Simulated with s
 * from .02 to .3 and between = .1, a mean at the margin passes the 5 % level in 3.4, 5.8, 4.8 % of cases (4, 12, 60 layers).
 *
 * T2: log measured_i = intercept + slope log predicted_i + u_i + noise_i over (layer, choice), with the same weights;
 * slope 1, intercept 0 if the law holds.  The intercept at log predicted = 0 lies far outside the data (losses are
 * 1e-3 nats, say): `offset`, the distance from the law at the weighted centre, is the one to look at.  Errors of the
 * predictions enter as part of s_i; they pull the slope to 0 by their share of the variance of log predicted.
 * Pairs of one layer share its coefficient: the standard errors are those of independent pairs, and too small for them.
 *
 * Everything is NaN where an input is not finite or s_i < 0: leave out what has no standard error before asking.
 * s_i = 0 is an exact pair.
 */
#ifndef CORE_ESTIMATE_EQUIVALENCE_H
#define CORE_ESTIMATE_EQUIVALENCE_H

typedef struct {
    double mean, se;                /* of the log ratio; exp(mean) is the geometric mean of ratios  */
    double between;                 /* sd of log ratios between layers beyond what s explains       */
    double p;                       /* of TOST; below .05: equivalent at the 5 % level              */
} Equivalence;

typedef struct {
    double slope, slope_se, intercept, intercept_se;
    double centre, offset, offset_se;       /* weighted mean of log predicted; fit there - centre and its error, for a known slope */
    double sd, sd_se;               /* of the residuals, all causes, with n - 2; se for normal residuals */
    double between;                 /* the part of it beyond what s explains                        */
} LogRegression;

/* log_ratio, s: [n]; margin: the ratio's, above 1 (1.1: between 1/1.1 and 1.1).  For n = 1 mean is the value, the rest NaN. */
Equivalence equivalence_test(const double *log_ratio, const double *s, int n, double margin);

/* All [n]; s[i] is the standard error of log_measured[i] - log_predicted[i].  NaN below three pairs or with equal predictions. */
LogRegression equivalence_regression(const double *log_measured, const double *log_predicted, const double *s, int n);

/* Share of pairs that agree within their 95 % interval, |log ratio| <= t s with Student's t for standard errors over n_windows
 * windows; a pair that is not finite does not. */
double equivalence_share(const double *log_ratio, const double *s, int n, int n_windows);

#endif
