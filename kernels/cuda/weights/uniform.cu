/*
 * uniform.cu - W^ of a uniform grid from end to end for each group of a row (core/quantize/uniform.h; rtn with clip = minmax)
 *
 *     asymmetric:  s = (max - min) / (2^b - 1),  z = round(-min / s),  w^ = s (clamp(round(w / s) + z, 0, 2^b - 1) - z)
 *     symmetric:   s = max |w| / Q,  Q = 2^(b-1) - 1,                  w^ = s clamp(round(w / s), -Q, Q)
 *
 * A warp takes a group and keeps it in registers; of a group beyond 128 weights it reads the rest twice, the second time from the cache.
 * Steps are in double and in the host's order, the extremes are exact in any order: the same bits.  Bytes: w once, out once (8 a weight).
 * About 15 instructions in double a weight, most of them the division: at 8e9 weights 1.2e11 of an H100's 1.7e13 a second, less than the
 * 20 ms of the memory.
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/weights/quantize.cuh"

enum { THREADS = 256, GROUPS = 8, MOST_BLOCKS = 8192 };         /* groups of a block at a time, a warp each */
constexpr int HELD = 4;                                         /* weights of a lane that stay in its registers */

struct Shape {
    int64_t rows, cols, group, row_groups;
    double top;                     /* the largest code */
    int scale_bits;
    bool symmetric;
};

struct Grid { double scale, zero, middle; };

/* Weight lane + 32 k of a group in held[k]. */
static __device__ __forceinline__ void hold(float *held, Global<const float> w, int64_t n)
{
    UNROLL
    for (int k = 0; k < HELD; k++) {
        const int64_t i = threadIdx.x % WARP + k * WARP;
        held[k] = 0;
        if (i < n) held[k] = w[i];
    }
}

struct Extremes {
    float low, high;
    int finite;
    __device__ __forceinline__ void take(float v)
    {
        finite &= fabsf(v) <= FLT_MAX;
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
};

/* The first of equals stays, which decides between 0 and -0: lane 0's is the group's first weight until another one is beyond it. */
static __device__ __forceinline__ Grid fit(const float *held, Global<const float> w, int64_t n, const Shape &s)
{
    const int lane = threadIdx.x % WARP;
    const float start = __shfl_sync(ALL_LANES, held[0], 0);
    Extremes own = { start, start, 1 };
    UNROLL
    for (int k = 0; k < HELD; k++)
        if (lane + k * WARP < n) own.take(held[k]);
    for (int64_t i = lane + HELD * WARP; i < n; i += WARP) {
        const float v = w[i];
        own.take(v);
    }
    float low = own.low, high = own.high;
    for (int step = WARP / 2; step > 0; step /= 2) {
        const float lower = __shfl_down_sync(ALL_LANES, low, step), higher = __shfl_down_sync(ALL_LANES, high, step);
        low = lower < low ? lower : low;
        high = higher > high ? higher : high;
    }
    double least = __shfl_sync(ALL_LANES, low, 0), most = __shfl_sync(ALL_LANES, high, 0);
    if (!__all_sync(ALL_LANES, own.finite)) return { NAN, 0, NAN };
    if (s.symmetric) most = fmax(fabs(least), fabs(most)), least = -most;
    const double scale = stored_scale((most - least) / s.top, s.scale_bits);
    return { scale, s.symmetric ? s.top / 2 : round_even(-least / scale), s.symmetric ? 0 : stored_scale((least + most) / 2, s.scale_bits) };
}

static __device__ __forceinline__ float rounded(float w, const Grid &g, double top)
{
    if (!(g.scale > 0)) return g.scale != g.scale ? NAN : (float)g.middle;
    const double code = round_even(w / g.scale) + g.zero;
    return (float)(g.scale * ((code < 0 ? 0 : code > top ? top : code) - g.zero));
}

/* Blocks stay and take group after group; each leaves the least and the largest zero point that it met. */
__global__ void __launch_bounds__(THREADS, 4) uniform_kernel(Global<float> out, Global<double> zero, Global<const float> w, Shape s)
{
    SHARED(double, extreme, 2 * GROUPS);
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    double least = 0, most = 0;
    for (int64_t group = (int64_t)blockIdx.x * GROUPS + warp; group < s.rows * s.row_groups; group += (int64_t)gridDim.x * GROUPS) {
        const int64_t row = group / s.row_groups, col = (group - row * s.row_groups) * s.group, at = row * s.cols + col;
        const int64_t n = s.group < s.cols - col ? s.group : s.cols - col;
        float held[HELD];
        hold(held, w + at, n);
        const Grid g = fit(held, w + at, n, s);
        if (g.scale > 0 && !s.symmetric) least = g.zero < least ? g.zero : least, most = g.zero > most ? g.zero : most;
        UNROLL
        for (int k = 0; k < HELD; k++)
            if (lane + k * WARP < n) out[at + lane + k * WARP] = rounded(held[k], g, s.top);
        for (int64_t i = lane + HELD * WARP; i < n; i += WARP) {
            const float v = w[at + i];
            out[at + i] = rounded(v, g, s.top);
        }
    }
    if (lane == 0) extreme[warp] = least, extreme[GROUPS + warp] = most;
    __syncthreads();
    if (threadIdx.x >= 2) return;
    double found = 0;
    for (int k = 0; k < GROUPS; k++) {
        const double each = extreme[threadIdx.x * GROUPS + k];
        found = (threadIdx.x ? each > found : each < found) ? each : found;
    }
    zero[(int64_t)blockIdx.x * 2 + threadIdx.x] = found;
}

void uniform_cuda(float *out, double *zero, const float *w, int64_t rows, int64_t cols, const UniformRounding *how)
{
    static double found[2 * MOST_BLOCKS];
    zero[0] = zero[1] = 0;
    if (rows <= 0 || cols <= 0) return;
    Shape s = { rows, cols, how->group, (cols + how->group - 1) / how->group, 0, how->scale_bits, how->symmetric != 0 };
    s.top = how->symmetric ? 2 * ((1 << (how->bits - 1)) - 1) : (1 << how->bits) - 1;
    const unsigned wanted = blocks_of(rows * s.row_groups, GROUPS), blocks = wanted < (unsigned)MOST_BLOCKS ? wanted : (unsigned)MOST_BLOCKS;
    scratch_reset();
    double *part = scratch<double>(2 * (int)MOST_BLOCKS);
    operation_work(15.0 * (double)(rows * cols), 8.0 * (double)(rows * cols));
    LAUNCH(uniform_kernel, blocks, THREADS, 0, out, part, w, s);
    device_get(found, part, (int64_t)blocks * 2 * (int64_t)sizeof *found);
    for (unsigned b = 0; b < blocks && !device_failed(); b++) {
        zero[0] = found[2 * b] < zero[0] ? found[2 * b] : zero[0];
        zero[1] = found[2 * b + 1] > zero[1] ? found[2 * b + 1] : zero[1];
    }
}
