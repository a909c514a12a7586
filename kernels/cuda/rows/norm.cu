/*
 * norm.cu - out[r] = gain * x[r] / sqrt(mean(x[r]^2) + epsilon), and its gradient by x
 *
 *     dx[r] = s gain * dy[r] - x[r] s^3 sum_c(gain dy x) / C,   s = 1 / sqrt(mean(x[r]^2) + epsilon)
 *
 * Bytes a number: 8 (bf16 out: 6), the gradient 12.  A row stays in the registers of the threads that share it, so that it is read once: a
 * warp for rows as short as a head, then blocks of 128 to 512 threads with at most 16 numbers each (the gradient, which holds two rows, 8 up
 * to a width of 4096); rows beyond 8192 are read again.  Where there are many rows a block takes several, one after the other, and keeps the
 * gains, which would be a third of the traffic.  Sums in double: two operations of it a number cost less than its memory even where double
 * runs at a 64th of the speed.
 */
#include "kernels/cuda/rows/four.cuh"
#include "kernels/cuda/cuda.cuh"

constexpr int ROWS_EACH = 4, WARPS = 4, LONG = 512;

/* The sum over the threads of a row, to all of them. */
template <int THREADS> __device__ __forceinline__ double row_sum(double x)
{
    if constexpr (THREADS == WARP) return warp_sum(x);
    else return block_sum<THREADS>(x);
}

/* EACH fours of a row of C. */
template <int THREADS, int EACH> __device__ __forceinline__ void load_row(float (*v)[4], Global<const float> x, int C, Fours f)
{
    for (int k = 0; k < EACH; k++) load_four(v[k], x, k * 4 * THREADS + first_of(f, threadIdx.x % THREADS), C, f);
}

/* The rows of a block, or of a warp where a warp has a row: from first_row on, `each` of them, as far as there are rows. */
template <int THREADS> __device__ __forceinline__ int64_t first_row(int each)
{
    return THREADS == WARP ? ((int64_t)blockIdx.x * WARPS + threadIdx.x / WARP) * each : (int64_t)blockIdx.x * each;
}

template <class Out, int THREADS, int EACH>
__global__ void __launch_bounds__(THREADS == WARP ? WARP * WARPS : THREADS)
rms_norm_kernel(Global<Out> out, Global<const float> x, Global<const float> gain, int64_t rows, int C, float epsilon, int each, Fours f)
{
    float g[EACH][4], v[EACH][4];
    load_row<THREADS, EACH>(g, gain, C, f);
    int64_t first = first_row<THREADS>(each), end = min(rows, first + each);
    for (int64_t r = first; r < end; r++) {
        load_row<THREADS, EACH>(v, x + r * C, C, f);
        double squares = 0;
        for (int k = 0; k < EACH; k++)
            for (int j = 0; j < 4; j++) squares += (double)v[k][j] * v[k][j];
        float scale = (float)(1 / sqrt(row_sum<THREADS>(squares) / C + epsilon));
        for (int k = 0; k < EACH; k++) {
            for (int j = 0; j < 4; j++) v[k][j] = g[k][j] * (v[k][j] * scale);
            store_four(out + r * C, v[k], k * 4 * THREADS + first_of(f, threadIdx.x % THREADS), C, f);
        }
    }
}

template <int THREADS, int EACH>
__global__ void __launch_bounds__(THREADS == WARP ? WARP * WARPS : THREADS)
rms_norm_backward_kernel(Global<float> dx, Global<const float> dy, Global<const float> x, Global<const float> gain, int64_t rows, int C,
                         float epsilon, int each, Fours f)
{
    constexpr bool ASIDE = EACH == 4;       /* registers hold two such rows, not three: each thread's gains lie in shared memory */
    SHARED(float, aside, ASIDE ? 4 * THREADS * EACH : 4);
    float g[EACH][4], v[EACH][4], d[EACH][4];
    load_row<THREADS, EACH>(g, gain, C, f);
    for (int k = 0; k < EACH && ASIDE; k++) store4(aside, 4 * (k * THREADS + threadIdx.x), make_float4(g[k][0], g[k][1], g[k][2], g[k][3]));
    int64_t first = first_row<THREADS>(each), end = min(rows, first + each);
    for (int64_t r = first; r < end; r++) {
        load_row<THREADS, EACH>(v, x + r * C, C, f);
        load_row<THREADS, EACH>(d, dy + r * C, C, f);
        double squares = 0, product = 0;
        for (int k = 0; k < EACH; k++) {
            if (ASIDE) {
                const float4 all = load4(aside, 4 * (k * THREADS + threadIdx.x));
                g[k][0] = all.x, g[k][1] = all.y, g[k][2] = all.z, g[k][3] = all.w;
            }
            for (int j = 0; j < 4; j++) {
                d[k][j] *= g[k][j];
                squares += (double)v[k][j] * v[k][j];
                product += (double)d[k][j] * v[k][j];
            }
        }
        double s = 1 / sqrt(row_sum<THREADS>(squares) / C + epsilon);
        float scale = (float)s, along = (float)(s * s * s * row_sum<THREADS>(product) / C);
        for (int k = 0; k < EACH; k++) {
            for (int j = 0; j < 4; j++) d[k][j] = scale * d[k][j] - v[k][j] * along;
            store_four(dx + r * C, d[k], k * 4 * THREADS + first_of(f, threadIdx.x % THREADS), C, f);
        }
    }
}

/* ---- rows that registers do not hold ---- */

