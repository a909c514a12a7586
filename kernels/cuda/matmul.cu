/*
 * matmul.cu - matrix products by cuBLASLt: the forward product, its two gradients, and a gradient of one sequence
 *
 * Float32 here is exact: no TF32.  A row-major [rows][C] is a column-major [C][rows], so that
 *
 *     out' [N][rows] = (w' [C][N])' (x' [C][rows])         dx' [C][rows] (+)= w' [C][N] (dy' [N][rows])
 *     g'   [C][N]    = x' [C][rows] (dy' [N][rows])'
 */
#include <stdio.h>
#include <string.h>

#include <map>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/product.cuh"

enum { WORKSPACE = 32 << 20, ADD_THREADS = 256, SLICES = 16, MOST_SLICED = 4 << 20 };

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

/* ---- sequences ---- */

static const void *at(const void *p, int64_t i, bool rounded) { return (const char *)p + i * (rounded ? 2 : 4); }

/* Sequences [first, first + n) have equal length and lie one after the other. */
static void run_equal(const RowProduct *p, const Ragged *batch, int first, int n)
{
    const int64_t row = batch->offset[first], length = batch->length[first];
    Product product = {};
    product.rounded = p->rounded, product.rounded_out = p->rounded_out, product.add = p->add, product.bias = p->bias, product.n = n;
    product.a = { at(p->w, first * p->w_stride, p->rounded), p->C, p->N, p->w_row, p->w_stride, true };
    product.b = { at(p->x, row * p->x_stride, p->rounded), p->C, length, p->x_stride, length * p->x_stride, false };
    product.out = (void *)at(p->out, row * p->out_stride, p->rounded_out);
    product.ld = p->out_stride, product.stride = length * p->out_stride;
    product_run(&product);
}

/* How many sequences from `first` on go together. */
static int run_of_equals(const Ragged *batch, int first)
{
    int n = 1;
    while (first + n < batch->n && batch->length[first + n] == batch->length[first]
           && batch->offset[first + n] == batch->offset[first] + (int64_t)n * batch->length[first]) n++;
    return n;
}

void row_product(const RowProduct *p, const Ragged *batch)
{
    for (int first = 0, n; first < batch->n; first += n) {
        n = run_of_equals(batch, first);
        if (batch->length[first] > 0) run_equal(p, batch, first, n);
    }
}

void matmul_cuda(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N)
{
    RowProduct p = { false, false, false, out, out_stride, x, C, w, C, w_stride, bias, C, N };
    row_product(&p, batch);
}

/* The halves of the sum one after the other, each a product of its own. */
void matmul_halves_cuda(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride, const float *bias, const Ragged *batch, int C, int N)
{
    const int half = C / 2;
    RowProduct first = { false, false, false, out, out_stride, x, C, w, C, w_stride, NULL, half, N };
    RowProduct second = { false, false, half > 0, out, out_stride, x + half, C, w + half, C, w_stride, bias, C - half, N };
    if (half > 0) row_product(&first, batch);
    row_product(&second, batch);
}

/* out (+)= sum of n matrices of `size` numbers, one after the other: the same bits every time. */
__global__ void add_slices_kernel(Global<float> out, Global<const float> part, int64_t size, int n, int add)
{
    const int64_t i = (int64_t)blockIdx.x * ADD_THREADS + threadIdx.x;
    if (i >= size) return;
    float sum = add ? (float)out[i] : 0;
    for (int s = 0; s < n; s++) sum += (float)part[s * size + i];
    out[i] = sum;
}

/* A long sum with few results (the head's: a vocabulary long, some hundred rows) leaves most of the device idle: it is cut into
 * slices side by side.  By the shape alone, so that a sequence's numbers stay its own. */
static bool is_long(int64_t rows, int C, int N) { return N >= 8192 && N % SLICES == 0 && N / SLICES % 8 == 0 && rows * C <= MOST_SLICED; }

static void sliced(float *dx, const void *dy, const void *w, int64_t rows, int C, int N, bool rounded, bool add)
{
    const int64_t slice = N / SLICES, size = rows * C;
    float *part = scratch<float>(SLICES * size);
    Product p = {};
    p.rounded = rounded, p.n = SLICES;
    p.a = { w, C, slice, C, slice * C, false };
    p.b = { dy, slice, rows, N, slice, false };
    p.out = part, p.ld = C, p.stride = size;
    product_run(&p);
    operation_work((double)(SLICES * size), 4.0 * (double)((SLICES + 1 + add) * size));
    LAUNCH(add_slices_kernel, blocks_of(size, ADD_THREADS), ADD_THREADS, 0, dx, part, size, (int)SLICES, (int)add);
}

static void backward(float *dx, const void *dy, const void *w, int64_t w_stride, const Ragged *batch, int C, int N, bool rounded, bool add)
{
    for (int first = 0, n; first < batch->n; first += n) {
        n = run_of_equals(batch, first);
        const int64_t row = batch->offset[first], length = batch->length[first];
        if (length > 0 && is_long(length, C, N)) {
            for (int b = first; b < first + n; b++)
                sliced(dx + batch->offset[b] * C, at(dy, batch->offset[b] * N, rounded), at(w, b * w_stride, rounded), length, C, N, rounded, add);
            continue;
        }
        Product p = {};
        p.rounded = rounded, p.add = add, p.n = length > 0 ? n : 0;
        p.a = { at(w, first * w_stride, rounded), C, N, C, w_stride, false };
        p.b = { at(dy, row * N, rounded), N, length, N, length * N, false };
        p.out = dx + row * C, p.ld = C, p.stride = length * C;
        product_run(&p);
    }
}

void matmul_backward_cuda(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add)
{
    scratch_reset();
    backward(dx, dy, w, w_stride, batch, C, N, false, add != 0);
}

void matmul_backward_bf16(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add)
{
    scratch_reset();
    const int64_t rows = end_of(batch), weights = (w_stride ? w_stride * (batch->n - 1) : 0) + (int64_t)C * N;
    if (rows > 0) backward(dx, rounded_of(dy, rows * N), rounded_of(w, weights), w_stride, batch, C, N, true, add != 0);
}

void sequence_gradient(float *g, const void *dy, int64_t dy_stride, const void *x, int64_t first, int rows, int C, int N, bool rounded, bool add)
{
    Product p = {};
    p.rounded = rounded, p.add = add, p.n = 1;
    p.a = { at(x, first * C, rounded), C, rows, C, 0, false };
    p.b = { at(dy, first * dy_stride, rounded), N, rows, dy_stride, 0, true };
    p.out = g, p.ld = C;
    product_run(&p);
}

static void all_gradients(float *g, const void *dy, const void *x, const Ragged *batch, int C, int N, bool rounded, bool add)
{
    for (int b = 0; b < batch->n; b++) {
        if (batch->length[b] == 0) continue;
        sequence_gradient(g, dy, N, x, batch->offset[b], batch->length[b], C, N, rounded, add);
        add = true;
    }
    if (!add && !device_failed()) CHECK(cudaMemsetAsync(g, 0, (size_t)N * (size_t)C * sizeof *g, device_stream()));
}

void weight_gradient_cuda(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add)
{
    all_gradients(g, dy, x, batch, C, N, false, add != 0);
}

void weight_gradient_bf16(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add)
{
    scratch_reset();
    const int64_t rows = end_of(batch);
    all_gradients(g, rounded_of(dy, rows * N), rounded_of(x, rows * C), batch, C, N, true, add != 0);
}
