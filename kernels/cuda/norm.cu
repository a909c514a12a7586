/*
 * norm.cu - out[r] = gain * x[r] / sqrt(mean(x[r]^2) + epsilon), and its gradient by x
 *
 *     dx[r] = s gain * dy[r] - x[r] s^3 sum_c(gain dy x) / C,   s = 1 / sqrt(mean(x[r]^2) + epsilon)
 *
 * One row a block of 128 threads (a warp where rows are as short as a head); sums in double, since a row is read from memory
 * once and a sum in double costs less than that.  Bytes: x once, out once (8 a number); the second reading of the row hits the cache.
 */
#include "kernels/cuda/cuda.cuh"

enum { THREADS = 128 };

template <class Out> __device__ __forceinline__ Out rounded(float x);
template <> __device__ __forceinline__ float rounded<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 rounded<bf16>(float x) { return to_bf16(x); }

template <class Out> __global__ void rms_norm_kernel(Global<Out> out, Global<const float> x, Global<const float> gain, int C, float epsilon)
{
    int64_t row = (int64_t)blockIdx.x * C;
    double squares = 0;
    for (int c = threadIdx.x; c < C; c += THREADS) {
        double v = (float)x[row + c];
        squares += v * v;
    }
    double scale = 1 / sqrt(block_sum<THREADS>(squares) / C + epsilon);
    for (int c = threadIdx.x; c < C; c += THREADS) {
        float v = x[row + c], g = gain[c];
        out[row + c] = rounded<Out>((float)(g * (v * scale)));
    }
}

__global__ void rms_norm_backward_kernel(Global<float> dx, Global<const float> dy, Global<const float> x, Global<const float> gain, int C, float epsilon)
{
    int64_t row = (int64_t)blockIdx.x * C;
    double squares = 0, product = 0;
    for (int c = threadIdx.x; c < C; c += THREADS) {
        double v = (float)x[row + c], g = (float)gain[c], d = (float)dy[row + c];
        squares += v * v;
        product += g * d * v;
    }
    double s = 1 / sqrt(block_sum<THREADS>(squares) / C + epsilon);
    double along = s * s * s * block_sum<THREADS>(product) / C;
    for (int c = threadIdx.x; c < C; c += THREADS) {
        double v = (float)x[row + c], g = (float)gain[c], d = (float)dy[row + c];
        dx[row + c] = (float)(s * g * d - v * along);
    }
}

void rms_norm_cuda(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    if (rows > 0) LAUNCH(rms_norm_kernel<float>, (unsigned)rows, THREADS, 0, out, x, gain, C, epsilon);
}

void rms_norm_bf16(bf16 *out, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    if (rows > 0) LAUNCH(rms_norm_kernel<bf16>, (unsigned)rows, THREADS, 0, out, x, gain, C, epsilon);
}

void rms_norm_backward_cuda(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
    if (rows > 0) LAUNCH(rms_norm_backward_kernel, (unsigned)rows, THREADS, 0, dx, dy, x, gain, C, epsilon);
}
