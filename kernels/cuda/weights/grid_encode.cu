/*
 * grid_encode.cu - the nearest point of a grid for each vector, and the point of each code
 *
 *     code = the least k that minimizes d_k = (x_0 - c_k0)^2 + ... + (x_{p-1} - c_k,p-1)^2       (core/grid/nearest.h)
 *
 * with every operation of d_k rounded by itself: compiled without contraction, so that the codes are the host's, ties included.  The grid
 * lies in shared memory, in tiles of up to 4096 numbers; a thread tries four points at a time, one load of 16 bytes a coordinate that all
 * lanes share, on four vectors that it holds in registers.  All points are tried: the cells with which the host saves most of the
 * distances would make the lanes of a warp diverge.
 *
 * Compute bound.  A vector and a point take 3p - 1 operations for d, a comparison and two selections: 3p + 2, and at p = 2 8.6
 * instructions with the loads and the loop (sm_90).  An 8B model at p = 2, n = 256 is 4.0e9 vectors, 1.02e12 distances of 5 FLOPs,
 * 5.1e12 FLOPs in all and 8.8e12 instructions.  An H100 issues 132 SMs x 128 lanes x 1.7 GHz = 2.9e13 a second: 0.30 s, and 0.35 to 0.4 s
 * at an expected 75 to 85 % of the issue slots.  Memory is 4p + 4 bytes a vector, 4.8e10 in all: 0.015 s.  n = 4096 takes 16 times that.
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/weights/quantize.cuh"

enum { THREADS = 256, VECTORS = 4 };

template <int P> __global__ void __launch_bounds__(THREADS) encode_kernel(Global<float> code, Global<const float> x, Global<const float> point, int64_t count, int n, int tile)
{
    DYNAMIC_SHARED(memory);
    Shared<float> plane = shared_at<float>(memory, 0);
    const int64_t first = (int64_t)blockIdx.x * (THREADS * VECTORS) + threadIdx.x;
    float z[VECTORS][P], best[VECTORS];
    int index[VECTORS];
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
        const int64_t i = first + v * THREADS;
        best[v] = INFINITY;
        index[v] = -1;
        UNROLL
        for (int j = 0; j < P; j++) {
            z[v][j] = 0;
            if (i < count) z[v][j] = x[i * P + j];
        }
    }
    for (int k = 0; k < n; k += tile) {
        __syncthreads();
        load_points<P, THREADS>(plane, tile, point, k, n);
        __syncthreads();
        try_points<P, VECTORS>(best, index, z, plane, tile, k);
    }
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
        const int64_t i = first + v * THREADS;
        if (i < count) code[i] = index[v] < 0 ? NAN : (float)index[v];
    }
}

void grid_encode_cuda(float *code, const float *x, const float *point, int64_t count, int n, int p)
{
    const int tile = tile_points(n, p), bytes = tile * p * (int)sizeof(float);
    auto grid_encode = DIMENSION(p, encode_kernel);
    operation_work((double)count * n * (3 * p - 1), 4.0 * (double)count * (p + 1));
    if (count > 0) LAUNCH(grid_encode, blocks_of(count, THREADS * VECTORS), THREADS, bytes, code, x, point, count, n, tile);
}

/* One number a thread; 4 bytes of it and 4 / p of its code in memory, the points in the cache. */
__global__ void decode_kernel(Global<float> out, Global<const float> code, Global<const float> point, Global<const float> scale, int64_t numbers, int p, int64_t group)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= numbers) return;
    const int64_t vector = i / p;
    const float k = code[vector];
    float v = NAN;
    if (k == k) v = (float)scale[i / group] * (float)point[(int64_t)k * p + (i - vector * p)];
    out[i] = v;
}

void grid_decode_cuda(float *out, const float *code, const float *point, const float *scale, int64_t count, int p, int64_t group)
{
    operation_work((double)count * p, 4.0 * (double)count * (p + 1));
    if (count > 0) LAUNCH(decode_kernel, blocks_of(count * p, THREADS), THREADS, 0, out, code, point, scale, count * p, p, group);
}
