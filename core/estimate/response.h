/*
 * response.h - how the loss of each window answers to error in one layer
 *
 * Points (t^2, KL, NLL) of one layer at several levels and draws.  The estimate of the coefficient is
 * linear in the windows' losses: a = sum_w n_w a_w / sum_w n_w with
 *
 *     a_w = sum_j c_j y_jw / t_j^2,      c = the weights that least squares of y/t^2 on (1, t^2) gives the intercept (levels.h)
 *
 * so that whatever follows from coefficients (a prediction for a whole model, say) can be had window
 * by window, and its standard error with the windows' common part in it.
 *
 * The levels are those asked for: what came out differs by chance alone (each response is divided by
 * the t^2 that it really had).  take[n_points] chooses the points of an estimate.
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
    bool *used;                     /* [n_points] false: its level is too near the noise floor for the fit */
    bool *common;                   /* [n_points] at a level that all layers have                 */
} LayerResponse;

void response_init(LayerResponse *out, int layer, int n_points, int n_windows);
void response_set(LayerResponse *response, int point, const Measurement *measurement, int draw);
void response_free(LayerResponse *response);

/* used = is the KL of a level, mean over windows and draws, at least this?  Draw by draw the lucky ones
 * would stay, which biases what is fitted to them. */
void response_use_above(LayerResponse *response, double least_kl, const int64_t *tokens);

/* out[n_windows] = a_w of the KL, or of NLL - clean_nll where clean_nll is given; NaN where no point is taken. */
void response_coefficients(double *out, const LayerResponse *response, const bool *take, const double *clean_nll);

/* out[n_draws] = the coefficients of single draws, each a mean over windows weighted by tokens. */
void response_by_draw(double *out, int n_draws, const LayerResponse *response, const bool *take, const double *clean_nll,
                      const int64_t *tokens);

/* How many different levels the points taken have. */
int response_levels(const LayerResponse *response, const bool *take);

/* The t^2 that the coefficient's own noise corresponds to, for losses whose noise grows with t: one
 * level's t^2, and with several (all in one direction) 1 / (sum_j c_j / t_j)^2. */
double response_noise_level(const LayerResponse *response, const bool *take);

#endif
