/*
 * perturbation.h - what turns a weight matrix W into W^: noise at a stated error, or a quantizer
 *
 *     t^2 = ||W^ - W||_F^2 / ||W||_F^2          kappa = -<W^ - W, W> / ||W||_F^2
 *
 * Both are computed in double from what apply returned (perturbation_apply does it, so no
 * perturbation can misreport them); bits per weight are counted by the perturbation to the last
 * scale and zero point.  A new quantizer is one file that defines a Perturbation and one row in
 * registry.c.
 */
#ifndef CORE_PERTURB_PERTURBATION_H
#define CORE_PERTURB_PERTURBATION_H

#include <stdint.h>

#include "core/base/options.h"

typedef struct {
    const float *w;                 /* [rows][cols], row = output */
    int64_t rows, cols;
    int layer;                      /* index in the model: part of the random stream */
} LayerWeights;

/* What a random perturbation depends on besides the layer.  Deterministic ones ignore it. */
typedef struct { uint64_t seed; int draw, sequence; } Draw;

typedef struct { double t2, kappa, bits; } PerturbationError;       /* bits per weight; NaN for noise, which has no rate */

/* What a perturbation may ask for beyond the weights, collected once for all that ask. */
enum { NEEDS_HESSIAN = 1, NEEDS_GRADIENT = 2, NEEDS_GRID = 4 };
typedef struct { const float *hessian; const float *gradient; } Evidence;

typedef struct Perturbation {
    const char *name, *summary;
    int version;                    /* part of the key: raised when results change */
    const Option *options;
    unsigned needs;
    int random;                     /* does W^ depend on the Draw? */
    /* Does W^ differ from one sequence (window) to the next, or is one W^ used for all? */
    int (*per_sequence)(const Options *options);                    /* NULL: never */
    /* out [rows][cols] = W^; *bits = bits per weight (NaN for noise).  out and w do not overlap. */
    int (*apply)(float *out, double *bits, const LayerWeights *weights, const Options *options,
                 const Evidence *evidence, Draw draw);
    /* ERR_ARGUMENT where these options cannot be used on this shape; NULL: always possible. */
    int (*check)(int64_t rows, int64_t cols, const Options *options);
} Perturbation;

/* registry.c: all of them, ending with NULL; by name, or NULL with the failure recorded
 * ("unknown perturbation 'rtm'; did you mean 'rtn'?"). */
extern const Perturbation *const perturbations[];
const Perturbation *perturbation_find(const char *name);

/* check, apply, measure.  ERR_ARGUMENT also where W or W^ is not finite.  On failure *error is
 * untouched and out undefined. */
int perturbation_apply(float *out, PerturbationError *error, const Perturbation *perturbation,
                       const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw);

/* t2 and kappa of what came out, in double; bits is left alone.  W = 0: t2 = 0 or infinity, kappa = 0. */
void perturbation_measure(PerturbationError *error, const float *out, const float *w, int64_t n);

/* Weights from which on threads repay their start: `#pragma omp parallel for if (n >= PARALLEL_WEIGHTS)`. */
enum { PARALLEL_WEIGHTS = 1 << 15 };

/* ||w||^2 in double, summed in an order that depends on n alone. */
double sum_of_squares(const float *w, int64_t n);

#endif
