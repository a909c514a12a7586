/*
 * elementwise.cu - SwiGLU and its gradients, addition, rounding to bf16, and the rotation of heads
 *
 *     swiglu:   out = silu(g) u,   silu(g) = g s,   s = 1 / (1 + exp(-g))
 *     backward: dg = dy u s (1 + g (1 - s)),   du = dy g s
 *     rotate:   (x_i, x_{i + D/2}) by the angle of the row's position
 *
 * All are bound by memory; bytes a number: swiglu 12, in bf16 6, backward 20, add 12, to_bf16 6, rotate 8 (bf16: 4) and the table.
 * A thread moves four numbers of each array as 16 bytes (bf16: eight).  The table of angles would cost half as much as a head itself, so a
 * thread keeps its four angles and turns up to HEADS heads of a row by them.  Arithmetic is float32 with the exact exponential.
 */
#include "kernels/cuda/rows/four.cuh"
#include "kernels/cuda/cuda.cuh"

enum { THREADS = 256, HEADS = 8, MOST_D = 128 };

/* Plain arrays have no rows: neighbours go together wherever the arrays allow it, the last n % 4 one by one. */
static Fours plain(bool aligned) { return { aligned ? 1 : THREADS, aligned }; }

__device__ __forceinline__ int64_t plain_first(Fours f) { return (int64_t)blockIdx.x * (4 * THREADS) + first_of(f, threadIdx.x); }

__device__ __forceinline__ float swiglu_of(float g, float u) { return g / (1 + expf(-g)) * u; }

__global__ void swiglu_kernel(Global<float> out, Global<const float> gate, Global<const float> up, int64_t n, Fours f)
{
    int64_t i = plain_first(f);
    float g[4], u[4];
    load_four(g, gate, i, n, f);
    load_four(u, up, i, n, f);
    for (int j = 0; j < 4; j++) g[j] = swiglu_of(g[j], u[j]);
    store_four(out, g, i, n, f);
}

/* exp(-g) stops before it leaves float32: 1 - s = exp(-g) s would be infinity times 0.  NaN passes. */
__global__ void swiglu_backward_kernel(Global<float> dgate, Global<float> dup, Global<const float> dy, Global<const float> gate,
                                       Global<const float> up, int64_t n, Fours f)
{
    int64_t i = plain_first(f);
    float d[4], g[4], u[4];
    load_four(d, dy, i, n, f);
    load_four(g, gate, i, n, f);
    load_four(u, up, i, n, f);
    for (int j = 0; j < 4; j++) {
        float e = expf(-g[j] > 88.0f ? 88.0f : -g[j]), s = 1 / (1 + e), silu = g[j] * s;
        u[j] = d[j] * u[j] * s * (1 + g[j] * (e * s));
        d[j] *= silu;
    }
    store_four(dgate, u, i, n, f);
    store_four(dup, d, i, n, f);
}

__global__ void add_kernel(Global<float> x, Global<const float> y, int64_t n, Fours f)
{
    int64_t i = plain_first(f);
    float a[4], b[4];
    load_four(a, x, i, n, f);
    load_four(b, y, i, n, f);
    for (int j = 0; j < 4; j++) a[j] += b[j];
    store_four(x, a, i, n, f);
}

__global__ void to_bf16_kernel(Global<bf16> out, Global<const float> x, int64_t n, Fours f)
{
    int64_t i = plain_first(f);
    float v[4];
    load_four(v, x, i, n, f);
    store_four(out, v, i, n, f);
}

__device__ __forceinline__ unsigned swiglu_pair(unsigned gate, unsigned up)
{
    float2 g = unpack_bf16(gate), u = unpack_bf16(up);
    return pack_bf16(swiglu_of(g.x, u.x), swiglu_of(g.y, u.y));
}

__global__ void swiglu_bf16_kernel(Global<bf16> out, Global<const bf16> gate, Global<const bf16> up, int64_t n, bool vector)
{
    int64_t i = 8 * ((int64_t)blockIdx.x * THREADS + threadIdx.x);
    if (vector && i + 8 <= n) {
        uint4 g = load16(gate, i), u = load16(up, i);
        store16(out, i, make_uint4(swiglu_pair(g.x, u.x), swiglu_pair(g.y, u.y), swiglu_pair(g.z, u.z), swiglu_pair(g.w, u.w)));
        return;
    }
    for (int64_t end = i + 8; i < n && i < end; i++) out[i] = to_bf16(swiglu_of(to_float(gate[i]), to_float(up[i])));
}

/* ---- rotation ---- */

struct Pasts { int of[MOST_SEQUENCES]; };

