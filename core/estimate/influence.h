/*
 * influence.h - heavy tails: what the worst window does to a layer's mean, and a mean that bounds it
 *
 * One window of 24 carried 73 times the median of a layer.  The robust mean, for layers l and windows w:
 *
 *     level_w = median over layers of a_lw / median_w a_lw         (1 for fewer than three layers)
 *     v_lw = a_lw / level_w,   m_l = median_w v_lw,   v'_lw = v_lw, at most cap m_l and at least -cap m_l
 *     mean_l = sum_w tokens_w level_w v'_lw / sum_w tokens_w
 *
 * Windows differ by a factor common to all layers, which is no outlier: it is divided out first, so that a hard text
 * is not capped in every layer, and multiplied back.  By the median over layers, which a few wild layers do not move
 * and which needs no logarithm (slopes can be negative).
 *
 * Bias: the mean of a skewed law is cut.  Where v is chi-square with r degrees of freedom over r, and cap = 5, by 22 %
 * (r = 1), 3.1 % (2), .026 % (5), nothing from 10 on; measured with 24 windows and 31 layers 22, 4.0, .08, 0 %.  r follows
 * from a layer's contrast error: 2 / (n_windows x contrast_errors^2), 33 at 5 % of 24 windows, 4 at 15 %.  One wild window
 * in n, however large, moves the mean by (cap - 1) / n of it where the others are near their median: 17 % for 5 and 24.
 * The standard error is that of the capped values: it knows neither the bias nor that the cap is an estimate (measured
 * 13 % too small at r = 2, right from r = 5 on).
 *
 * a: [n_layers][n_windows] nats/token per unit of t^2, tokens: [n_windows].  Borrowed.
 */
#ifndef CORE_ESTIMATE_INFLUENCE_H
#define CORE_ESTIMATE_INFLUENCE_H

#include <stdint.h>

typedef struct {
    int window;                     /* whose removal changes the mean most; the first of equals; -1 where a is not finite */
    double share;                   /* tokens_w a_w / sum of tokens_w a_w                          */
    double size;                    /* a_w / median of a                                           */
    double change;                  /* mean without it / mean - 1; NaN for one window              */
} Influence;

/* Of one layer, a[n]; all NaN where a value is not finite. */
Influence influence_largest(const double *a, const int64_t *tokens, int n);

/*
 * capped[n_layers][n_windows] = level_w v'_lw, to be used like a (weighted_mean, contrast_regret, predict_loss); must not
 * be a.  n_capped[n_layers] = how many windows that changed.  cap > 1: 5 is usual, infinity leaves all as it is.  A layer
 * whose m_l is not positive has no scale to cap at and stays as it is; one with a value that is not finite becomes NaN
 * and has no part in the levels.  A window whose level is not positive becomes NaN in all layers.
 */
void influence_cap(double *capped, int *n_capped, const double *a, int n_layers, int n_windows, double cap);

/* mean, se, n_capped: [n_layers], by weighted_mean of the capped values. */
void influence_robust_mean(double *mean, double *se, int *n_capped, const double *a, const int64_t *tokens, int n_layers, int n_windows, double cap);

#endif
