/*
 * product.cu - one product, or equal ones side by side, by cuBLASLt
 *
 * The library is asked once for each shape of a single product, among those that sum in one block, and its first choice is kept: so the
 * numbers of a product depend on its own shape, and alignments up to 16 bytes, alone.
 */
#include <stdio.h>
#include <string.h>

#include <map>

#include "kernels/cuda/product/product.cuh"

enum { WORKSPACE = 32 << 20 };

/* What the choice of an algorithm depends on. */
typedef struct {
    int64_t a_rows, a_cols, a_ld, b_rows, b_cols, b_ld, ld;
    int rounded, rounded_out, add, biased, a_transposed, b_transposed, a_alignment, b_alignment, out_alignment;
} Shape;

struct InOrder { bool operator()(const Shape &a, const Shape &b) const { return memcmp(&a, &b, sizeof a) < 0; } };

static cublasLtHandle_t library;
static void *workspace;
static std::map<Shape, cublasLtMatmulAlgo_t, InOrder> known;

static void lt_check(cublasStatus_t status, const char *what, int line)
{
    if (status != CUBLAS_STATUS_SUCCESS) device_fail("cuBLASLt failed at %s:%d (%s): status %d", __FILE__, line, what, (int)status);
}
#define LT(call) lt_check(call, #call, __LINE__)

static bool open_library()
{
    if (device_failed()) return false;
    if (library) return true;
    LT(cublasLtCreate(&library));
    CHECK(cudaMallocAsync(&workspace, WORKSPACE, device_stream()));
    return !device_failed();
}

static int alignment_of(const void *p)
{
    int a = 2;
    while (a < 16 && (reinterpret_cast<uintptr_t>(p) & (unsigned)(2 * a - 1)) == 0) a *= 2;
    return a;
}

static Shape shape_of(const Product *p)
{
    Shape s;
    memset(&s, 0, sizeof s);                /* shapes are compared byte by byte */
    s.a_rows = p->a.rows, s.a_cols = p->a.cols, s.a_ld = p->a.ld;
    s.b_rows = p->b.rows, s.b_cols = p->b.cols, s.b_ld = p->b.ld, s.ld = p->ld;
    s.rounded = p->rounded, s.rounded_out = p->rounded_out, s.add = p->add, s.biased = p->bias != NULL;
    s.a_transposed = p->a.transposed, s.b_transposed = p->b.transposed;
    s.a_alignment = alignment_of(p->a.p), s.b_alignment = alignment_of(p->b.p), s.out_alignment = alignment_of(p->out);
    return s;
}

/* Descriptors of a product; those of one sequence where single. */
typedef struct { cublasLtMatmulDesc_t product; cublasLtMatrixLayout_t a, b, out; } Descriptors;

static void set_batch(cublasLtMatrixLayout_t layout, int n, int64_t stride)
{
    int32_t count = n;
    LT(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    LT(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
}

static Descriptors describe(const Product *p, bool single)
{
    Descriptors d = {};
    const cudaDataType_t in = p->rounded ? CUDA_R_16BF : CUDA_R_32F, out = p->rounded_out ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t op_a = p->a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = p->b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    LT(cublasLtMatmulDescCreate(&d.product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT(cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a));
    LT(cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b));
    if (p->bias) {
        const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
        LT(cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
        LT(cublasLtMatmulDescSetAttribute(d.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias, sizeof p->bias));
    }
    LT(cublasLtMatrixLayoutCreate(&d.a, in, (uint64_t)p->a.rows, (uint64_t)p->a.cols, p->a.ld));
    LT(cublasLtMatrixLayoutCreate(&d.b, in, (uint64_t)p->b.rows, (uint64_t)p->b.cols, p->b.ld));
    const int64_t rows = p->a.transposed ? p->a.cols : p->a.rows, cols = p->b.transposed ? p->b.rows : p->b.cols;
    LT(cublasLtMatrixLayoutCreate(&d.out, out, (uint64_t)rows, (uint64_t)cols, p->ld));
    if (!single && !device_failed()) {
        set_batch(d.a, p->n, p->a.stride);
        set_batch(d.b, p->n, p->b.stride);
        set_batch(d.out, p->n, p->stride);
    }
    return d;
}

static void forget(const Descriptors *d)
{
    if (d->product) cublasLtMatmulDescDestroy(d->product);
    if (d->a) cublasLtMatrixLayoutDestroy(d->a);
    if (d->b) cublasLtMatrixLayoutDestroy(d->b);
    if (d->out) cublasLtMatrixLayoutDestroy(d->out);
}

/* The library's first choice for one sequence, among those that sum in one block. */
static void ask(cublasLtMatmulAlgo_t *out, const Product *p, const Shape *s)
{
    const uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE, a = (uint32_t)s->a_alignment, b = (uint32_t)s->b_alignment, o = (uint32_t)s->out_alignment;
    const size_t bytes = WORKSPACE;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result = {};
    int found = 0;
    Descriptors d = describe(p, true);
    LT(cublasLtMatmulPreferenceCreate(&preference));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_reduction, sizeof no_reduction));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof a));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof b));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &o, sizeof o));
    LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &o, sizeof o));
    if (!device_failed()) LT(cublasLtMatmulAlgoGetHeuristic(library, d.product, d.a, d.b, d.out, d.out, preference, 1, &result, &found));
    if (!device_failed() && found == 0)
        device_fail("cuBLASLt has no algorithm for a product of %lld x %lld by %lld x %lld", (long long)p->a.rows, (long long)p->a.cols,
                    (long long)p->b.rows, (long long)p->b.cols);
    *out = result.algo;
    cublasLtMatmulPreferenceDestroy(preference);
    forget(&d);
}

