/*
 * cublasLt.cc - column-major products by the host's BLAS, in tiles of columns that a split of the matrix does not move
 *
 * Checked on the way: shapes that fit, memory that is the device's, pointers as aligned as was promised.
 */
#include <cblas.h>
#include <string.h>

#include <vector>

#include "kernels/cuda/shim/cublasLt.h"
#include "kernels/cuda/shim/internal.h"
#include "kernels/kernels.h"

struct ShimLtDesc { cublasOperation_t op_a, op_b; cublasLtEpilogue_t epilogue; const void *bias; };
struct ShimLtLayout { cudaDataType_t type; int64_t rows, cols, ld; int32_t batch; int64_t stride; };
struct ShimLtPreference { uint32_t alignment[3]; };

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
    static int handle;
    openblas_set_num_threads(1);            /* other numbers of threads, other bits */
    *out = (cublasLtHandle_t)&handle;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t, cudaDataType_t)
{
    *out = new ShimLtDesc{ CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, ShimDescAttribute attribute, const void *value, size_t bytes)
{
    void *to[] = { &d->op_a, &d->op_b, &d->epilogue, &d->bias };
    memcpy(to[attribute], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) { delete d; return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType_t type, uint64_t rows, uint64_t cols, int64_t ld)
{
    if (!rows || !cols || ld < (int64_t)rows) return CUBLAS_STATUS_INVALID_VALUE;
    *out = new ShimLtLayout{ type, (int64_t)rows, (int64_t)cols, ld, 1, 0 };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, ShimLayoutAttribute attribute, const void *value, size_t bytes)
{
    memcpy(attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? (void *)&l->batch : (void *)&l->stride, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) { delete l; return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    *out = new ShimLtPreference{ { 256, 256, 256 } };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, ShimPreferenceAttribute attribute, const void *value, size_t)
{
    static const int place[] = { -1, -1, 0, 1, 2, 2 };
    if (place[attribute] >= 0) memcpy(&p->alignment[place[attribute]], value, sizeof(uint32_t));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) { delete p; return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
    cublasLtMatrixLayout_t, cublasLtMatmulPreference_t preference, int, cublasLtMatmulHeuristicResult_t *out, int *found)
{
    memcpy(out->algo.alignment, preference->alignment, sizeof preference->alignment);
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* Product number b of a batch as float32. */
static const float *as_float(std::vector<float> *room, const void *p, const ShimLtLayout *l, int b)
{
    if (l->type == CUDA_R_32F) return (const float *)p + b * l->stride;
    const bf16 *from = (const bf16 *)p + b * l->stride;
    room->resize((size_t)((l->cols - 1) * l->ld + l->rows));
    for (size_t i = 0; i < room->size(); i++) (*room)[i] = to_float(from[i]);
    return room->data();
}

static float element(const void *p, const ShimLtLayout *l, int64_t i) { return l->type == CUDA_R_32F ? ((const float *)p)[i] : to_float(((const bf16 *)p)[i]); }

static void check_matrix(const char *name, const void *p, const ShimLtLayout *l, uint32_t alignment)
{
    const int size = l->type == CUDA_R_32F ? 4 : 2;
    const int64_t last = (l->batch - 1) * l->stride + (l->cols - 1) * l->ld + l->rows - 1;
    if ((uintptr_t)p % alignment) shim::complain("matrix %s of a product is aligned worse than was promised", name);
    shim::touch_global(p, size, shim::READ);
    shim::touch_global((const char *)p + last * size, size, shim::READ);
}

/* Zeros do not stop NaN, and gemm may skip a product by 0: by definition where BLAS cannot be relied on is the test's to say. */
static void one_product(const ShimLtDesc *d, const float *a, const ShimLtLayout *la, const float *b, const ShimLtLayout *lb, float beta, const void *c,
                        void *out, const ShimLtLayout *lo, int at)
{
    const int64_t m = lo->rows, n = lo->cols, k = d->op_a == CUBLAS_OP_T ? la->rows : la->cols;
    for (int64_t first = 0; first < m; first += MATMUL_COLUMNS) {
        const int64_t tile = MATMUL_COLUMNS, rows = m - first < tile ? m - first : tile;
        std::vector<float> sum((size_t)(rows * n));
        const float *part = a + (d->op_a == CUBLAS_OP_T ? first * la->ld : first);
        cblas_sgemm(CblasColMajor, d->op_a == CUBLAS_OP_T ? CblasTrans : CblasNoTrans, d->op_b == CUBLAS_OP_T ? CblasTrans : CblasNoTrans, (int)rows, (int)n,
                    (int)k, 1, part, (int)la->ld, b, (int)lb->ld, 0, sum.data(), (int)rows);
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < rows; i++) {
                const int64_t to = at * lo->stride + j * lo->ld + first + i;
                float v = sum[(size_t)(j * rows + i)];
                if (beta != 0) v += beta * element(c, lo, to);
                if (d->epilogue == CUBLASLT_EPILOGUE_BIAS) v += element(d->bias, lo, first + i);
                if (lo->type == CUDA_R_32F) ((float *)out)[to] = v;
                else ((bf16 *)out)[to] = to_bf16(v);
            }
    }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha, const void *a, cublasLtMatrixLayout_t la, const void *b,
    cublasLtMatrixLayout_t lb, const void *beta, const void *c, cublasLtMatrixLayout_t, void *out, cublasLtMatrixLayout_t lo,
    const cublasLtMatmulAlgo_t *algorithm, void *, size_t, cudaStream_t)
{
    const bool ta = d->op_a == CUBLAS_OP_T, tb = d->op_b == CUBLAS_OP_T;
    if (*(const float *)alpha != 1 || (ta ? la->rows : la->cols) != (tb ? lb->cols : lb->rows) || (ta ? la->cols : la->rows) != lo->rows
        || (tb ? lb->rows : lb->cols) != lo->cols || la->batch != lo->batch || lb->batch != lo->batch) return CUBLAS_STATUS_INVALID_VALUE;
    check_matrix("A", a, la, algorithm->alignment[0]);
    check_matrix("B", b, lb, algorithm->alignment[1]);
    check_matrix("D", out, lo, algorithm->alignment[2]);
    std::vector<float> room_a, room_b;
    for (int i = 0; i < lo->batch; i++)
        one_product(d, as_float(&room_a, a, la, i), la, as_float(&room_b, b, lb, i), lb, *(const float *)beta, c, out, lo, i);
    return CUBLAS_STATUS_SUCCESS;
}
