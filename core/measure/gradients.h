/*
 * gradients.h - what one backward pass tells of every layer, window by window
 *
 * With G_l the gradient of the loss of one sequence (summed over its T scored positions) by W_l, in nats/token:
 *
 *     probe signs   logit gradient u = sqrt(p) r - p (sqrt(p) . r), r = +-1 at random: E G G' = F, the Fisher matrix
 *     probe sampled logit gradient p - [label drawn from p]: the same mean, more noise
 *     probe labels  logit gradient p - [next token]: the gradient of the NLL (its square: the empirical Fisher, biased)
 *     probe kl      logit gradient q - p: the gradient of KL(clean || perturbed) at perturbed weights
 *
 * At the clean weights, for each layer and window, the forms (all for relative squared error 1):
 *     sigma  = ||G||^2 ||W||^2 / (2 d T)                        one sigma per matrix (the paper's coefficient)
 *     group  = sum_rg rms(w_rg)^2 ||G_rg||^2 / (2 T)            group-scaled error (protocol.md eq. 8), the default
 *     rho    = <G, W>^2 / (2 T)                                 error along W itself
 *     for each error E asked for:  NAME.square = <G, E>^2 / (2 T),  NAME.dot = <G, E> / T,  NAME.t2 = ||E||^2 / ||W||^2
 * and at perturbed weights W + delta:
 *     dot    = <G, delta> / T,  t2 = ||delta||^2 / ||W||^2;     dot / (2 t2) is the slope d loss / d t2 (eq. 7)
 *
 * A sum over positions inside the square, since positions that attention mixes do not add up one by one; the windows of
 * several segments add the squares of each.  (Equations: derived for this project; logit probes after arXiv 2505.13614.)
 */
#ifndef CORE_MEASURE_GRADIENTS_H
#define CORE_MEASURE_GRADIENTS_H

#include "core/measure/study.h"

typedef enum { PROBE_SIGNS, PROBE_SAMPLED, PROBE_LABELS, PROBE_KL, PROBES } Probe;
extern const char *const probe_name[PROBES];

/* An error to take forms of, in every layer asked for. */
typedef struct { const char *name; const Perturbation *perturbation; const Options *options; int draw; } ErrorForm;

enum { MOST_ERRORS = 16 };

/* Borrowed pointers. */
typedef struct {
    Probe probe;
    int draw;                       /* which independent draw of the probe                             */
    int group;                      /* input columns of a group                                        */
    int n_layers;
    const int *layer;               /* [n_layers] model indices, ascending                             */
    const LayerMap *point;          /* the perturbed weights; NULL: the clean ones                     */
    int n_errors;                   /* at most MOST_ERRORS; none at a perturbed point                  */
    const ErrorForm *error;
    const char *label;              /* for people */
} GradientRequest;

/* Called after each window that was run. */
typedef void (*GradientProgress)(void *context, const char *label);

/* Forms of windows [0, n_windows) of the study's corpus: layers as asked for, with t2, kappa and bits of the point (0 and NaN
 * at the clean weights), nll of each window, kl (NaN unless the clean pass was needed), forms [layers][windows].  Each window
 * is a record of its own in the store, found again by any request that has it.  The caller frees with measurement_free. */
int measure_gradients(Measurement *out, Study *study, const GradientRequest *request, int n_windows, GradientProgress progress, void *context);

/* One key for all windows of a request. */
int gradients_key(char key[HASH_TEXT], Study *study, const GradientRequest *request);

/* How many of these windows the store has; the cost of one window in forward passes of the model over that window. */
int gradients_known(Study *study, const GradientRequest *request, int n_windows);
double gradients_cost(const Study *study, const GradientRequest *request);

/* Gradient of the summed loss of one window by one layer, [rows][cols] on the host: what the forms are made of. */
int measure_gradient(float *out, Study *study, const GradientRequest *request, int window, int layer);

/* Second moments of the request's layers over all windows: input S_x = sum x x' / rows [cols][cols] and output gradient
 * S_delta = sum dy dy' / rows [rows][rows], the Kronecker factors of a layer's Fisher matrix.  Shown layer after layer and borrowed for
 * the call.  One backward pass over the text for as many layers as `memory` bytes hold (at least one). */
typedef int (*KroneckerVisitor)(void *context, int layer, const float *input, const float *gradient);
int measure_kronecker(Study *study, const GradientRequest *request, int64_t memory, KroneckerVisitor visit, void *context);

#endif