template <class Out> __global__ void rms_norm_long_kernel(Global<Out> out, Global<const float> x, Global<const float> gain, int C, float epsilon, Fours f)
{
    int64_t row = (int64_t)blockIdx.x * C;
    float g[4], v[4];
    double squares = 0;
    for (int c = first_of(f, threadIdx.x); c < C; c += 4 * LONG) {
        load_four(v, x + row, c, C, f);
        for (int j = 0; j < 4; j++) squares += (double)v[j] * v[j];
    }
    float scale = (float)(1 / sqrt(block_sum<LONG>(squares) / C + epsilon));
    for (int c = first_of(f, threadIdx.x); c < C; c += 4 * LONG) {
        load_four(v, x + row, c, C, f);
        load_four(g, gain, c, C, f);
        for (int j = 0; j < 4; j++) v[j] = g[j] * (v[j] * scale);
        store_four(out + row, v, c, C, f);
    }
}

__global__ void rms_norm_backward_long_kernel(Global<float> dx, Global<const float> dy, Global<const float> x, Global<const float> gain, int C,
                                              float epsilon, Fours f)
{
    int64_t row = (int64_t)blockIdx.x * C;
    float g[4], v[4], d[4];
    double squares = 0, product = 0;
    for (int c = first_of(f, threadIdx.x); c < C; c += 4 * LONG) {
        load_four(v, x + row, c, C, f);
        load_four(d, dy + row, c, C, f);
        load_four(g, gain, c, C, f);
        for (int j = 0; j < 4; j++) {
            squares += (double)v[j] * v[j];
            product += (double)(g[j] * d[j]) * v[j];
        }
    }
    double s = 1 / sqrt(block_sum<LONG>(squares) / C + epsilon);
    float scale = (float)s, along = (float)(s * s * s * block_sum<LONG>(product) / C);
    for (int c = first_of(f, threadIdx.x); c < C; c += 4 * LONG) {
        load_four(v, x + row, c, C, f);
        load_four(d, dy + row, c, C, f);
        load_four(g, gain, c, C, f);
        for (int j = 0; j < 4; j++) d[j] = scale * (g[j] * d[j]) - v[j] * along;
        store_four(dx + row, d, c, C, f);
    }
}

/* ---- launches ---- */

enum { LONGEST = 8192 };

/* Calls f<threads of a row, fours of a thread>(blocks, threads of a block, rows of a block or warp): several rows where 2^17 threads in 256 blocks
 * are left to keep every multiprocessor busy. */
template <int THREADS, int EACH, class F> static void with(int64_t rows, F f)
{
    constexpr int MANY = THREADS <= 128 ? 1024 : THREADS <= 512 ? 131072 / THREADS : 256;
    const int each = rows < 2 * MANY ? 1 : rows < ROWS_EACH * MANY ? (int)(rows / MANY) : ROWS_EACH;
    if (THREADS == WARP) f.template operator()<THREADS, EACH>(blocks_of(rows, each * WARPS), WARP * WARPS, each);
    else f.template operator()<THREADS, EACH>(blocks_of(rows, each), THREADS, each);
}

/* DEEP: fours of a thread in the longest rows. */
template <int DEEP, class F> static void with_shape(int64_t rows, int C, F f)
{
    if (C <= 128) with<WARP, 1>(rows, f);
    else if (C <= 512) with<128, 1>(rows, f);
    else if (C <= 1024) with<128, 2>(rows, f);
    else if (C <= 2048) with<256, 2>(rows, f);
    else if (C <= 4096) with<1024 / DEEP, DEEP>(rows, f);
    else with<512, 4>(rows, f);
}

template <class Out> static void rms_norm(Out *out, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    const bool aligned = aligned16(out) && aligned16(x) && aligned16(gain);
    if (rows <= 0) return;
    operation_work(4.0 * rows * C, (double)(sizeof *out + sizeof *x) * rows * C);
    if (C > LONGEST) {
        LAUNCH(rms_norm_long_kernel<Out>, (unsigned)rows, LONG, 0, out, x, gain, C, epsilon, fours_of(C, aligned, LONG));
        return;
    }
    with_shape<4>(rows, C, [=]<int THREADS, int EACH>(unsigned blocks, int threads, int each) {
        LAUNCH((rms_norm_kernel<Out, THREADS, EACH>), blocks, threads, 0, out, x, gain, rows, C, epsilon, each, fours_of(C, aligned, THREADS));
    });
}

void rms_norm_cuda(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon) { rms_norm(out, x, gain, rows, C, epsilon); }
void rms_norm_bf16(bf16 *out, const float *x, const float *gain, int64_t rows, int C, float epsilon) { rms_norm(out, x, gain, rows, C, epsilon); }

void rms_norm_backward_cuda(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    const bool aligned = aligned16(dx) && aligned16(dy) && aligned16(x) && aligned16(gain);
    if (rows <= 0) return;
    operation_work(9.0 * rows * C, 12.0 * rows * C);
    if (C > LONGEST) {
        LAUNCH(rms_norm_backward_long_kernel, (unsigned)rows, LONG, 0, dx, dy, x, gain, C, epsilon, fours_of(C, aligned, LONG));
        return;
    }
    with_shape<2>(rows, C, [=]<int THREADS, int EACH>(unsigned blocks, int threads, int each) {
        LAUNCH((rms_norm_backward_kernel<THREADS, EACH>), blocks, threads, 0, dx, dy, x, gain, rows, C, epsilon, each, fours_of(C, aligned, THREADS));
    });
}
