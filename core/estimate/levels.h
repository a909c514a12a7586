/*
 * levels.h - which noise levels count as one, and the weights of least squares of y/t^2 on (1, t^2)
 *
 *     a = sum_j for_a_j y_j / t_j^2,    b = sum_j for_b_j y_j / t_j^2
 *
 * One place for both, so that a coefficient is the same number wherever it is used.
 */
#ifndef CORE_ESTIMATE_LEVELS_H
#define CORE_ESTIMATE_LEVELS_H

/* index[j] = the level that t2[j] belongs to, in ascending order; returns their number.  t2 within
 * 1 % of the lowest of a level are draws of that one. */
int levels_group(int *index, const double *t2, int n);

/* Weights of the n points; with one level for_a is their mean and for_b 0.  Returns the number of levels. */
int levels_weights(double *for_a, double *for_b, const double *t2, int n);

#endif
