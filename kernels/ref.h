/*
 * ref.h - the backward slots of ref, in a file of their own; contracts in kernels.h
 */
#ifndef KERNELS_REF_H
#define KERNELS_REF_H

#include "kernels/kernels.h"

void matmul_backward_ref(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add);
void weight_gradient_ref(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);
void gradient_forms_ref(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                        const Ragged *batch, int C, int N, const FormInput *input);
void rms_norm_backward_ref(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void attention_backward_ref(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                            const Ragged *batch, int H, int G, int D);
void swiglu_backward_ref(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n);
void logit_probe_ref(float *logits, const double *log_sum, const uint32_t *sign, const int32_t *target, int64_t rows, int V);
void logit_difference_ref(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                          const int32_t *target, int64_t rows, int V);

#endif
