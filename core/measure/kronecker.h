/*
 * kronecker.h - the size of an error as the Kronecker factors of a layer's Fisher matrix see it
 *
 *     K = tr(S_delta E S_x E') d / (tr S_delta tr S_x ||W||^2)           d = rows cols
 *
 * K = t^2 for an error that is alike in all directions, so that a K, a the coefficient of one sigma per matrix (gradients.h: sigma), is
 * the loss that is predicted for the error E, and a t^2 the prediction that knows its size alone (protocol.md section 5; factors
 * after KFAC, arXiv 1503.05671).
 */
#ifndef CORE_MEASURE_KRONECKER_H
#define CORE_MEASURE_KRONECKER_H

#include <stdint.h>

#include "kernels/kernels.h"

/* error, w [rows][cols], input [cols][cols], gradient [rows][rows] on the host.  NaN where W or a factor is 0. */
double kronecker_size(const float *error, const float *w, const float *input, const float *gradient, int64_t rows, int64_t cols,
                      const Kernels *kernels);

#endif
