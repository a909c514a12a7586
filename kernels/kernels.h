/*
 * kernels.h - the table of operations that a back end provides, with all contracts
 *
 * `ref` fills every slot in plain scalar C with double sums and reads like the definition; `cpu`
 * copies ref and overrides what is worth it.  core/network is written once over this table.
 *
 * Matrices are row-major.  A batch of sequences of different lengths lies packed: rows
 * offset[b] .. offset[b] + length[b] belong to sequence b.  float pointers are memory of the back
 * end (from alloc); double, int and Ragged arrays are ordinary host memory.
 *
 * Determinism: what a slot computes for one sequence depends on that sequence and the shapes alone,
 * never on the other sequences of the batch, on the number of threads, or on how a caller splits the
 * columns of a matmul at multiples of MATMUL_COLUMNS.
 *
 * Letters: C width of the input, N width of the output, H heads, G key-value heads, D head_dim,
 * V vocabulary, T rows of a sequence.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stdint.h>

typedef struct {
    int n;
    const int *length;              /* [n] rows of each sequence       */
    const int64_t *offset;          /* [n] first row of each sequence  */
} Ragged;

enum { MATMUL_COLUMNS = 256 };      /* output columns of a tile of work */

typedef struct {
    const char *name;

    float *(*alloc)(int64_t n);                                     /* n floats; never NULL */
    void (*release)(float *p);                                      /* NULL is fine          */
    void (*upload)(float *device, const float *host, int64_t n);
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
} Kernels;

extern const Kernels kernels_ref;

/* SIMD chosen at run time, OpenBLAS for matrix products (one thread each; the threads are ours). */
const Kernels *kernels_cpu(void);

/* "cpu", "ref"; NULL for another name. */
const Kernels *kernels_find(const char *name);

/* Threads that the cpu back end uses, and OpenMP's default for the caller; n <= 0: all cores.  Never changes a result. */
void kernels_set_threads(int n);
int  kernels_threads(void);

#endif
