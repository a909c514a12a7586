/*
 * device_quantize.h - weights that are quantized where they are, without a copy of them on the host
 */
#ifndef CORE_MEASURE_DEVICE_QUANTIZE_H
#define CORE_MEASURE_DEVICE_QUANTIZE_H

#include "core/perturb/perturbation.h"

/* Where the back end quantizes so itself: *made = true, out [rows][cols] = the bits that perturbation_apply gives, *error theirs (t2 and kappa
 * up to the order of their sums), out and weights->w in the memory of k.  Otherwise, and where something is not finite, so that the
 * host says what it is: *made = false, *error untouched and out undefined.  ERR_ARGUMENT as perturbation_apply has it, ERR_DEVICE. */
int device_quantize(bool *made, float *out, PerturbationError *error, const Kernels *k, const Perturbation *p, const LayerWeights *weights,
                    const Options *options, Draw draw);

#endif
