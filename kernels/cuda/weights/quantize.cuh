/*
 * quantize.cuh - what the quantizers' kernels share: the rotation of groups in shared memory, the search in a grid, stored scales
 */
#ifndef KERNELS_CUDA_QUANTIZE_CUH
#define KERNELS_CUDA_QUANTIZE_CUH

#include <float.h>
#include <math.h>

#include "kernels/cuda/device.cuh"

/* ---- rotation ---- */

/* What a block rotates at once: one group, or as many small ones as make this many numbers. */
enum { CHUNK = 1024 };
static inline int chunk_of(int group) { return group > CHUNK ? group : CHUNK; }

static inline int log2_of(int power)
{
    int exponent = 0;
    while (1 << exponent < power) exponent++;
    return exponent;
}

/* Two neighbours of every `block` numbers at distance h: where the j-th pair (or quadruple) of all begins. */
__device__ __forceinline__ int butterfly_at(int j, int h, int points) { return (j & -h) * points + (j & (h - 1)); }

/*
 * x <- H x for each `group` numbers of y [count], a power of two that divides count, by a block of THREADS threads that have passed a
 * barrier since y was written (or wrote element i from thread i % THREADS); they have passed another one at the end.
 *
 * Stages go from neighbours outwards, as on the host, since their order decides how sums round.  The first five are shuffles of a warp,
 * where accesses of shared memory would fall on each other's banks; the others take two stages a pass.
 */
template <int THREADS> __device__ __forceinline__ void hadamard_groups(Shared<double> y, int count, int group)
{
    const int lane = threadIdx.x % WARP, narrow = group < WARP ? group : WARP;
    for (int base = threadIdx.x - lane; base < count; base += THREADS) {
        const int i = base + lane;
        double v = i < count ? (double)y[i] : 0;
        for (int h = 1; h < narrow; h *= 2) {
            const double other = __shfl_xor_sync(ALL_LANES, v, h);
            v = lane & h ? other - v : v + other;
        }
        if (i < count) y[i] = v;
    }
    __syncthreads();
    int h = WARP;
    for (; 4 * h <= group; h *= 4) {
        for (int j = threadIdx.x; j < count / 4; j += THREADS) {
            const int i = butterfly_at(j, h, 4);
            const double a = y[i], b = y[i + h], c = y[i + 2 * h], d = y[i + 3 * h];
            y[i] = (a + b) + (c + d);
            y[i + h] = (a - b) + (c - d);
            y[i + 2 * h] = (a + b) - (c + d);
            y[i + 3 * h] = (a - b) - (c - d);
        }
        __syncthreads();
    }
    if (h >= group) return;
    for (int j = threadIdx.x; j < count / 2; j += THREADS) {
        const int i = butterfly_at(j, h, 2);
        const double a = y[i], b = y[i + h];
        y[i] = a + b;
        y[i + h] = a - b;
    }
    __syncthreads();
}

/* ---- grids ---- */

/* Points in shared memory, coordinate after coordinate, so that four of them are one load; filled up to a multiple of four with points
 * at infinity, which are nearest to nothing. */
enum { TILE_NUMBERS = 4096 };
static inline int tile_points(int n, int p) { int most = TILE_NUMBERS / p / 4 * 4, all = (n + 3) / 4 * 4; return all < most ? all : most; }

template <int P, int THREADS> __device__ __forceinline__ void load_points(Shared<float> plane, int stride, Global<const float> point, int first, int n)
{
    for (int i = threadIdx.x; i < stride; i += THREADS)
        for (int j = 0; j < P; j++) {
            float c = INFINITY;
            if (first + i < n) c = point[(int64_t)(first + i) * P + j];
            plane[j * stride + i] = c;
        }
}

template <int P> __device__ __forceinline__ void nearer(float &best, int &index, const float (&z)[P], const float (&c)[P], int k)
{
    float distance = (z[0] - c[0]) * (z[0] - c[0]);
    UNROLL
    for (int j = 1; j < P; j++) distance += (z[j] - c[j]) * (z[j] - c[j]);
    if (distance < best) best = distance, index = k;
}

/* Tries the points of a tile on V vectors; best starts at infinity, index as what stands for none.  The first of equals stays. */
template <int P, int V> __device__ __forceinline__ void try_points(float (&best)[V], int (&index)[V], const float (&z)[V][P], Shared<float> plane, int stride, int first)
{
    for (int i = 0; i < stride; i += 4) {
        float c[4][P];
        UNROLL
        for (int j = 0; j < P; j++) {
            const float4 four = load4(plane, j * stride + i);
            c[0][j] = four.x, c[1][j] = four.y, c[2][j] = four.z, c[3][j] = four.w;
        }
        UNROLL
        for (int k = 0; k < 4; k++)
            UNROLL
            for (int v = 0; v < V; v++) nearer<P>(best[v], index[v], z[v], c[k], first + i + k);
    }
}

/* Calls kernel<p>(...) for a p known at run time only: DIMENSION(p, f) names f<1> .. f<8>. */
#define DIMENSION(p, f) \
    ((p) == 1 ? f<1> : (p) == 2 ? f<2> : (p) == 3 ? f<3> : (p) == 4 ? f<4> : (p) == 5 ? f<5> : (p) == 6 ? f<6> : (p) == 7 ? f<7> : f<8>)

/* ---- scales ---- */

/* Half to even for |x| < 2^51. */
__device__ __forceinline__ double round_even(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

/* Rounded once, half to even, to an IEEE half (bits = 16), a single (32), or not at all (64); NaN where it does not fit. */
__device__ __forceinline__ double stored_scale(double scale, int bits)
{
    if (!(fabs(scale) <= DBL_MAX)) return NAN;
    if (bits == 64) return scale;
    if (bits == 32) return fabs(scale) <= FLT_MAX ? (double)(float)scale : NAN;
    int exponent;
    frexp(scale, &exponent);
    const double unit = ldexp(1.0, (exponent > -13 ? exponent : -13) - 11);        /* 2^-14 is the least normal half */
    const double rounded = round_even(scale / unit) * unit;
    return fabs(rounded) <= 65504 ? rounded : NAN;
}

#endif