/* A thread has the numbers i .. i + 3 of both halves of the heads part, part + parts, ... of a row. */
__global__ void rotate_kernel(Global<float> x, Global<const float> cosine, Global<const float> sine, Sequences sequences, Pasts past,
                              int heads, int half, int parts, Fours f)
{
    int quads = (half + 3) / 4, b = blockIdx.y;
    int64_t index = (int64_t)blockIdx.x * THREADS + threadIdx.x, t = index / (quads * parts);
    if (t >= sequences.length[b]) return;
    int i = 4 * (int)(index % quads), part = (int)(index / quads % parts);
    int64_t angle = (past.of[b] + t) * half, row = (sequences.first[b] + t) * heads * 2 * half;
    float c[4], s[4], u[4], v[4], turned[4];
    load_four(c, cosine + angle, i, half, f);
    load_four(s, sine + angle, i, half, f);
    for (int h = part; h < heads; h += parts) {
        Global<float> head = x + (row + (int64_t)h * 2 * half);
        load_four(u, head, i, half, f);
        load_four(v, head + half, i, half, f);
        for (int j = 0; j < 4; j++) turned[j] = u[j] * c[j] - v[j] * s[j];
        store_four(head, turned, i, half, f);
        for (int j = 0; j < 4; j++) turned[j] = v[j] * c[j] + u[j] * s[j];
        store_four(head + half, turned, i, half, f);
    }
}

/* What norm_rotate_bf16_kernel's threads share. */
struct Heads {
    int64_t stride;             /* of a row of x                    */
    int heads, half, parts;     /* of a row; of a head; heads part, part + parts, ... belong together */
    float epsilon;
    Fours x, table;
};

/* LANES threads a head: each has four numbers of both halves.  Every thread of a warp takes part in every exchange. */
template <int LANES> __global__ void norm_rotate_bf16_kernel(Global<bf16> x, Global<const float> gain, Global<const float> cosine,
                                                             Global<const float> sine, Sequences sequences, Heads a)
{
    int64_t group = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / LANES, t = group / a.parts;
    int part = (int)(group % a.parts), b = blockIdx.y, i = 4 * (int)(threadIdx.x % LANES);
    bool mine = t < sequences.length[b] && i < a.half;
    float c[4], s[4], g[4] = { 1, 1, 1, 1 }, k[4] = { 1, 1, 1, 1 };
    int end = mine ? a.half : 0;
    load_four(c, cosine + t * a.half, i, end, a.table);
    load_four(s, sine + t * a.half, i, end, a.table);
    if (gain) load_four(g, gain, i, end, a.table);
    if (gain) load_four(k, gain + a.half, i, end, a.table);
    for (int first = 0; first < a.heads; first += a.parts) {
        int h = first + part;
        Global<bf16> head = x + ((sequences.first[b] + t) * a.stride + (int64_t)h * 2 * a.half);
        int to = mine && h < a.heads ? a.half : 0;
        float u[4], v[4], squares = 0;
        load_four(u, head, i, to, a.x);
        load_four(v, head + a.half, i, to, a.x);
        if (gain) {
            for (int j = 0; j < 4; j++) squares += u[j] * u[j] + v[j] * v[j];
            for (int step = LANES / 2; step > 0; step /= 2) squares += __shfl_xor_sync(ALL_LANES, squares, step);
            float scale = 1 / sqrtf(squares / (float)(2 * a.half) + a.epsilon);
            for (int j = 0; j < 4; j++) u[j] = g[j] * (u[j] * scale), v[j] = k[j] * (v[j] * scale);
        }
        for (int j = 0; j < 4; j++) {
            float turned = u[j] * c[j] - v[j] * s[j];
            v[j] = v[j] * c[j] + u[j] * s[j];
            u[j] = turned;
        }
        store_four(head, u, i, to, a.x);
        store_four(head + a.half, v, i, to, a.x);
    }
}

/* ---- launches ---- */

void swiglu_cuda(float *out, const float *gate, const float *up, int64_t n)
{
    Fours f = plain(aligned16(out) && aligned16(gate) && aligned16(up));
    if (n <= 0) return;
    operation_work(5.0 * n, 12.0 * n);
    LAUNCH(swiglu_kernel, blocks_of(n, 4 * THREADS), THREADS, 0, out, gate, up, n, f);
}

void swiglu_bf16(bf16 *out, const bf16 *gate, const bf16 *up, int64_t n)
{
    bool vector = aligned16(out) && aligned16(gate) && aligned16(up);
    if (n <= 0) return;
    operation_work(5.0 * n, 6.0 * n);
    LAUNCH(swiglu_bf16_kernel, blocks_of(n, 8 * THREADS), THREADS, 0, out, gate, up, n, vector);
}

