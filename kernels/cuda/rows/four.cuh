/*
 * four.cuh - four numbers of a thread: neighbours that move as 16 bytes, or numbers a block's width apart
 *
 * Threads take neighbours where the width of an array is a multiple of four.  Other rows start anywhere, so there a thread takes
 * every THREADS-th number, which makes those of a warp neighbours.  Which numbers a thread sums up depends on the width alone, never on
 * where an array happens to lie: `vector` only says how neighbours are moved.
 */
#ifndef KERNELS_CUDA_FOUR_CUH
#define KERNELS_CUDA_FOUR_CUH

#include "kernels/cuda/device.cuh"

struct Fours {
    int stride;                 /* 1, or the block's width          */
    bool vector;                /* neighbours can be moved together */
};

/* For arrays of `width`; aligned: all of them start on 16 bytes. */
static inline Fours fours_of(int64_t width, bool aligned, int threads)
{
    return { width % 4 ? threads : 1, width % 4 == 0 && aligned };
}

/* Where the first four of the thread-th thread of those that share a row, or a block, start. */
__device__ __forceinline__ int first_of(Fours f, int thread) { return f.stride == 1 ? 4 * thread : thread; }

/* x[i], x[i + stride], ...; `outside` from n on.  An Index of 32 bits saves registers within a row. */
template <class Index>
__device__ __forceinline__ void load_four(float *v, Global<const float> x, Index i, Index n, Fours f, float outside = 0)
{
    if (f.vector && i + 4 <= n) {
        float4 all = load4(x, i);
        v[0] = all.x, v[1] = all.y, v[2] = all.z, v[3] = all.w;
        return;
    }
    for (int j = 0; j < 4; j++) {
        v[j] = outside;
        if (i + j * f.stride < n) v[j] = x[i + j * f.stride];
    }
}

template <class Index>
__device__ __forceinline__ void load_four(float *v, Global<const bf16> x, Index i, Index n, Fours f)
{
    if (f.vector && i + 4 <= n) {
        uint2 all = load8(x, i);
        float2 low = unpack_bf16(all.x), high = unpack_bf16(all.y);
        v[0] = low.x, v[1] = low.y, v[2] = high.x, v[3] = high.y;
        return;
    }
    for (int j = 0; j < 4; j++) {
        v[j] = 0;
        if (i + j * f.stride < n) v[j] = to_float(x[i + j * f.stride]);
    }
}

template <class Index>
__device__ __forceinline__ void store_four(Global<float> x, const float *v, Index i, Index n, Fours f)
{
    if (f.vector && i + 4 <= n) {
        store4(x, i, make_float4(v[0], v[1], v[2], v[3]));
        return;
    }
    for (int j = 0; j < 4; j++)
        if (i + j * f.stride < n) x[i + j * f.stride] = v[j];
}

template <class Index>
__device__ __forceinline__ void store_four(Global<bf16> x, const float *v, Index i, Index n, Fours f)
{
    if (f.vector && i + 4 <= n) {
        store8(x, i, make_uint2(pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3])));
        return;
    }
    for (int j = 0; j < 4; j++)
        if (i + j * f.stride < n) x[i + j * f.stride] = to_bf16(v[j]);
}

#endif
