/*
 * ref.h - the slots of ref that stand in files of their own, ref_backward.c and ref_quantize.c; contracts in kernels.h
 */
#ifndef KERNELS_REF_H
#define KERNELS_REF_H

#include "kernels/kernels.h"

void matmul_backward_ref(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add);
void weight_gradient_ref(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);
double group_scales_ref(float *scale, const float *w, int64_t rows, int64_t cols, int group);
void gradient_forms_ref(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                        const Ragged *batch, int C, int N, const FormInput *input);
void rms_norm_backward_ref(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void attention_backward_ref(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                            const Ragged *batch, int H, int G, int D);
void swiglu_backward_ref(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n);
void log_sum_exp_signed_ref(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                            const int32_t *target, const uint32_t *sign, int64_t rows, int V);
void logit_probe_ref(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V);
void logit_difference_ref(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                          const int32_t *target, int64_t rows, int V);

void hadamard_ref(float *out, const float *x, const float *sign, int64_t rows, int64_t cols, int group, int inverse);
void grid_encode_ref(float *code, const float *x, const float *point, int64_t count, int n, int p);
void grid_decode_ref(float *out, const float *code, const float *point, const float *scale, int64_t count, int p, int64_t group);
void uniform_ref(float *out, double *zero, const float *w, int64_t rows, int64_t cols, const UniformRounding *how);
void higgs_ref(float *out, const float *w, int64_t rows, int64_t cols, const HiggsRounding *how);
void relative_error_ref(double *t2, double *kappa, const float *out, const float *w, int64_t n);

#endif
