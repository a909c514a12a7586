/*
 * response.h - how the loss of each window answers to error in one layer
 *
 * Points (t^2, KL, NLL) of one layer at several levels and draws.  The estimate of the coefficient is
 * linear in the windows' losses: a = sum_w n_w a_w / sum_w n_w with
 *
 *     a_w = sum_j c_j y_jw / t_j^2,      c = the weights that least squares of y/t^2 on (1, t^2) gives the intercept
 *
 * so that whatever follows from coefficients (a prediction for a whole model, say) can be had window
 * by window, and its standard error with the windows' common part in it.
 */
#ifndef CORE_ESTIMATE_RESPONSE_H
#define CORE_ESTIMATE_RESPONSE_H

#include "core/store/store.h"

typedef struct {
    int layer;                      /* model index                                                */
    int n_points, n_windows;
    double *t2, *t2_asked;          /* [n_points] got and asked                                   */
    int *draw;                      /* [n_points]                                                 */
    double *kl, *nll;               /* [n_points][n_windows] nats/token                           */
    bool *used;                     /* [n_points] false: too near the noise floor for the fit     */
} LayerResponse;

void response_init(LayerResponse *out, int layer, int n_points, int n_windows);
void response_set(LayerResponse *response, int point, const Measurement *measurement, int draw);
void response_free(LayerResponse *response);

/* out[n_windows] = a_w of the KL, or of NLL - clean_nll where clean_nll is given; over used points. */
void response_coefficients(double *out, const LayerResponse *response, const double *clean_nll);

/* How many different levels the used points have. */
int response_levels(const LayerResponse *response);

#endif
