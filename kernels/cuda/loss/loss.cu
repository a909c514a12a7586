/*
 * loss.cu - log sum_i exp(logit_i) and the largest logit of a row, and KL(p||q) of two rows, in double
 *
 *     kl = sum_i p_i (expm1(d_i) - d_i),   d_i = (b_i - a_i) - (B - A),   p_i = exp(a_i - A)
 *
 * One row a block of 256 threads, read once: 4 bytes a logit, and four logits a thread in flight while four are worked on.  Every thread
 * keeps the largest logit it has met and its sum of exp(logit - largest); both are joined in a fixed tree at the end.
 * A double exponential is some 20 instructions, so that a logit costs about 25 double ones in log_sum_exp and 45 in kl.  For 512 rows of
 * 128256 logits (263 MB a read): H100 0.08 ms of memory against 0.1 ms of arithmetic (kl: 0.16 and 0.18); RTX 4090, with a 64th of its
 * arithmetic in double, 0.3 ms against 2.6 ms (kl: 0.5 and 4.6).  Their logits alone are 2 * 512 * 128256 * C operations: 6 ms there at C = 4096.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/rows/four.cuh"
#include "kernels/cuda/cuda.cuh"

constexpr int THREADS = 256, STEP = 4 * THREADS;

struct Top { float value; int at; };

/* The larger, of equals the first. */
__device__ __forceinline__ Top first_larger(Top a, Top b) { return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a; }

__device__ __forceinline__ Top block_top(Top mine)
{
    SHARED(float, value, THREADS / WARP);
    SHARED(int, at, THREADS / WARP);
    for (int step = WARP / 2; step > 0; step /= 2) {
        Top other = { __shfl_xor_sync(ALL_LANES, mine.value, step), __shfl_xor_sync(ALL_LANES, mine.at, step) };
        mine = first_larger(mine, other);
    }
    if (threadIdx.x % WARP == 0) {
        value[threadIdx.x / WARP] = mine.value;
        at[threadIdx.x / WARP] = mine.at;
    }
    __syncthreads();
    for (int w = 0; w < THREADS / WARP; w++) {
        Top other = { value[w], at[w] };
        mine = first_larger(mine, other);
    }
    return mine;
}

/* NaN is never larger than anything, but its exponential makes the sum NaN.  The shift starts at a finite number: -infinity less itself
 * is NaN, and a row may begin with it. */
__global__ void __launch_bounds__(THREADS, 3) log_sum_exp_kernel(Global<double> log_sum, Global<double> target_logit, Global<int32_t> top,
                                                                 Global<const float> logits, Global<const int32_t> target, int V, Fours f)
{
    Global<const float> row = logits + (int64_t)blockIdx.x * V;
    Top mine = { -INFINITY, V };
    float shift = -FLT_MAX, next[4];
    double sum = 0;
    load_four(next, row, first_of(f, threadIdx.x), V, f, -INFINITY);
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) {
        float v[4] = { next[0], next[1], next[2], next[3] };
        load_four(next, row, i + STEP, V, f, -INFINITY);
        for (int j = 0; j < 4; j++)
            if (v[j] > mine.value) mine = { v[j], i + j * f.stride };
        if (mine.value > shift) {
            sum *= exp((double)shift - mine.value);
            shift = mine.value;
        }
        for (int j = 0; j < 4; j++) sum += exp((double)v[j] - shift);
    }
    mine = block_top(mine);
    double largest = mine.value > -FLT_MAX ? mine.value : -FLT_MAX;
    sum = block_sum<THREADS>(sum * exp(shift - largest));
    if (threadIdx.x) return;
    int token = target[blockIdx.x];
    float at_target = 0;
    if (token >= 0) at_target = row[token];
    log_sum[blockIdx.x] = largest + log(sum);
    target_logit[blockIdx.x] = at_target;
    top[blockIdx.x] = mine.at < V ? mine.at : 0;
}

