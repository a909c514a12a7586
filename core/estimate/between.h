/*
 * between.h - the variance between units beyond what their standard errors explain
 *
 * x_i = fit_i + u_i + noise of standard error s_i, u_i with the same variance v for all.  By moments: v solves
 *
 *     sum_i (x_i - fit_i(v))^2 / (s_i^2 + v) = degrees of freedom,     fit(v) by least squares with these weights
 *
 * and is 0 where the left is smaller even there (Paule and Mandel 1982).  DerSimonian and Laird (1986) solve it
 * with weights 1 / s_i^2 throughout, which one s_i near 0 decides alone; for equal s_i both are the same number.
 */
#ifndef CORE_ESTIMATE_BETWEEN_H
#define CORE_ESTIMATE_BETWEEN_H

/* The left side at v = variance, which falls as v rises. */
typedef double (*BetweenSquares)(double variance, const void *data);

/* v in the units of x squared; NaN without a degree of freedom, or where squares is. */
double between_variance(BetweenSquares squares, const void *data, int freedom);

/* 1 / (s^2 + variance); finite for an exact value, which outweighs all others; 0 for s that is negative or not finite. */
double between_weight(double s, double variance);

#endif
