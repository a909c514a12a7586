/*
 * estimator.h - what fills the table of coefficients
 *
 *     loss(t^2 in layer l alone) = a_l t^2 + O(t^4)      a_l in the metric's unit per unit of t^2
 *
 * An estimator measures (or finds in the store) what it needs and gives a_l window by window, so that all of them have their
 * errors from the same windows and are compared pair by pair.  A new one is one file that defines an Estimator and
 * one row in ESTIMATOR_LIST.
 */
#ifndef EXPERIMENTS_ESTIMATORS_ESTIMATOR_H
#define EXPERIMENTS_ESTIMATORS_ESTIMATOR_H

#include "experiments/experiment.h"

typedef struct Estimator Estimator;

enum { ROBUST_CAP = 5 };            /* a robust mean counts a window at most so many times the layer's median window (influence.h) */

typedef struct {
    const Estimator *estimator;
    const char *scale;              /* "group" or "matrix": what the error it stands for follows      */
    int n_layers, n_windows;
    int *layer;                     /* [n_layers] model indices, ascending                             */
    int64_t *tokens;                /* [n_windows]                                                     */
    double *a;                      /* [n_layers][n_windows] mean over draws                           */
    double *sigma, *rho;            /* the same for one sigma per matrix, and along W; NULL: not known */
    int n_draws;                    /* that a is the mean of                                           */
    double *draws;                  /* [n_layers] where a draw serves all windows: variance of a that these do not show (crossed.h); otherwise NULL */
    double passes, seconds;         /* cost in forward passes over the windows, by FLOPs; wall time    */
    double passes_all;              /* cost had it looked at all layers under study                    */
} Coefficients;

struct Estimator {
    const char *name, *summary;
    const char *metric;             /* "nats/token (KL)" ... of what a unit of t^2 costs               */
    const char *caveat;             /* what it is off by, and why; "" for nothing                       */
    bool one_by_one;                /* a measurement for each layer: only for the layers of check.layers, where there are any */
    int (*plan)(Plan *plan, Run *run);
    int (*run)(Coefficients *out, Run *run);
};

/* X(name) stands for estimator_name; the order is that of tables and of --help. */
#define ESTIMATOR_LIST(X) \
    X(fisher)             \
    X(fisher_sampled)     \
    X(fisher_labels)      \
    X(hutchinson)         \
    X(kl)                 \
    X(nll_pair)           \
    X(nll_control)        \
    X(paper)

#define X(name) extern const Estimator estimator_##name;
ESTIMATOR_LIST(X)
#undef X

extern const Estimator *const estimators[];         /* ends with NULL */

/* ERR_ARGUMENT with the nearest name, or all of them. */
int estimator_find(const Estimator **out, const char *name);

/* Room for these layers and the windows of the study; a is zero, sigma, rho and draws NULL. */
void coefficients_init(Coefficients *out, const Estimator *estimator, const Run *run, const int *layer, int n_layers);
void coefficients_free(Coefficients *coefficients);

/* Place of a model's layer among the coefficients', -1 where it is not one of them. */
int coefficients_place(const Coefficients *coefficients, int layer);

typedef struct { double value, se, low, high; } Estimate;

/* One row of a, sigma or rho: mean, standard error and 95 % interval over windows (and draws, where they are shared). */
int coefficient_estimate(Estimate *out, const Coefficients *coefficients, const double *by_window, int place, const Run *run);

/* The layers that an estimator of this kind looks at: *out of *n, the caller frees.  ERR_ARGUMENT where there are none. */
int estimator_layers(int **out, int *n, const Estimator *estimator, const Run *run);

/* Work of all layers under study over that of these, one at a time: what a cost is multiplied by to speak of all. */
double estimator_extrapolation(const Run *run, const int *layer, int n);

/* The noise of the config, or with some of its settings replaced: t2, scale ("group", "matrix"), fresh ("sequence", "shared").
 * The caller frees; NULL with the failure recorded. */
Options *noise_at(const Run *run, const Perturbation *law, double t2, const char *scale, const char *fresh);
const Perturbation *noise_law(const Run *run);      /* NULL with the failure recorded */

#endif
