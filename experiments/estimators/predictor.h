/*
 * predictor.h - what predicts the loss of a real error in one layer
 *
 *     a t^2,   a^G t^2,   a K,   a^G (t^2 - kappa^2) + rho kappa^2,   E <G, E>^2 / 2T
 *
 * a, a^G, rho from one backward pass (estimator fisher); t^2, kappa of the error (perturbation.h); K by Kronecker factors (kronecker.h);
 * the last form is measured with the error itself (gradients.h).  protocol.md section 5.
 */
#ifndef EXPERIMENTS_PREDICTOR_H
#define EXPERIMENTS_PREDICTOR_H

#include "experiments/estimators/estimator.h"

typedef enum { PREDICTOR_SIGMA, PREDICTOR_GROUP, PREDICTOR_KRONECKER, PREDICTOR_SHRINKAGE, PREDICTOR_SQUARE, PREDICTORS } Predictor;
typedef struct { const char *name, *meaning; } PredictorRow;
extern const PredictorRow predictor_row[PREDICTORS];

/* square [n_windows], and K: read by the predictors that need them. */
typedef struct { double t2, kappa, kronecker; const double *square; } ErrorSize;

/* out[n_windows] of the layer at `place` among the coefficients, nats/token. */
void predictor_loss(double *out, Predictor predictor, const Coefficients *coefficients, int place, const ErrorSize *error);

/* Backward passes that take <G, E>^2 / 2T of every choice of the config in these layers [n] (places among run->layer), as many
 * choices in each as it holds: choices [first, first + request->n_errors). */
typedef int (*ErrorPassVisitor)(void *context, const GradientRequest *request, int first);
int each_error_pass(const Run *run, const int *place, int n, ErrorPassVisitor visit, void *context);

/* square[choice][place][n_windows], mean over probes, as far as the request of one pass goes. */
int add_error_pass(double *square, Run *run, const GradientRequest *request, int first);

#endif
