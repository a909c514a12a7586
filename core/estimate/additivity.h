/*
 * additivity.h - how far the losses of single layers add up to that of all: interaction and the additive scale
 *
 *     I = KL(all) / sum_l KL(l alone)
 *     lambda:  sum_l f(KL(l alone)) = f(KL(all)),   f(x) = (e^(lambda x) - 1) / lambda,   f(x) = x for lambda = 0
 *
 * (protocol.md section 1).  lambda = 0: losses add on the scale of NLL and KL; lambda = 1: on that of the perplexity;
 * below 0: the whole is more than the sum (I > 1), as at 2-3 bits.  For 0 < x < X, f(x) / f(X) falls with lambda from 1
 * to 0, so with at least two positive losses, all below that of the whole, exactly one lambda exists.  A loss that is
 * not positive (delta-NLL within its noise) can add roots; the one nearest to 0 is taken, above 0 where the sum is
 * more than the whole and below 0 where it is less.
 *
 * Losses in nats/token, lambda in tokens/nat.  single: [n_layers][n_windows], all: [n_windows], tokens: [n_windows].
 */
#ifndef CORE_ESTIMATE_ADDITIVITY_H
#define CORE_ESTIMATE_ADDITIVITY_H

#include <stdint.h>

/* lambda of mean losses single[n_layers] and all; NaN where there is no root with |lambda| all < 512, where all is not
 * positive, or where a loss is not finite. */
double additivity_lambda(const double *single, double all, int n_layers);

/* The same for means over windows weighted by tokens, with its delete-one-window jackknife standard error: NaN for
 * one window, or where there is no root without some window. */
double additivity_scale(double *se, const double *single, const double *all, const int64_t *tokens, int n_layers, int n_windows);

/* I and its standard error over windows, in which what both have of the text cancels (predict_ratio). */
double additivity_interaction(double *se, const double *single, const double *all, const int64_t *tokens, int n_layers, int n_windows);

#endif
