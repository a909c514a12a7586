/*
 * backward_statistics.cuh - log2 of the sum of weights and the mean of dP of each query, as attention_backward_bf16.cu finds them tile by tile
 */
#ifndef KERNELS_CUDA_ATTENTION_BACKWARD_STATISTICS_CUH
#define KERNELS_CUDA_ATTENTION_BACKWARD_STATISTICS_CUH

#include "kernels/cuda/attention/backward_tiles.cuh"

/* What a lane knows of its rows, lane / 4 and eight more of the warp's: the largest score so far, this lane's part of the sum of weights
 * relative to it and of weights times dP.  Complete: log2 of the sum of weights (in `largest`) and the mean of dP. */
struct RowStatistics { float largest[2], sum[2], mean[2]; };

/* fmaxf passes over NaN, which reaches the sums.  `largest` starts at the least number, not at -infinity: a row whose scores all were
 * -infinity so far has weights of 0, not of NaN. */
__device__ __forceinline__ void add_statistics(RowStatistics &x, const float (&s)[QUERY_STEP / 8][4], const float (&dp)[QUERY_STEP / 8][4], float scale)
{
    UNROLL for (int half = 0; half < 2; half++) {
        float top = -INFINITY;
        UNROLL for (int n = 0; n < QUERY_STEP / 8; n++) top = fmaxf(top, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
        top = fmaxf(x.largest[half], fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2)) * scale);
        float shrink = exp2f_approximate(x.largest[half] - top);
        x.largest[half] = top;
        x.sum[half] *= shrink;
        x.mean[half] *= shrink;
        UNROLL for (int n = 0; n < QUERY_STEP / 8; n++)
            UNROLL for (int i = 2 * half; i < 2 * half + 2; i++) {
                float weight = exp2f_approximate(s[n][i] * scale - top);
                x.sum[half] += weight;
                x.mean[half] += weight * dp[n][i];
            }
    }
}

__device__ __forceinline__ void complete(RowStatistics &x)
{
    UNROLL for (int half = 0; half < 2; half++) {
        float sum = x.sum[half], mean = x.mean[half];
        UNROLL for (int step = 1; step <= 2; step *= 2) {
            sum += __shfl_xor_sync(ALL_LANES, sum, step);
            mean += __shfl_xor_sync(ALL_LANES, mean, step);
        }
        x.largest[half] += log2f(sum);
        x.mean[half] = mean / sum;
    }
}

/* A row beyond the sequence: its weights are to vanish for every key. */
__device__ __forceinline__ void store_statistics(Global<float> to, const RowStatistics &x, int row, int length)
{
    if (threadIdx.x % 4) return;
    UNROLL for (int half = 0; half < 2; half++) {
        bool there = row + 8 * half < length;
        to[2 * (row + 8 * half)] = there ? x.largest[half] : INFINITY;
        to[2 * (row + 8 * half) + 1] = there ? x.mean[half] : 0;
    }
}

#endif
