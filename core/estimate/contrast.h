/*
 * contrast.h - how precise coefficients are as an allocation sees them: a common factor of all layers costs nothing
 *
 * With errors eta_l = log(estimate_l / a_l) and shares w_l = weights_l / sum weights, reverse water-filling
 * on the estimates costs, over the best allocation at equal bits,
 *
 *     [sum_l w_l e^-eta_l] e^(sum_l w_l eta_l) - 1  ~  1/2 Var_w(eta)  =  1/2 sum_l w_l (eta_l - sum_m w_m eta_m)^2
 *
 * because the bits of layer l are 1/2 log2 a_l plus a constant.  Windows give its expectation: with
 *
 *     e_lw = a_lw / a_l - 1,     c_w = sum_l w_l e_lw,     se_l = standard error of the mean of e_lw - c_w over windows
 *
 * (a_l the mean weighted by tokens), 1/2 sum_l w_l se_l^2 = 1/2 [sum_l w_l V_ll - sum_lm w_l w_m V_lm], V the
 * covariance of the relative errors of the means: no L x L matrix is needed.
 *
 * a: [n_layers][n_windows] nats/token per unit of t^2; tokens: [n_windows]; weights: [n_layers], how many
 * weights a layer has, at least 1.  All borrowed.  Regret is relative: .01 is 1 % more loss.
 */
#ifndef CORE_ESTIMATE_CONTRAST_H
#define CORE_ESTIMATE_CONTRAST_H

#include <stdint.h>

/* Covariance of the means of a[n] and b[n] over the same windows; of a with itself weighted_mean's se^2.  NaN for n = 1. */
double covariance_of_means(const double *a, const double *b, const int64_t *tokens, int n);

/* se[n_layers] as above, relative to the layer's coefficient; all NaN for one window.  A layer whose a_l is not
 * finite has NaN and one with a_l <= 0 infinity (its logarithm could be anything); neither counts in c_w. */
void contrast_errors(double *se, const double *a, const int64_t *tokens, const int64_t *weights, int n_layers, int n_windows);

/* The regret to expect of an allocation by these coefficients: NaN for one window or where a coefficient is not
 * finite, otherwise infinity where one is not positive. */
double contrast_regret(const double *a, const int64_t *tokens, const int64_t *weights, int n_layers, int n_windows);

/* Windows at which the regret, which goes as 1 / windows, falls to target > 0: rounded up, at least 1; a double,
 * since NaN and infinity pass through.  NaN where target is not positive. */
double contrast_windows(double regret, int n_windows, double target);

#endif
