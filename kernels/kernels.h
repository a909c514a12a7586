/*
 * kernels.h - the table of operations that a back end provides, with all contracts
 *
 * `ref` fills every slot in plain scalar C with double sums and reads like the definition; `cpu`
 * copies ref and overrides what is worth it; `cuda` fills the table anew.  core/network is written once over this table.
 *
 * Matrices are row-major.  A batch of sequences of different lengths lies packed: rows
 * offset[b] .. offset[b] + length[b] belong to sequence b.  float pointers are memory of the back
 * end (from alloc); double, int and Ragged arrays are ordinary host memory.
 *
 * Determinism: what a slot computes for one sequence depends on that sequence and the shapes alone,
 * never on the other sequences of the batch or on the number of threads; in ref and cpu neither on how a
 * caller splits the columns of a matmul at multiples of MATMUL_COLUMNS.
 *
 * Letters: C width of the input, N width of the output, H heads, G key-value heads, D head_dim,
 * V vocabulary, T rows of a sequence.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int n;
    const int *length;              /* [n] rows of each sequence       */
    const int64_t *offset;          /* [n] first row of each sequence  */
} Ragged;

enum { MATMUL_COLUMNS = 256 };      /* output columns of a tile of work */

/* What a weight gradient is reduced against, see gradient_forms. */
typedef struct {
    int group;                      /* input columns that share a scale; the last group of a row may be shorter */
    const float *scale;             /* [N][ceil(C/group)], all >= 0                                   */
    int n;                          /* matrices E_i                                                   */
    const float *const *matrix;     /* [n] host array of pointers to [N][C] in the back end's memory: */
    const int64_t *stride;          /* [n] sequence b uses the matrix at matrix[i] + b * stride[i]     */
} FormInput;

/* y = W x + bias, as a part of a block has it: w [N][C], with stride != 0 sequence b's own at w + b * stride; bias [N] or NULL. */
typedef struct { const float *w; int64_t stride; const float *bias; } Linear;

/* The attention part of a block over a stream of width C: x += O attention(rotate(Q n), rotate(K n), V n),  n = rms_norm(x). */
typedef struct {
    int C, H, G, D;
    float epsilon;
    const float *gain;                      /* [C]                                                                  */
    const float *q_gain, *k_gain;           /* [D] of the per-head norms before the rotation, NULL where there are none */
    Linear q, k, v, o;
    const float *cosine, *sine;             /* [positions][D/2], as in rotate                                       */
    int halves;                             /* != 0: every product as matmul_halves has it, for null runs           */
} AttentionPart;

/* The feed-forward part: x += Down (silu(Gate m) * Up m),  m = rms_norm(x);  F its inner width. */
typedef struct {
    int C, F;
    float epsilon;
    const float *gain;
    Linear gate, up, down;
    int halves;
} FeedForwardPart;

/* What an operation on the device took, by name: calls and seconds since the profile began, and its arithmetic. */
typedef struct { char name[48]; int64_t calls; double seconds, flops, bytes; } OperationTime;

/* A uniform grid for each group of a row, from end to end (core/quantize/uniform.h). */
typedef struct {
    int bits, scale_bits;                   /* of a code: 2 .. 8; of a stored scale: 16, 32 or 64                   */
    int64_t group;                          /* consecutive weights of a row; the last group of a row may be shorter */
    int symmetric;
} UniformRounding;

/* Hadamard rotation and a grid (core/quantize/higgs.h). */
typedef struct {
    int p, n;                               /* n <= 65536 points of p <= 8 numbers                                  */
    const float *point;                     /* [n][p] in the back end's memory                                      */
    int group;                              /* a power of two, at most HIGGS_GROUP                                  */
    const float *sign;                      /* [ceil(cols/group) group] +-1 in the back end's memory, NULL: all 1   */
    int scale_bits, unbiased;
} HiggsRounding;
enum { HIGGS_GROUP = 8192, HADAMARD_GROUP = 1 << 16 };

