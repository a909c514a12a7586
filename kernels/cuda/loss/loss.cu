/*
 * loss.cu - log sum_i exp(logit_i) and the largest logit of a row, and KL(p||q) of two rows, in double
 *
 *     kl = sum_i p_i (expm1(d_i) - d_i),   d_i = (b_i - a_i) - (B - A),   p_i = exp(a_i - A)
 *
 * One row a block of 256 threads, read once: 4 bytes a logit, and four logits a thread in flight while four are worked on.  Every thread
 * keeps the largest logit it has met and its sum of exp(logit - largest); both are joined in a fixed tree at the end.  With signs r also its
 * sum of r exp((logit - largest)/2), the exponentials in float32, which over sqrt(sum) is q . r of the probe (logit.cu): an eighth of a byte more.
 * A double exponential is some 20 instructions, so that a logit costs about 25 double ones in log_sum_exp and 45 in kl.  For 512 rows of
 * 128256 logits (263 MB a read): H100 0.08 ms of memory against 0.1 ms of arithmetic (kl: 0.16 and 0.18); RTX 4090, with a 64th of its
 * arithmetic in double, 0.3 ms against 2.6 ms (kl: 0.5 and 4.6).  Their logits alone are 2 * 512 * 128256 * C operations: 6 ms there at C = 4096.
 */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/loss/signs.cuh"

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

/* Of each row, one after the other: three arrays of doubles, and the places of the largest. */
struct Sums { double *log_sum, *target_logit, *product; int32_t *top; };

/* NaN is never larger than anything, but its exponential makes the sum NaN.  The shift starts at a finite number: -infinity less itself
 * is NaN, and a row may begin with it. */
template <bool SIGNED>
__global__ void __launch_bounds__(THREADS, 3) log_sum_exp_kernel(const Sums to, Global<const float> logits, Global<const int32_t> target,
                                                                 Global<const uint32_t> signs, int V, Fours f)
{
    Global<const float> row = logits + (int64_t)blockIdx.x * V;
    Global<const uint32_t> sign = signs + (int64_t)blockIdx.x * ((V + 31) / 32);
    Top mine = { -INFINITY, V };
    float shift = -FLT_MAX, next[4];
    double sum = 0, product = 0;
    unsigned next_bits = 0;
    load_four(next, row, first_of(f, threadIdx.x), V, f, -INFINITY);
    if (SIGNED) next_bits = signs_of(sign, first_of(f, threadIdx.x), V, f);
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) {
        float v[4] = { next[0], next[1], next[2], next[3] };
        const unsigned bits = next_bits;
        load_four(next, row, i + STEP, V, f, -INFINITY);
        if (SIGNED) next_bits = signs_of(sign, i + STEP, V, f);
        for (int j = 0; j < 4; j++)
            if (v[j] > mine.value) mine = { v[j], i + j * f.stride };
        if (mine.value > shift) {
            sum *= exp((double)shift - mine.value);
            if (SIGNED) product *= exp(0.5 * ((double)shift - mine.value));
            shift = mine.value;
        }
        for (int j = 0; j < 4; j++) sum += exp((double)v[j] - shift);
        for (int j = 0; j < 4 && SIGNED; j++) product += signed_by(bits, j, expf((float)(0.5 * ((double)v[j] - shift))));
    }
    mine = block_top(mine);
    double largest = mine.value > -FLT_MAX ? mine.value : -FLT_MAX;
    sum = block_sum<THREADS>(sum * exp(shift - largest));
    if (SIGNED) product = block_sum<THREADS>(product * exp(0.5 * (shift - largest)));
    if (threadIdx.x) return;
    int token = target[blockIdx.x];
    float at_target = 0;
    if (token >= 0) at_target = row[token];
    Global<double>(to.log_sum)[blockIdx.x] = largest + log(sum);
    Global<double>(to.target_logit)[blockIdx.x] = at_target;
    Global<int32_t>(to.top)[blockIdx.x] = mine.at < V ? mine.at : 0;
    if (SIGNED) Global<double>(to.product)[blockIdx.x] = product / sqrt(sum);
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

static Sums sums_at(double *p, int64_t rows) { return { p, p + rows, p + 2 * rows, (int32_t *)(p + 3 * rows) }; }

/* To the host, all together. */
static void bring(const Sums &to, const double *device, int64_t rows)
{
    const int64_t doubles = rows * (int64_t)sizeof(double), bytes = 3 * doubles + rows * (int64_t)sizeof(int32_t);
    double *host = (double *)malloc((size_t)bytes);
    if (!host) return device_fail("there is no memory for the log sums of %lld rows", (long long)rows);
    device_get(host, device, bytes);
    const Sums from = sums_at(host, rows);
    if (!device_failed()) {
        memcpy(to.log_sum, from.log_sum, (size_t)doubles);
        memcpy(to.target_logit, from.target_logit, (size_t)doubles);
        memcpy(to.top, from.top, (size_t)rows * sizeof(int32_t));
        if (to.product) memcpy(to.product, from.product, (size_t)doubles);
    }
    free(host);
}

template <bool SIGNED> static void log_sums(const Sums &to, const float *logits, const int32_t *target, const uint32_t *sign, int64_t rows, int V)
{
    const int64_t words = SIGNED ? rows * ((V + 31) / 32) : 0;
    if (rows <= 0) return;
    scratch_reset();
    double *device = scratch<double>(4 * rows);
    int32_t *device_target = scratch<int32_t>(rows);
    uint32_t *device_sign = SIGNED ? scratch<uint32_t>(words) : NULL;
    device_put(device_target, target, rows * (int64_t)sizeof(int32_t));
    if (SIGNED) device_put(device_sign, sign, words * (int64_t)sizeof(uint32_t));
    operation_work((SIGNED ? 31.0 : 25.0) * rows * V, 4.0 * rows * V + 4.0 * words);
    LAUNCH(log_sum_exp_kernel<SIGNED>, (unsigned)rows, THREADS, 0, sums_at(device, rows), logits, device_target, device_sign, V,
           fours_of(V, aligned16(logits), THREADS));
    bring(to, device, rows);
}

void log_sum_exp_cuda(double *log_sum, int32_t *top, double *target_logit, const float *logits, const int32_t *target, int64_t rows, int V)
{
    log_sums<false>({ log_sum, target_logit, NULL, top }, logits, target, NULL, rows, V);
}

void log_sum_exp_signed_cuda(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                             const int32_t *target, const uint32_t *sign, int64_t rows, int V)
{
    log_sums<true>({ log_sum, target_logit, product, top }, logits, target, sign, rows, V);
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
