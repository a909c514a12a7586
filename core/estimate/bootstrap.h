/*
 * bootstrap.h - resampling of windows, standard errors and BCa intervals
 *
 * Windows are the independent units; tokens within one depend on each other and are never resampled.
 * Which windows a resample takes depends on (seed, resample, n) alone: statistics computed with one seed
 * share their resamples, so differences and ratios between layers may be formed resample by resample.
 */
#ifndef CORE_ESTIMATE_BOOTSTRAP_H
#define CORE_ESTIMATE_BOOTSTRAP_H

#include <stdint.h>

/* count[n] = how often each of n windows is taken when n are drawn with replacement. */
void bootstrap_counts(int *count, int n, int resample, uint64_t seed);

/* Standard deviation of the replicates times sqrt(n / (n - 1)), n windows: the bootstrap takes the
 * sample's variance, with divisor n, for the population's.  NaN for one window or replicate. */
double bootstrap_se(const double *replicate, int n_replicates, int n_windows);

/* Bias-corrected and accelerated interval of the given level (Efron 1987).  jackknife[n_windows]: the
 * estimate without one window.  replicate is sorted in place.  NaN where bootstrap_se is. */
void bootstrap_interval(double *low, double *high, double *replicate, int n_replicates, double estimate,
                        const double *jackknife, int n_windows, double level);

/* The level to ask for so that a few windows cover `level`: percentile intervals are too narrow as if
 * s had divisor n and the normal stood for Student's t, which this undoes (Hesterberg 2015). */
double bootstrap_expanded_level(double level, int n_windows);

#endif
