/*
 * product.cuh - one matrix product by cuBLASLt, for a run of sequences of equal length
 *
 *     out[r][j] (+)= sum_c x[r][c] w[j][c] + bias[j]
 *
 * In the column-major words of the library: out' = op(A) op(B).  The algorithm is asked for once for each shape of one sequence,
 * with no sum split among blocks, and then used for as many sequences as there are: so a sequence's numbers depend on
 * its own shape alone, and a second run gives the same bits.
 */
#ifndef KERNELS_CUDA_PRODUCT_CUH
#define KERNELS_CUDA_PRODUCT_CUH

#include "kernels/cuda/device.cuh"

#ifdef LINEARITY_SHIM
#include "kernels/cuda/shim/cublasLt.h"
#else
#include <cublasLt.h>
#endif

/* A column-major matrix [rows][cols], `ld` numbers from column to column, one every `stride` numbers. */
typedef struct { const void *p; int64_t rows, cols, ld, stride; bool transposed; } Factor;

typedef struct {
    bool rounded;                   /* A and B are bf16, otherwise float32; sums are float32 */
    bool rounded_out;               /* out is bf16                                           */
    bool add;                       /* to what is there                                      */
    const void *bias;               /* [rows of out], of the type of out; or NULL            */
    Factor a, b;
    void *out;
    int64_t ld, stride;             /* of out: [rows of op(A)][columns of op(B)]             */
    int n;                          /* products side by side                                 */
} Product;

void product_run(const Product *product);

/* out = x w' as above for all sequences of a batch, neighbours of equal length together. */
typedef struct {
    bool rounded, rounded_out, add;
    void *out;
    int64_t out_stride;
    const void *x;                  /* rows of x_stride numbers */
    int64_t x_stride;
    const void *w;                  /* rows of w_row numbers, matrices w_stride apart for each sequence, or 0 */
    int64_t w_row, w_stride;
    const void *bias;
    int C, N;
} RowProduct;

void row_product(const RowProduct *product, const Ragged *batch);

#endif
