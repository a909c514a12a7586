/*
 * cpu.h - the overrides of the cpu back end, one file per group of operations; contracts in kernels.h
 */
#ifndef KERNELS_CPU_CPU_H
#define KERNELS_CPU_CPU_H

#include "kernels/kernels.h"

void matmul_cpu(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                const float *bias, const Ragged *batch, int C, int N);
void matmul_halves_cpu(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                       const float *bias, const Ragged *batch, int C, int N);
void attention_cpu(float *out, const float *q, const float *k, const float *v,
                   const Ragged *queries, const Ragged *keys, int H, int G, int D);
void rms_norm_cpu(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void rotate_cpu(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D);
void swiglu_cpu(float *out, const float *gate, const float *up, int64_t n);
void add_cpu(float *x, const float *y, int64_t n);
void copy_cpu(float *out, const float *x, int64_t n);
void log_sum_exp_cpu(double *log_sum, int32_t *top, double *target_logit, const float *logits,
                     const int32_t *target, int64_t rows, int V);
void kl_divergence_cpu(double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V);

void matmul_backward_cpu(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add);
void weight_gradient_cpu(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);
void gradient_forms_cpu(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                        const Ragged *batch, int C, int N, const FormInput *input);
void rms_norm_backward_cpu(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void attention_backward_cpu(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                            const Ragged *batch, int H, int G, int D);
void swiglu_backward_cpu(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n);
void log_sum_exp_signed_cpu(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                            const int32_t *target, const uint32_t *sign, int64_t rows, int V);
void logit_probe_cpu(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V);
void logit_difference_cpu(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                          const int32_t *target, int64_t rows, int V);

#endif
