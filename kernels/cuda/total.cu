/*
 * total.cu - total[i] = sum of part[i][k] over k: the second half of every sum that many blocks begin
 *
 * One block of threads for each sum, always of the same size, so that the tree depends on n alone.  Bytes: 8 n sums.
 */
#include "kernels/cuda/cuda.cuh"

static const int THREADS = 256;

__global__ void __launch_bounds__(THREADS) total_kernel(Global<double> total, Global<const double> part, int64_t n)
{
    double own = 0;
    for (int64_t k = threadIdx.x; k < n; k += THREADS) {
        double v = part[blockIdx.x * n + k];
        own += v;
    }
    own = block_sum<THREADS>(own);
    if (threadIdx.x == 0) total[blockIdx.x] = own;
}

void total_cuda(double *total, const double *part, int sums, int64_t n)
{
    if (sums > 0) LAUNCH(total_kernel, (unsigned)sums, THREADS, 0, total, part, n);
}
