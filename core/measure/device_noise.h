/*
 * device_noise.h - noise that is made where the weights are, without a copy of them on the host
 *
 *     W + factor (W^ - W) = W + factor sigma z:  a factor of the error is one of t, up to the rounding of W^
 */
#ifndef CORE_MEASURE_DEVICE_NOISE_H
#define CORE_MEASURE_DEVICE_NOISE_H

#include "core/measure/study.h"

/* Where the perturbation is noise and the back end has the slot: *made = true, out [rows][cols] = the weights, *error theirs, both out
 * and clean in the back end's memory.  Otherwise *made = false and nothing is touched.  ERR_ARGUMENT as perturbation_apply has it, ERR_DEVICE. */
int device_noise(bool *made, float *out, PerturbationError *error, const Study *study, const MapEntry *entry, const float *clean, Draw draw,
                 double factor);

#endif