static const cublasLtMatmulAlgo_t *algorithm_for(const Product *p)
{
    const Shape s = shape_of(p);
    auto it = known.find(s);
    if (it == known.end()) {
        it = known.emplace(s, cublasLtMatmulAlgo_t()).first;
        ask(&it->second, p, &s);
    }
    return &it->second;
}

/* Whether the library took it: an algorithm for one sequence may be none for several side by side. */
static bool multiply(const Product *p, const cublasLtMatmulAlgo_t *algorithm, const Descriptors *d)
{
    const float one = 1, beta = p->add ? 1.0f : 0.0f;
    const double m = (double)(p->a.transposed ? p->a.cols : p->a.rows), n = (double)(p->b.transposed ? p->b.rows : p->b.cols);
    const double k = (double)(p->a.transposed ? p->a.rows : p->a.cols), in = p->rounded ? 2 : 4, out = (p->rounded_out ? 2 : 4) * (p->add ? 2 : 1);
    char name[48];
    snprintf(name, sizeof name, "product %.0f x %.0f%s", k, m, p->rounded_out ? " to bf16" : p->add ? " added" : "");
    operation_work(2 * m * n * k * p->n, (m * k * in * (p->a.stride ? p->n : 1) + n * k * in * p->n + m * n * out * p->n));
    operation_begin(name);
    const cublasStatus_t status = cublasLtMatmul(library, d->product, &one, p->a.p, d->a, p->b.p, d->b, &beta, p->out, d->out, p->out, d->out, algorithm, workspace,
                      WORKSPACE, device_stream());
    operation_end();
    if (p->n == 1) LT(status);
    return status == CUBLAS_STATUS_SUCCESS;
}

/* One after the other, by the same algorithm: the same bits. */
static void multiply_singly(const Product *p, const cublasLtMatmulAlgo_t *algorithm)
{
    const int in = p->rounded ? 2 : 4, out = p->rounded_out ? 2 : 4;
    Descriptors d = describe(p, true);
    for (int i = 0; i < p->n && !device_failed(); i++) {
        Product one = *p;
        one.n = 1;
        one.a.p = (const char *)p->a.p + i * p->a.stride * in;
        one.b.p = (const char *)p->b.p + i * p->b.stride * in;
        one.out = (char *)p->out + i * p->stride * out;
        multiply(&one, algorithm, &d);
    }
    forget(&d);
}

void product_run(const Product *p)
{
    if (p->n == 0 || !open_library()) return;
    const cublasLtMatmulAlgo_t *algorithm = algorithm_for(p);
    if (device_failed()) return;
    Descriptors d = describe(p, false);
    const bool taken = !device_failed() && multiply(p, algorithm, &d);
    forget(&d);
    if (!taken && !device_failed()) multiply_singly(p, algorithm);
}
