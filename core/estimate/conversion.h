/*
 * conversion.h - delta-NLL of a whole model from its KL, by the curve that models of growing error draw on one text
 *
 *     ratio(KL) = delta-NLL / KL,    predicted perplexity = PPL0 exp(ratio(KL) KL)
 *
 * With r_j = mean delta_j / mean kl_j of level j (means weighted by tokens) at its K_j = mean kl_j, the ratio is linear in log KL
 * between levels, f = log(KL / K_j) / log(K_j+1 / K_j):
 *
 *     ratio = (1 - f) r_j + f r_j+1 +- t sqrt(v + u n_windows / n_new)
 *
 * v: variance of that blend, by leaving out one window at a time, so what the text does to KL and delta-NLL, and to neighbouring
 * levels, alike cancels; t: 95 %, n_windows - 1 degrees of freedom.  The second term is one text's own scatter, with u the same
 * blend of the two levels' variances (at a level v = u): the interval is then for what n_new other windows of the same kind
 * will show, not for the mean of all such texts.  Simulated texts whose windows differ by 30 % in KL and in the ratio fall
 * inside in 93 to 96 % of cases from 4 windows on.
 *
 * Below the first level and above the last the ratio is that of the level.  Nothing measured says how the curve goes on there,
 * so both ends of the interval move out by as much as the line through the two outermost levels has left that constant, and v is
 * the larger of the constant's and the line's.  It warns as well: a few times beyond a level it is too wide to be of use.
 *
 * A quantizer's error is one draw, the same in all windows: along the gradient it moves delta-NLL by something proportional to its
 * length and not KL, delta-NLL +- draw sqrt(KL).  Levels made of noise drawn afresh in every window cannot tell: conversion_of_draw
 * adds it where it is known from how real quantizers scatter about the curve.  (On SmolLM2-135M 21 quantizers with KL below .6
 * scatter by .055 sqrt(KL) beyond their standard errors, and those above by less, since the ratio approaches 1.)
 *
 * Left out: the K_j stand where the text at hand puts them (5 % in K_j moves the ratio by .003 where it grows by .06 from one KL
 * to e times it), and that a kind of quantizer may lie beside the curve on average.
 */
#ifndef CORE_ESTIMATE_CONVERSION_H
#define CORE_ESTIMATE_CONVERSION_H

#include <stdint.h>

/* Losses by window of n_levels whole models of growing error on one text, [n_levels][n_windows] nats/token; borrowed. */
typedef struct {
    int n_levels, n_windows;
    const int64_t *tokens;          /* [n_windows]                                */
    const double *kl, *delta;       /* KL and delta-NLL against the clean model   */
} Conversion;

typedef struct { double ratio, low, high; } ConversionRatio;

/*
 * The ratio at kl [nats/token] and its 95 % interval; n_new: windows of the new text, 0 for the mean over texts.  With one level
 * low and high are NaN away from it.  ERR_ARGUMENT: no level, fewer than two windows, a window without tokens, a loss that is not
 * finite, a level whose mean KL is not positive (without any one window too) or not above that of the level before, kl not
 * positive and finite, n_new below 0.  On failure *out is untouched.
 */
int conversion_ratio(ConversionRatio *out, const Conversion *c, double kl, int n_new);

/* The same for a model that is one draw of its error: half the width h becomes sqrt(h^2 + (1.96 draw)^2 / kl).  draw: standard
 * deviation of delta-NLL between draws where KL is 1 nat/token, taken as known. */
ConversionRatio conversion_of_draw(ConversionRatio mean, double kl, double draw);

#endif
