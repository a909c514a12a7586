/*
 * predict.h - the loss that coefficients predict for a whole model, with the interval in which its
 * measurement on the same text should fall
 *
 *     S = sum_l a_l t_l^2 [nats/token]
 *
 * The measurement differs from S by (i) what the text's windows do to the difference, window by window
 * D_w = measured_w - S_w: standard error over windows; (ii) the one draw that a quantizer's error is,
 * where the coefficient is a mean over draws: variance v_l of layer l, estimated from how its
 * windows (each with noise of its own) scatter once their common factor is taken out; and (iii) the law
 * itself, which no interval covers: a measurement outside it says that the law has ended.
 *
 *     interval = S +- t_{.975, n-1} sqrt(se_D^2 + sum_l t_l^4 v_l)
 */
#ifndef CORE_ESTIMATE_PREDICT_H
#define CORE_ESTIMATE_PREDICT_H

#include <stdint.h>

/* a[n_layers][n_windows]: coefficient of each layer by window; tokens[n_windows]. */
typedef struct { int n_layers, n_windows; const double *a; const int64_t *tokens; } WindowCoefficients;

typedef struct { double value, low, high; } Interval;

/* v_l of the text above.  v: [n_layers]; with one window all NaN. */
void draw_variance(double *v, const WindowCoefficients *c);

/* measured: [n_windows] loss of each window; t2: [n_layers], 0 where a layer is clean; v from
 * draw_variance.  One window: value only, ends NaN. */
Interval predict_loss(const WindowCoefficients *c, const double *t2, const double *v, const double *measured);

/* Quantile .975 of Student's t with n degrees of freedom (1 % accurate at 2, better above). */
double student_975(int n);

#endif
