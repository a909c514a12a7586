/*
 * perturbation.h - what turns a weight matrix W into W^: noise at a stated error, or a quantizer
 *
 *     t^2 = ||W^ - W||_F^2 / ||W||_F^2          kappa = -<W^ - W, W> / ||W||_F^2
 *
 * Both are computed in double from what came out (perturbation_apply does it, so no perturbation can misreport
 * them).  A quantizer is an encode into the stored form (core/quantize/packed.h) and a decode that makes W^ from it
 * alone; its bits per weight are those of the stored form, to the last scale and zero point.  A new quantizer is one
 * file that defines a Perturbation and one row in registry.c.
 */
#ifndef CORE_PERTURB_PERTURBATION_H
#define CORE_PERTURB_PERTURBATION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/options.h"
#include "core/quantize/packed.h"
#include "core/quantize/sparse.h"
#include "core/saliency/saliency.h"
#include "kernels/kernels.h"

typedef struct {
    const float *w;                 /* [rows][cols], row = output; NULL in decode */
    int64_t rows, cols;
    int layer;                      /* index in the model: part of the random stream */
} LayerWeights;

/* What a random perturbation depends on besides the layer.  Deterministic ones ignore it. */
typedef struct { uint64_t seed; int draw, sequence; } Draw;

/* Bits per weight, in all and of the codes alone; NaN for noise, which has no rate. */
typedef struct { double t2, kappa, bits, code_bits; } PerturbationError;

/* What a perturbation may ask for beyond the weights, collected once for all that ask (core/measure/evidence.h); what it did not ask
 * for is NULL. */
enum { NEEDS_INPUTS = 1, NEEDS_GRADIENT = 2, NEEDS_FISHER = 4, NEEDS_MASK = 8 };
typedef struct {
    const float *hessian;           /* INPUTS: [cols][cols] H = 2 X X' / n over the n inputs x [cols] of a calibration text */
    const double *input_mean;       /* INPUTS: [cols] mean |x_j| */
    const float *gradient;          /* GRADIENT: [rows][cols] sum over the windows of that text of |dL/dW|, L the mean NLL of a window */
    const float *fisher;            /* FISHER: [rows][cols] sum of (dL/dW)^2 */
    const KeptWeights *kept;        /* MASK: the weights of this layer that are kept out of the quantized form */
} Evidence;

/* Which weights are kept: of all layers together the share `ratio` of the largest score.  seed: of the score random. */
typedef struct { Score score; double ratio; uint64_t seed; } MaskRule;

/* Noise as a back end can make it, see Kernels.noise: W^ = float32(W + sigma z), sigma = t rms of the `group` weights of a row, or of
 * the matrix where group is 0; z normal, or signs, at (seed of the draw, stream, index of the weight). */
typedef struct { double t; int64_t group; bool signs; uint64_t stream; } NoiseForm;

typedef struct Perturbation {
    const char *name, *summary;
    int version;                    /* part of the key: raised when results change */
    const Option *options;
    unsigned needs;                 /* NEEDS_*: what evidence has; evidence is NULL where this is 0 */
    int (*random)(const Options *options);                          /* does W^ depend on seed and draw?  NULL: never */
    /* Does W^ differ from one sequence (window) to the next, or is one W^ used for all? */
    int (*per_sequence)(const Options *options);                    /* NULL: never */
    /* Are the inputs it needs those of the model quantized so far, and not of the clean one? */
    int (*sequential)(const Options *options);                      /* NULL: never */

    /* MASK: the rule of its mask.  The table has the row `ratio`; with ratio = 0 the perturbation makes the Q(W) that scores look at, whatever the
     * rows score, seed and value_bits say, where there are such. */
    void (*mask)(MaskRule *out, const Options *options);

    /* Noise: out [rows][cols] = W^.  out and w do not overlap. */
    int (*apply)(float *out, const LayerWeights *weights, const Options *options, Draw draw);

    /* What apply does, for a back end that does it itself.  NULL: this is no such noise. */
    void (*noise)(NoiseForm *out, int layer, const Options *options, Draw draw);

    /* Quantizers, in the place of apply.  out is empty on entry and the caller's to free, after a failure too. */
    int (*encode)(Packed *out, const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw);
    /* out [rows][cols] = W^, from the stored form, the options and the draw alone. */
    void (*decode)(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw);

    /* What encode and decode make together, by a back end that does it itself: the same bits of out [rows][cols] and the same rate in
     * error->bits and code_bits; out and weights->w in the memory of k.  *made = false: it does not with these options and this shape.
     * NULL: no back end does. */
    int (*quantize_on)(bool *made, float *out, PerturbationError *error, const Kernels *k, const LayerWeights *weights, const Options *options,
                       Draw draw);

    /* ERR_ARGUMENT where these options cannot be used on this shape; NULL: always possible. */
    int (*check)(int64_t rows, int64_t cols, const Options *options);
} Perturbation;

/* registry.c: all of them, ending with NULL; by name, or NULL with the failure recorded
 * ("unknown perturbation 'rtm'; did you mean 'rtn'?"). */
extern const Perturbation *const perturbations[];
const Perturbation *perturbation_find(const char *name);

/* NEEDS_* with what the mask's scores look at. */
unsigned perturbation_needs(const Perturbation *perturbation, const Options *options);

/* The evidence of NEEDS_*, for a sentence: "the inputs of the layers and the gradients by the weights". */
const char *needs_text(unsigned needs);

/* Do seed and draw matter with these options?  Where they do not, they are no part of a key. */
bool perturbation_is_random(const Perturbation *perturbation, const Options *options);

/* check, apply or encode and decode, measure.  ERR_ARGUMENT also where W or W^ is not finite, and where evidence is missing
 * that the perturbation needs.  On failure *error is untouched and out undefined. */
int perturbation_apply(float *out, PerturbationError *error, const Perturbation *perturbation,
                       const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw);

/* The two halves of it for a quantizer.  out of the first is empty on entry and the caller's to free, after a failure too; packed of the second is
 * what the first made of the same weights with the same options and draw. */
int perturbation_encode(Packed *out, const Perturbation *perturbation, const LayerWeights *weights, const Options *options, const Evidence *evidence, Draw draw);
int perturbation_decode(float *out, PerturbationError *error, const Perturbation *perturbation, const Packed *packed, const LayerWeights *weights,
                        const Options *options, Draw draw);

/* t2 and kappa of what came out, in double; bits are left alone.  W = 0: t2 = 0 or infinity, kappa = 0. */
void perturbation_measure(PerturbationError *error, const float *out, const float *w, int64_t n);

/* Weights from which on threads repay their start: `#pragma omp parallel for if (n >= PARALLEL_WEIGHTS)`. */
enum { PARALLEL_WEIGHTS = 1 << 15 };

/* ||w||^2 in double, summed in an order that depends on n alone. */
double sum_of_squares(const float *w, int64_t n);

#endif
