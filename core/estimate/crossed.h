/*
 * crossed.h - the error of a sum whose draws and windows are both random, where each draw serves all windows
 *
 *     estimate = sum of cells z_rc over draws r and windows c;   e_rc = z_rc - its expectation
 *     variance = sum_c (sum_r e_rc)^2 + sum_r (sum_c e_rc)^2 - sum_rc e_rc^2
 *
 * (two-way clustering: Cameron, Gelbach and Miller 2011.)  What is of a draw and a window together stands in both first
 * terms and is taken off once.  The first term is what windows show by themselves; here is the rest.  A delta-NLL is mostly gradient
 * times error, which is just such an interaction, so to add both terms as they are would count it twice.
 */
#ifndef CORE_ESTIMATE_CROSSED_H
#define CORE_ESTIMATE_CROSSED_H

/*
 * Variance that draws add to that over windows; by chance negative where they add nothing.  e: [n_rows][n_columns]; leverage[n_rows]: the share that
 * a draw has in the estimate it is compared with (they sum to 1), which makes its residual too small.  NaN below two
 * draws or windows.
 */
double crossed_draws(const double *e, const double *leverage, int n_rows, int n_columns);

/* Standard error from both parts: sqrt(windows + draws), the sum held at half of what windows show from below.  (Measured with 15 draws and 8
 * windows, the variance is then 11 % too large where all of it is of draws and windows together, right elsewhere.) */
double crossed_se(double windows, double draws);

#endif
