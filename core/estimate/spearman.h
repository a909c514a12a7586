/*
 * spearman.h - do two lists of numbers put the same things in the same order?
 *
 *     rho = correlation of the ranks; equal numbers share the mean of their ranks     (Spearman 1904)
 */
#ifndef CORE_ESTIMATE_SPEARMAN_H
#define CORE_ESTIMATE_SPEARMAN_H

/* rank[n]: 1 for the smallest of x[n]. */
void mid_ranks(double *rank, const double *x, int n);

/* Of x[n] and y[n]; NaN where n < 2 or all of one are equal. */
double correlation(const double *x, const double *y, int n);

double spearman(const double *x, const double *y, int n);

#endif
