/*
 * probe_elementwise.h - operations of the cuda back end that have no slot of the table, on host arrays, for tests
 *
 * Arrays are host memory; what an operation takes or gives as bf16 is rounded on the way in and comes back as the float it stands for.
 * `shift` numbers lie before each device array: 0 for aligned ones.
 */
#ifndef KERNELS_CUDA_PROBE_ELEMENTWISE_H
#define KERNELS_CUDA_PROBE_ELEMENTWISE_H

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

void probe_to_bf16(float *out, const float *x, int64_t n, int shift);
void probe_swiglu_bf16(float *out, const float *gate, const float *up, int64_t n, int shift);
void probe_rms_norm_bf16(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon, int shift);

/* x [rows][stride], in place: heads * D numbers of each row from column `first` on.  Tables: [positions][D/2]. */
void probe_norm_rotate_bf16(float *x, int64_t rows, int64_t stride, int64_t first, const float *gain, float epsilon, const float *cosine,
                            const float *sine, int positions, const Ragged *batch, int heads, int D);

#ifdef __cplusplus
}
#endif

#endif
