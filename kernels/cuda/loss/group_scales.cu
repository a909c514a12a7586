/*
 * group_scales.cu - the mean square of every group of weights, and the sum of all squares
 *
 * A warp a group, eight groups a block at a time; sums in double.  Bytes: W once (4 a weight).
 */
#include <math.h>

#include "kernels/cuda/cuda.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP, MOST_BLOCKS = 8192 };

__global__ void __launch_bounds__(THREADS) group_scales_kernel(Global<float> scale, Global<double> part, Global<const float> w, int64_t all, int64_t cols, int group, int64_t groups)
{
    const int lane = threadIdx.x % WARP;
    double own = 0;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / WARP; i < all; i += (int64_t)gridDim.x * WARPS) {
        const int64_t row = i / groups, first = (i - row * groups) * group, n = group < cols - first ? group : cols - first;
        double squares = 0;
        for (int64_t c = lane; c < n; c += WARP) {
            const double v = (float)w[row * cols + first + c];
            squares += v * v;
        }
        squares = warp_sum(squares);
        if (lane > 0) continue;
        scale[i] = (float)(squares / (double)n);
        own += squares;
    }
    own = block_sum<THREADS>(own);
    if (threadIdx.x == 0) part[blockIdx.x] = own;
}

double group_scales_cuda(float *scale, const float *w, int64_t rows, int64_t cols, int group)
{
    const int64_t groups = (cols + group - 1) / group, all = rows * groups;
    const unsigned blocks = all > (int64_t)WARPS * MOST_BLOCKS ? (unsigned)MOST_BLOCKS : blocks_of(all, WARPS);
    double sum = 0;
    if (all == 0) return 0;
    scratch_reset();
    double *part = scratch<double>(blocks), *total = scratch<double>(1);
    operation_work(2.0 * (double)(rows * cols), 4.0 * (double)(rows * cols + all));
    LAUNCH(group_scales_kernel, blocks, THREADS, 0, scale, part, w, all, cols, group, groups);
    total_cuda(total, part, 1, blocks);
    device_get(&sum, total, sizeof sum);
    return device_failed() ? NAN : sum;
}