void swiglu_backward_cuda(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    Fours f = plain(aligned16(dgate) && aligned16(dup) && aligned16(dy) && aligned16(gate) && aligned16(up));
    if (n <= 0) return;
    operation_work(12.0 * n, 20.0 * n);
    LAUNCH(swiglu_backward_kernel, blocks_of(n, 4 * THREADS), THREADS, 0, dgate, dup, dy, gate, up, n, f);
}

void add_cuda(float *x, const float *y, int64_t n)
{
    Fours f = plain(aligned16(x) && aligned16(y));
    if (n <= 0) return;
    operation_work(1.0 * n, 12.0 * n);
    LAUNCH(add_kernel, blocks_of(n, 4 * THREADS), THREADS, 0, x, y, n, f);
}

__global__ void to_float_kernel(Global<float> out, Global<const bf16> x, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) out[i] = to_float(x[i]);
}

void to_float_cuda(float *out, const bf16 *x, int64_t n)
{
    if (n <= 0) return;
    operation_work(0, 6.0 * (double)n);
    LAUNCH(to_float_kernel, blocks_of(n, THREADS), THREADS, 0, out, x, n);
}

__global__ void to_bf16_rows_kernel(Global<bf16> out, int64_t stride, Global<const float> x, int N)
{
    const int64_t row = blockIdx.x;
    for (int i = threadIdx.x; i < N; i += THREADS) out[row * stride + i] = to_bf16(x[row * N + i]);
}

void to_bf16_rows(bf16 *out, int64_t stride, const float *x, int64_t rows, int N)
{
    if (rows <= 0) return;
    operation_work(0, 6.0 * (double)(rows * N));
    LAUNCH(to_bf16_rows_kernel, (unsigned)rows, THREADS, 0, out, stride, x, N);
}

void to_bf16_cuda(bf16 *out, const float *x, int64_t n)
{
    Fours f = plain(aligned16(out) && aligned16(x));
    if (n <= 0) return;
    operation_work(0, 6.0 * n);
    LAUNCH(to_bf16_kernel, blocks_of(n, 4 * THREADS), THREADS, 0, out, x, n, f);
}

static double rows_of(const Sequences &s)
{
    double rows = 0;
    for (int b = 0; b < s.n; b++) rows += s.length[b];
    return rows;
}

void rotate_cuda(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D)
{
    int half = D / 2, parts = (heads + HEADS - 1) / HEADS;
    Fours f = { 1, half % 4 == 0 && aligned16(x) && aligned16(cosine) && aligned16(sine) };
    for_sequences(batch, [&](const Sequences &s, int first) {
        Pasts before = {};
        for (int b = 0; past && b < s.n; b++) before.of[b] = past[first + b];
        dim3 grid(blocks_of((int64_t)s.longest * ((half + 3) / 4) * parts, THREADS), (unsigned)s.n);
        operation_work(3.0 * rows_of(s) * heads * D, rows_of(s) * (8.0 * heads + 4) * D);
        LAUNCH(rotate_kernel, grid, THREADS, 0, x, cosine, sine, s, before, heads, half, parts, f);
    });
}

void norm_rotate_bf16(bf16 *x, int64_t stride, const float *gain, float epsilon, const float *cosine, const float *sine, const Ragged *batch, int heads, int D)
{
    if (D % 8 || D > MOST_D) return device_fail("heads of %d numbers are not supported in bf16: a multiple of 8, at most %d", D, MOST_D);
    int half = D / 2, parts = (heads + HEADS - 1) / HEADS, lanes = half > 32 ? 16 : 8;
    Heads a = { stride, heads, half, parts, epsilon, { 1, aligned16(x) && stride % 4 == 0 },
                { 1, aligned16(cosine) && aligned16(sine) && aligned16(gain) } };
    for_sequences(batch, [&](const Sequences &s, int) {
        dim3 grid(blocks_of((int64_t)s.longest * parts * lanes, THREADS), (unsigned)s.n);
        operation_work((gain ? 7.0 : 3.0) * rows_of(s) * heads * D, rows_of(s) * (4.0 * heads + 4) * D);
        if (lanes == 16) LAUNCH(norm_rotate_bf16_kernel<16>, grid, THREADS, 0, x, gain, cosine, sine, s, a);
        else LAUNCH(norm_rotate_bf16_kernel<8>, grid, THREADS, 0, x, gain, cosine, sine, s, a);
    });
}
