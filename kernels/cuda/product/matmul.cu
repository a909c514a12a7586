/*
 * matmul.cu - matrix products by cuBLASLt: the forward product, its two gradients, and a gradient of one sequence
 *
 * Float32 here is exact: no TF32.  A row-major [rows][C] is a column-major [C][rows], so that
 *
 *     out' [N][rows] = (w' [C][N])' (x' [C][rows])         dx' [C][rows] (+)= w' [C][N] (dy' [N][rows])
 *     g'   [C][N]    = x' [C][rows] (dy' [N][rows])'
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/product/product.cuh"

enum { ADD_THREADS = 256, SLICES = 16, MOST_SLICED = 4 << 20 };

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