typedef struct {
    const char *name;
    const char *precision;                  /* "fp32", or "bf16": the inputs of every product rounded to bf16, sums in float32 */
    const char *device;                     /* "NVIDIA H200, 139.8 GiB"; NULL: the host's processors                */
    int head_rows;                          /* rows of logits that are made together                            */

    /* NULL, or what went wrong on the device, in one sentence: from then on no slot does anything.  Asked after every
     * block, after every loss and when memory was taken.  The slot itself is NULL where nothing can go wrong. */
    const char *(*failure)(void);
    int64_t (*free_memory)(void);           /* bytes that alloc can still give; NULL: the host's memory             */

    /* For benchmarks, NULL where slots are done when they return: waits until all that was asked for is done; starts or ends a
     * profile, which makes everything slower; what it saw, returning the number of operations. */
    void (*finish)(void);
    void (*profile)(int on);
    int (*profiled)(OperationTime *out, int most);

    float *(*alloc)(int64_t n);                                     /* n floats; never NULL */
    void (*release)(float *p);                                      /* NULL is fine          */
    /* Says that the n floats at w, just uploaded, are weights that many products will read before they change: a back end of
     * lower precision keeps them rounded too, until release or the next call.  NULL: nothing to do. */
    void (*settle)(const float *w, int64_t n);
    void (*upload)(float *device, const float *host, int64_t n);    /* host may change when it returns; so below */
    /* device [n] = the values of n 16-bit numbers: bf16, or IEEE half where bf16 is 0.  bits: host, of any alignment.  NULL: the host converts. */
    void (*upload_half)(float *device, const void *bits, int64_t n, int bf16);
    /* Uploads beside what is computed, NULL where slots are done when they return: between ahead(1) and ahead(0), which the host may
     * only use for upload, upload_half and settle, these wait for what was asked for before the last mark, and for nothing after it.
     * What is asked for after ahead(0) waits for them. */
    void (*mark)(void);
    void (*ahead)(int on);
    void (*download)(float *host, const float *device, int64_t n);
    void (*copy)(float *out, const float *x, int64_t n);            /* within the back end   */

    /* out[r][j] = sum_c x[r][c] w[j][c] + bias[j]   for the rows r of the batch
     * out: rows of out_stride floats, N written.  x: [rows][C].  w: [N][C]; with w_stride != 0
     * sequence b uses the matrix at w + b * w_stride.  bias: [N] or NULL. */
    void (*matmul)(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                   const float *bias, const Ragged *batch, int C, int N);

    /* The same product with another legitimate rounding (the sum over the inputs taken in two halves):
     * what a null run uses to find the noise floor of a loss. */
    void (*matmul_halves)(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                          const float *bias, const Ragged *batch, int C, int N);

    /* out[r] = gain * x[r] / sqrt(mean(x[r]^2) + epsilon).  [rows][C], out may be x. */
    void (*rms_norm)(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon);

    /* Rotates every head of x in place: (x_i, x_{i+D/2}) by the angle of the row's position, for
     * i < D/2.  x: [rows][heads*D].  cosine, sine: [positions][D/2].  Row t of sequence b stands at
     * position past[b] + t (past NULL: 0). */
    void (*rotate)(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D);

    /* Causal attention: out = softmax(q k^T / sqrt(D)) v, head h reading key-value head h*G/H.
     * q, out: [rows][H*D] by `queries`; k, v: [rows][G*D] by `keys`.  A sequence has at least as many
     * keys as queries: query t sees the first (keys - queries + t + 1) of them. */
    void (*attention)(float *out, const float *q, const float *k, const float *v,
                      const Ragged *queries, const Ragged *keys, int H, int G, int D);

    void (*swiglu)(float *out, const float *gate, const float *up, int64_t n);  /* gate/(1+exp(-gate)) * up; out may be gate */
    void (*add)(float *x, const float *y, int64_t n);                           /* x += y */

    /* Per row of logits [rows][V]: log_sum[r] = log sum_i exp(logit_i), in double; top[r] = the index
     * of the largest (the first of equals); target_logit[r] = logit[target[r]] (0 where target < 0). */
    void (*log_sum_exp)(double *log_sum, int32_t *top, double *target_logit, const float *logits,
                        const int32_t *target, int64_t rows, int V);

    /* kl[r] = sum_i p_i (expm1(d_i) - d_i) [nats], d_i = log q_i - log p_i = (b_i - a_i) - (B - A),
     * p_i = exp(a_i - A), all in double, from float logits a (clean), b (other) and their log sums A, B.
     * Every term is >= 0, and equal logits give exactly 0: KL(p||q) without cancellation.  Finite for all finite
     * logits: where p_i vanishes the term is q_i. */
    void (*kl_divergence)(double *kl, const float *a, const double *A, const float *b, const double *B,
                          int64_t rows, int V);

    /* A part of a block as one operation, where a back end of lower precision keeps what happens inside to itself; NULL: the
     * part is made of the slots above.  x: [rows][C], in and out. */
    void (*attention_part)(float *x, const AttentionPart *part, const Ragged *batch);
    void (*feed_forward_part)(float *x, const FeedForwardPart *part, const Ragged *batch);

    /* W^ = float32(W + sigma z) and its t^2 and kappa, as core/perturb/noise.c has it, z the numbers at (seed, stream, index of the
     * weight): normal ones, or signs.  sigma = t rms of the `group` weights of a row; group 0: of the matrix.  out, w: [rows][cols] in
     * the back end's memory.  NULL: the host makes it. */
    void (*noise)(float *out, double *t2, double *kappa, const float *w, int64_t rows, int64_t cols, int64_t group, double t,
                  int signs, uint64_t seed, uint64_t stream);

    /* ---- quantizers.  Where all weights are finite these give the bits that core/quantize gives; what is not finite makes its
     * group of outputs NaN, so that no number measured on them passes. ---- */

    /* The Walsh-Hadamard transform of each `group` (a power of two, at most HADAMARD_GROUP) consecutive numbers of a row, with
     * D = diag(sign) and padded = ceil(cols/group) group, the sums in double, stage after stage from neighbours on, rounded once:
     *   inverse == 0:  out [rows][padded] = H D x / sqrt(group),  x [rows][cols] and zeros behind it
     *   inverse != 0:  out [rows][cols]   = D H x / sqrt(group),  x [rows][padded]
     * sign: [padded] of +-1 in the back end's memory, or NULL: all 1.  out may be x where group divides cols. */
    void (*hadamard)(float *out, const float *x, const float *sign, int64_t rows, int64_t cols, int group, int inverse);

    /* code[i] = the least k that minimizes (x_i0 - c_k0)^2 + ... + (x_i,p-1 - c_k,p-1)^2, every operation rounded to float32 by itself,
     * from left to right (core/grid/nearest.h); a whole number as float.  NaN where no distance is below infinity.
     * x: [count][p], p <= 8.  point: [n][p], n <= 65536, finite. */
    void (*grid_encode)(float *code, const float *x, const float *point, int64_t count, int n, int p);

    /* out[i][j] = scale[(i p + j) / group] c_k,j,  k = code[i]; NaN where the code is.  out: [count][p].  scale: [ceil(count p/group)]. */
    void (*grid_decode)(float *out, const float *code, const float *point, const float *scale, int64_t count, int p, int64_t group);

    /* W^ [rows][cols] of w, encoded and decoded again: the perturbations rtn with clip = minmax, and higgs.  Steps in double, rounded once.
     * out may be w.  A scale that does not fit into scale_bits makes its group NaN.  zero[2]: the least and the largest of 0 and all zero
     * points (0, 0 where symmetric), which decide how many bits these take.  NULL: the host makes W^. */
    void (*uniform)(float *out, double *zero, const float *w, int64_t rows, int64_t cols, const UniformRounding *how);
    void (*higgs)(float *out, const float *w, int64_t rows, int64_t cols, const HiggsRounding *how);

    /* t2 = ||out - w||^2 / ||w||^2 and kappa = -<out - w, w> / ||w||^2 of n weights, sums in double; w = 0: t2 = 0 or infinity, kappa = 0
     * (perturbation_measure, up to the order of the sums, which depends on n alone). */
    void (*relative_error)(double *t2, double *kappa, const float *out, const float *w, int64_t n);

    /* ---- backward: dy stands for the gradient of a loss (summed over rows) by y ---- */

    /* dx[r][c] = sum_j dy[r][j] w[j][c], added to dx where add != 0: the gradient by matmul's input.
     * dy: [rows][N]; dx: [rows][C]; w, w_stride as in matmul. */
    void (*matmul_backward)(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch,
                            int C, int N, int add);

    /* g[j][c] = sum of dy[r][j] x[r][c] over the rows of the batch, sequence after sequence; added to g where
     * add != 0: the gradient by matmul's weights.  With dy = x (and N = C) a second moment of x. */
    void (*weight_gradient)(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add);

    /* scale[r][i] = the mean square of group i of row r (as FormInput has groups), rounded once; returns sum w^2.  Sums in double.  scale:
     * [rows][ceil(cols/group)] and w: [rows][cols] in the back end's memory.  NULL: the host does it. */
    double (*group_scales)(float *scale, const float *w, int64_t rows, int64_t cols, int group);

    /* Per sequence b the same gradient G_b of its rows alone, reduced and thrown away:
     *   energy[b] = sum_jc G^2     group_energy[b] = sum_jc scale[j][c/group] G^2     dot[b][i] = sum_jc G E_i
     * Products may be float32, sums of more than 64 of them are double. */
    void (*gradient_forms)(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                           const Ragged *batch, int C, int N, const FormInput *input);

    /* dx[r] = s gain * dy[r] - x[r] s^3 sum_c(gain dy x) / C,  s = 1 / sqrt(mean(x[r]^2) + epsilon).  dx may be dy. */
    void (*rms_norm_backward)(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon);

    /* Gradients of causal attention whose sequences have as many keys as queries, from dout:
     *   P = softmax(q k^T / sqrt(D)),  dv = P^T dout,  dS = P * (dout v^T - rowsum(P * (dout v^T))),
     *   dq = dS k / sqrt(D),  dk = dS^T q / sqrt(D);  dk and dv summed over the heads that share a key-value head.
     * Shapes as in attention.  No output may be an input. */
    void (*attention_backward)(float *dq, float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v,
                               const Ragged *batch, int H, int G, int D);

    /* dgate = dy up silu'(gate),  dup = dy silu(gate),  silu'(g) = s (1 + g (1 - s)), s = 1/(1+exp(-g)).  dgate or dup may be dy. */
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n);

    /* What log_sum_exp gives, and with the same reading of the rows what logit_probe needs of them:
     * product[r] = sum_i r_i sqrt(p_i),  p_i = exp(logit_i - log_sum[r]),  r_i = +1 where bit i%32 of sign[row][i/32] is set, otherwise -1.
     * sign: host, [rows][ceil(V/32)]. */
    void (*log_sum_exp_signed)(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                               const int32_t *target, const uint32_t *sign, int64_t rows, int V);

    /* Replaces each row of logits (log sum A) by u = q r - p (q . r),  q_i = sqrt(p_i),  p_i = exp(logit_i - A),  q . r the row's product:
     * E uu' = diag(p) - pp' over random signs r.  Zeros where target < 0. */
    void (*logit_probe)(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V);

    /* Replaces each row of logits by exp(logit_i - A) - p_i: p the distribution of the logits `other` with their log
     * sums, or, where other is NULL, 1 at the row's target and 0 elsewhere.  Zeros where target < 0. */
    void (*logit_difference)(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                             const int32_t *target, int64_t rows, int V);
} Kernels;

extern const Kernels kernels_ref;

/* SIMD chosen at run time, OpenBLAS for matrix products (one thread each; the threads are ours). */
const Kernels *kernels_cpu(void);

/* An NVIDIA GPU; NULL with *why one sentence where there is none, it is too old, or the program was built without CUDA. */
const Kernels *kernels_cuda(const char *precision, const char **why);

/* By name ("cpu", "ref", "cuda") and precision ("fp32", "bf16"); NULL with *why one sentence where there is no such back end. */
const Kernels *kernels_choose(const char *name, const char *precision, const char **why);

/* In fp32; NULL where there is no such back end. */
const Kernels *kernels_find(const char *name);

/* Threads that the cpu back end uses, and OpenMP's default for the caller; n <= 0: all cores.  Never changes a result. */
void kernels_set_threads(int n);
int  kernels_threads(void);

#ifdef __cplusplus
}
#endif

#endif
