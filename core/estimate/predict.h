/*
 * predict.h - the loss that coefficients predict for a whole model, with the interval in which its
 * measurement on the same text should fall
 *
 *     S = sum_l a_l t_l^2 [nats/token]
 *
 * The measurement differs from S by (i) what the text's windows do to the difference, window by window
 * D_w = measured_w - S_w: standard error over windows; (ii) the one draw that a quantizer's error is,
 * where the coefficient is a mean over draws: variance v_l of the coefficient of layer l between
 * draws; and (iii) the law itself, which no interval covers: a measurement outside it says that the
 * law has ended.
 *
 *     interval = S +- sqrt((t se_D)^2 + t'^2 sum_l t_l^4 v_l)
 *
 * with Student's t for n - 1 windows, and t' for the degrees of freedom that the sum of the v_l has
 * (Welch and Satterthwaite): those of one v_l where it dominates, many where none does.
 *
 * Fresh noise in every window: v_l is how the windows of layer l scatter once the factor common to all
 * other layers is taken out, times the number of draws averaged.  It errs on the safe side by what
 * these other layers' draws, and the text, do to that difference.  The noise of a_l itself is in D_w.
 *
 * One draw shared by all windows: windows cannot tell v_l, draws can.  D_w does not scatter with them, so
 * v_l comes in twice: once for the quantizer's draw, once over n_draws for those in a_l.
 *
 * The delta-NLL of one draw is mostly the gradient times the error, which grows with t and not with
 * t^2: v_l, from noise at t2_noise, is v_l t2_noise / t_l^2 at t_l^2.  The larger of both is taken.
 */
#ifndef CORE_ESTIMATE_PREDICT_H
#define CORE_ESTIMATE_PREDICT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int n_layers, n_windows, n_draws;
    const double *a;                /* [n_layers][n_windows] coefficient by window, mean over draws  */
    const int64_t *tokens;          /* [n_windows]                                                 */
    bool shared;                    /* a draw serves all windows; otherwise each has its own       */
    const double *by_draw;          /* [n_layers][n_draws] coefficient of each draw, mean over windows; read where shared */
    const double *t2_noise;         /* [n_layers] level that a comes from, for delta-NLL; NULL for KL */
} WindowCoefficients;

typedef struct { double value, low, high; } Interval;

/* v_l of the text above.  v: [n_layers]; all NaN with one window, or where shared with one draw. */
void draw_variance(double *v, const WindowCoefficients *c);

/* measured: [n_windows] loss of each window; t2: [n_layers], 0 where a layer is clean; v from
 * draw_variance.  Ends NaN where v is. */
Interval predict_loss(const WindowCoefficients *c, const double *t2, const double *v, const double *measured);

/* mean of a / mean of b, both [n] by window, and its standard error over windows (NaN for one), in which what both have of
 * the text cancels. */
double paired_ratio(double *se, const double *a, const double *b, const int64_t *tokens, int n);

/* measured / S in the same way. */
double predict_ratio(double *se, const WindowCoefficients *c, const double *t2, const double *measured);

#endif
