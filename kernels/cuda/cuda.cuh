/*
 * cuda.cuh - the slots of the cuda back end, one file per operation; contracts in kernels.h
 */
#ifndef KERNELS_CUDA_CUDA_CUH
#define KERNELS_CUDA_CUDA_CUH

#include "kernels/cuda/device.cuh"

/* device.cu */
float *alloc_cuda(int64_t n);
void release_cuda(float *p);
void copy_cuda(float *out, const float *x, int64_t n);
const char *failure_cuda();
int64_t free_memory_cuda();

/* transfer.cu */
void upload_cuda(float *device, const float *host, int64_t n);
void download_cuda(float *host, const float *device, int64_t n);
void upload_half_cuda(float *device, const void *bits, int64_t n, int is_bf16);
void mark_cuda();
void ahead_cuda(int on);

/* profile.cu */
void finish_cuda();
void profile_cuda(int start);
int  profiled_cuda(OperationTime *out, int most);

/* norm.cu */
void rms_norm_cuda(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void rms_norm_bf16(bf16 *out, const float *x, const float *gain, int64_t rows, int C, float epsilon);
void rms_norm_backward_cuda(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon);

/* elementwise.cu */
void rotate_cuda(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D);
void swiglu_cuda(float *out, const float *gate, const float *up, int64_t n);
void swiglu_bf16(bf16 *out, const bf16 *gate, const bf16 *up, int64_t n);
void swiglu_backward_cuda(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n);
void add_cuda(float *x, const float *y, int64_t n);
void to_bf16_cuda(bf16 *out, const float *x, int64_t n);
void to_float_cuda(float *out, const bf16 *x, int64_t n);
void to_bf16_rows(bf16 *out, int64_t stride, const float *x, int64_t rows, int N);     /* x [rows][N] into rows of `stride` numbers */
/* x [rows][stride] from column `first` on, heads * D numbers: the per-head norm (gain NULL: none), then the rotation. */
void norm_rotate_bf16(bf16 *x, int64_t stride, const float *gain, float epsilon, const float *cosine, const float *sine, const Ragged *batch, int heads, int D);

/* matmul.cu: cuBLASLt */
void matmul_cuda(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N);
void matmul_halves_cuda(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N);
void matmul_backward_cuda(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add);
void weight_gradient_cuda(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);
/* g [N][C] = sum of dy_r x_r' over the rows [first, first + rows) alone, dy rows of dy_stride numbers; float32, or bf16 where rounded. */
void sequence_gradient(float *g, const void *dy, int64_t dy_stride, const void *x, int64_t first, int rows, int C, int N, bool rounded, bool add);

/* attention.cu, attention_backward.cu: fp32 */
void attention_cuda(float *out, const float *q, const float *k, const float *v, const Ragged *queries, const Ragged *keys, int H, int G, int D);
void attention_backward_cuda(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                             const Ragged *batch, int H, int G, int D);

/* attention_bf16.cu: on tensor cores.  q rows of q_stride, k and v rows of kv_stride numbers, out [rows][H*D]; D a multiple of 16, at most 128. */
void attention_bf16(bf16 *out, const bf16 *q, int64_t q_stride, const bf16 *k, const bf16 *v, int64_t kv_stride, const Ragged *batch, int H, int G, int D);

/* attention_backward_bf16.cu: on tensor cores, the inputs of its products rounded; other D than above by the fp32 kernels */
void attention_backward_bf16(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                             const Ragged *batch, int H, int G, int D);

/* The slot in bf16: inputs rounded, the fp32 kernel where tensor cores do not take the shape. */
void attention_rounded(float *out, const float *q, const float *k, const float *v, const Ragged *queries, const Ragged *keys, int H, int G, int D);

/* loss.cu */
void log_sum_exp_cuda(double *log_sum, int32_t *top, double *target_logit, const float *logits, const int32_t *target, int64_t rows, int V);
void log_sum_exp_signed_cuda(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                             const int32_t *target, const uint32_t *sign, int64_t rows, int V);
void kl_divergence_cuda(double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V);

/* logit.cu */
void logit_probe_cuda(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V);
void logit_difference_cuda(float *logits, const double *log_sum, const float *other, const double *other_log_sum, const int32_t *target, int64_t rows, int V);

/* total.cu: total[i] = the sum of part[i][n], i < sums, in a tree that n alone decides */
void total_cuda(double *total, const double *part, int sums, int64_t n);

/* forms.cu */
void gradient_forms_bf16(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                         const Ragged *batch, int C, int N, const FormInput *input);
void gradient_forms_cuda(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                         const Ragged *batch, int C, int N, const FormInput *input);

/* group_scales.cu */
double group_scales_cuda(float *scale, const float *w, int64_t rows, int64_t cols, int group);

/* noise.cu */
void noise_cuda(float *out, double *t2, double *kappa, const float *w, int64_t rows, int64_t cols, int64_t group, double t,
                int signs, uint64_t seed, uint64_t stream);

/* hadamard.cu, grid_encode.cu, uniform.cu, higgs.cu, relative_error.cu */
void hadamard_cuda(float *out, const float *x, const float *sign, int64_t rows, int64_t cols, int group, int inverse);
void grid_encode_cuda(float *code, const float *x, const float *point, int64_t count, int n, int p);
void grid_decode_cuda(float *out, const float *code, const float *point, const float *scale, int64_t count, int p, int64_t group);
void uniform_cuda(float *out, double *zero, const float *w, int64_t rows, int64_t cols, const UniformRounding *how);
void higgs_cuda(float *out, const float *w, int64_t rows, int64_t cols, const HiggsRounding *how);
void relative_error_cuda(double *t2, double *kappa, const float *out, const float *w, int64_t n);

/* bf16.cu: rounded weights, parts of a block, products whose inputs are rounded */
void settle_bf16(const float *w, int64_t n);
void release_bf16(float *p);
void matmul_bf16(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N);
void matmul_halves_bf16(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N);
void matmul_backward_bf16(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add);
void weight_gradient_bf16(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);
/* The first n numbers at p as bf16: as settled, or made in the scratch of this slot. */
const bf16 *rounded_of(const float *p, int64_t n);
int64_t end_of(const Ragged *batch);            /* rows up to the end of the last sequence */
void attention_part_bf16(float *x, const AttentionPart *part, const Ragged *batch);
void feed_forward_part_bf16(float *x, const FeedForwardPart *part, const Ragged *batch);

#endif
