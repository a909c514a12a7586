/*
 * agreement.h - how far coefficients of one origin (a text, an estimator) stand for those of another
 *
 *     eta_l = log(a_l / b_l),   w_l = weights_l / sum of weights
 *     scale = sum_l a_l / sum_l b_l
 *     regret = [sum_l w_l e^-eta_l] e^(sum_l w_l eta_l) - 1          (protocol.md eq. 9: what allocating by a loses by b's measure)
 *     spread = sd of eta_l;  beyond = sqrt(spread^2 - mean of the squared errors of eta_l), 0 where that is negative
 *
 * A common factor costs an allocation nothing: scale and regret are different questions.  The regret holds the errors of
 * both estimates too; `noise` is the part of it to expect from them alone, half the weighted mean of their squares.
 */
#ifndef CORE_ESTIMATE_AGREEMENT_H
#define CORE_ESTIMATE_AGREEMENT_H

#include <stdint.h>

typedef struct {
    int n;                          /* layers compared: both coefficients positive                    */
    double scale, correlation;      /* ratio of the sums; of the logarithms                            */
    double spread, beyond;          /* sd of log ratios, and what of it the errors do not explain      */
    double regret, noise;
} Agreement;

/* All [n]; a_se, b_se are standard errors over independent texts.  Layers with a coefficient that is not positive are
 * left out; NaN where fewer than two remain, and where an error is not finite what depends on it. */
Agreement agreement_of(const double *a, const double *a_se, const double *b, const double *b_se, const int64_t *weights, int n);

#endif
