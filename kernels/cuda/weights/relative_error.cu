/*
 * relative_error.cu - t2 = ||out - w||^2 / ||w||^2 and kappa = -<out - w, w> / ||w||^2 of what a quantizer made of w
 *
 * Sums in double: each block sums a stretch of the weights that depends on n alone, the host adds what the blocks found.  Bytes: both
 * matrices once (8 a weight).
 */
#include <math.h>

#include "kernels/cuda/cuda.cuh"

enum { THREADS = 256, STRETCH = 1 << 15, SUMS = 3, AT_ONCE = 4096 };       /* sums of error^2, error w, w^2; blocks of a launch */

__global__ void __launch_bounds__(THREADS) error_kernel(Global<double> part, Global<const float> out, Global<const float> w, int64_t n)
{
    const int64_t first = (int64_t)blockIdx.x * STRETCH, end = first + STRETCH < n ? first + STRETCH : n;
    double sum[SUMS] = { 0, 0, 0 };
    for (int64_t i = first + threadIdx.x; i < end; i += THREADS) {
        const double clean = (float)w[i], error = (double)(float)out[i] - clean;
        sum[0] += error * error;
        sum[1] += error * clean;
        sum[2] += clean * clean;
    }
    for (int k = 0; k < SUMS; k++) {
        const double all = block_sum<THREADS>(sum[k]);
        if (threadIdx.x == 0) part[(int64_t)blockIdx.x * SUMS + k] = all;
    }
}

void relative_error_cuda(double *t2, double *kappa, const float *out, const float *w, int64_t n)
{
    static double found[AT_ONCE * SUMS];
    double sum[SUMS] = { 0, 0, 0 };
    scratch_reset();
    double *part = scratch<double>(AT_ONCE * SUMS);
    for (int64_t i = 0; i < n && !device_failed(); i += (int64_t)AT_ONCE * STRETCH) {
        const int64_t left = n - i < (int64_t)AT_ONCE * STRETCH ? n - i : (int64_t)AT_ONCE * STRETCH;
        const unsigned blocks = blocks_of(left, STRETCH);
        operation_work(7.0 * (double)left, 8.0 * (double)left);
        LAUNCH(error_kernel, blocks, THREADS, 0, part, out + i, w + i, left);
        device_get(found, part, (int64_t)blocks * SUMS * (int64_t)sizeof *found);
        for (unsigned b = 0; b < blocks * SUMS; b++) sum[b % SUMS] += found[b];
    }
    if (device_failed()) sum[0] = sum[1] = sum[2] = NAN;
    *t2 = sum[0] == 0 ? 0 : sum[0] / sum[2];
    *kappa = sum[2] == 0 ? 0 : 0 - sum[1] / sum[2];
}
