/*
 * signs.cuh - random signs of a row, a bit each: +1 where bit i%32 of word i/32 is set, otherwise -1
 */
#ifndef KERNELS_CUDA_LOSS_SIGNS_CUH
#define KERNELS_CUDA_LOSS_SIGNS_CUH

#include "kernels/cuda/rows/four.cuh"

/* Bit j says that the sign of the j-th of a thread's four is +1; neighbours from a multiple of four on share a word. */
__device__ __forceinline__ unsigned signs_of(Global<const uint32_t> sign, int i, int V, Fours f)
{
    if (f.stride == 1) {
        uint32_t word = 0;
        if (i < V) word = sign[i / 32];
        return word >> (i % 32) & 15;
    }
    unsigned bits = 0;
    for (int j = 0; j < 4; j++)
        if (i + j * f.stride < V) {
            uint32_t word = sign[(i + j * f.stride) / 32];
            bits |= (word >> ((i + j * f.stride) % 32) & 1) << j;
        }
    return bits;
}

__device__ __forceinline__ float signed_by(unsigned bits, int j, float x) { return bits >> j & 1 ? x : -x; }

#endif