/* expm1(d) - d = d^2/2! + ... + d^14/14! for |d| < 1/2, to 2e-16 of itself; beyond it loses at most four bits by the difference. */
__device__ __forceinline__ double expm1_minus(double d)
{
    if (!(fabs(d) < 0.5)) return expm1(d) - d;
    double sum = 1.0 / 87178291200.0;
    sum = sum * d + 1.0 / 6227020800.0;
    sum = sum * d + 1.0 / 479001600.0;
    sum = sum * d + 1.0 / 39916800.0;
    sum = sum * d + 1.0 / 3628800.0;
    sum = sum * d + 1.0 / 362880.0;
    sum = sum * d + 1.0 / 40320.0;
    sum = sum * d + 1.0 / 5040.0;
    sum = sum * d + 1.0 / 720.0;
    sum = sum * d + 1.0 / 120.0;
    sum = sum * d + 1.0 / 24.0;
    sum = sum * d + 1.0 / 6.0;
    sum = sum * d + 0.5;
    return sum * d * d;
}

/* From d = 1 on the same as q - p (1 + d), q = exp(b - B): exp(d) may overflow where p vanishes.  NaN goes there too. */
__device__ __forceinline__ double kl_term(double a, double A, double b, double B)
{
    double d = (b - a) - (B - A), p = exp(a - A);
    return d < 1 ? p * expm1_minus(d) : exp(b - B) - p * (1 + d);
}

__global__ void __launch_bounds__(THREADS, 3) kl_divergence_kernel(Global<double> kl, Global<const float> a, Global<const double> A,
                                                                   Global<const float> b, Global<const double> B, int V, Fours f)
{
    int64_t start = (int64_t)blockIdx.x * V;
    double log_sum = A[blockIdx.x], other_log_sum = B[blockIdx.x], sum = 0;
    float next[4], other_next[4];
    load_four(next, a + start, first_of(f, threadIdx.x), V, f);
    load_four(other_next, b + start, first_of(f, threadIdx.x), V, f);
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) {
        float p[4] = { next[0], next[1], next[2], next[3] }, q[4] = { other_next[0], other_next[1], other_next[2], other_next[3] };
        load_four(next, a + start, i + STEP, V, f);
        load_four(other_next, b + start, i + STEP, V, f);
        for (int j = 0; j < 4; j++)
            if (i + j * f.stride < V) sum += kl_term(p[j], log_sum, q[j], other_log_sum);
    }
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) kl[blockIdx.x] = sum;
}

/* One piece of scratch for everything, the results in front: they come to the host together. */
void log_sum_exp_cuda(double *log_sum, int32_t *top, double *target_logit, const float *logits, const int32_t *target, int64_t rows, int V)
{
    if (rows <= 0) return;
    const int64_t doubles = rows * (int64_t)sizeof(double), ints = rows * (int64_t)sizeof(int32_t), results = 2 * doubles + ints;
    scratch_reset();
    char *device = scratch<char>(results + ints), *host = (char *)malloc((size_t)results);
    if (!host) return device_fail("there is no memory for the log sums of %lld rows", (long long)rows);
    int32_t *device_top = (int32_t *)(device + 2 * doubles), *device_target = device_top + rows;
    device_put(device_target, target, ints);
    operation_work(25.0 * rows * V, 4.0 * rows * V);
    LAUNCH(log_sum_exp_kernel, (unsigned)rows, THREADS, 0, (double *)device, (double *)device + rows, device_top, logits, device_target, V,
           fours_of(V, aligned16(logits), THREADS));
    device_get(host, device, results);
    if (!device_failed()) {
        memcpy(log_sum, host, (size_t)doubles);
        memcpy(target_logit, host + doubles, (size_t)doubles);
        memcpy(top, host + 2 * doubles, (size_t)ints);
    }
    free(host);
}

void kl_divergence_cuda(double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V)
{
    if (rows <= 0) return;
    const int64_t bytes = rows * (int64_t)sizeof(double);
    scratch_reset();
    double *device_kl = scratch<double>(3 * rows), *device_A = device_kl + rows, *device_B = device_A + rows;
    device_put(device_A, A, bytes);
    device_put(device_B, B, bytes);
    operation_work(45.0 * rows * V, 8.0 * rows * V);
    LAUNCH(kl_divergence_kernel, (unsigned)rows, THREADS, 0, device_kl, a, device_A, b, device_B, V, fours_of(V, aligned16(a) && aligned16(b), THREADS));
    device_get(kl, device_kl, bytes);
}
