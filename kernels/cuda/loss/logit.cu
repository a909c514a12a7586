/*
 * logit.cu - gradients by the logits of a loss over the vocabulary: float32 exponentials of differences taken in double
 *
 *     probe:       u = q r - p (q . r),   q_i = sqrt(p_i),  p_i = exp(logit_i - A),  r_i = +-1
 *     difference:  exp(logit_i - A) - p_i,  p the distribution of other logits or 1 at the target
 *
 * One row a block of 512 threads, four neighbours a thread.  Both read and write every logit once: 8 bytes a logit, the probe an eighth of
 * one more for its signs, the difference 12 with another distribution.  q . r, which the first number of a probe needs already, comes with the log sum
 * (loss.cu): a row of 128256 logits is larger than the registers and the shared memory of a multiprocessor, which would have to read it twice.
 */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/loss/signs.cuh"

constexpr int THREADS = 512, STEP = 4 * THREADS;

/* q r of a thread's four logits. */
__device__ __forceinline__ void signed_roots(float *q, Global<const float> row, double A, Global<const uint32_t> sign, int i, int V, Fours f)
{
    load_four(q, row, i, V, f);
    unsigned bits = signs_of(sign, i, V, f);
    for (int j = 0; j < 4; j++) q[j] = signed_by(bits, j, expf((float)(0.5 * (q[j] - A))));
}

__device__ __forceinline__ void zero_row(Global<float> row, int V, Fours f)
{
    const float zero[4] = { 0, 0, 0, 0 };
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) store_four(row, zero, i, V, f);
}

__global__ void __launch_bounds__(THREADS, 2) logit_probe_kernel(Global<float> logits, Global<const double> log_sum, Global<const double> products,
                                                                 Global<const uint32_t> signs, Global<const int32_t> target, int V, Fours f)
{
    Global<float> row = logits + (int64_t)blockIdx.x * V;
    Global<const uint32_t> sign = signs + (int64_t)blockIdx.x * ((V + 31) / 32);
    int token = target[blockIdx.x];
    if (token < 0) return zero_row(row, V, f);
    const double A = log_sum[blockIdx.x], exact = products[blockIdx.x];
    const float product = (float)exact;
    float q[4];
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) {
        signed_roots(q, row, A, sign, i, V, f);
        for (int j = 0; j < 4; j++) q[j] -= q[j] * q[j] * product;
        store_four(row, q, i, V, f);
    }
}

/* exp(x) - exp(y) = +- exp(max) (1 - exp(-|x - y|)), where x - y is taken from the logits: nothing cancels, and equal rows give exactly 0.
 * NaN in either is NaN in `apart`. */
__device__ __forceinline__ float difference_of(double a, double A, double b, double B)
{
    double d = (a - b) - (A - B);
    float larger_one = (float)(d > 0 ? a - A : b - B), apart = (float)d;
    return copysignf(expf(larger_one) * -expm1f(-fabsf(apart)), apart);
}

__global__ void logit_difference_kernel(Global<float> logits, Global<const double> log_sum, Global<const float> other,
                                        Global<const double> other_log_sum, Global<const int32_t> target, int V, Fours f)
{
    const int64_t start = (int64_t)blockIdx.x * V;
    Global<float> row = logits + start;
    int token = target[blockIdx.x];
    if (token < 0) return zero_row(row, V, f);
    double A = log_sum[blockIdx.x], B = 0;
    if (other) B = other_log_sum[blockIdx.x];
    for (int i = first_of(f, threadIdx.x); i < V; i += STEP) {
        float a[4], b[4];
        load_four(a, row, i, V, f);
        if (other) load_four(b, other + start, i, V, f);
        for (int j = 0; j < 4; j++) {
            if (other) a[j] = difference_of(a[j], A, b[j], B);
            else if (i + j * f.stride == token) a[j] = expm1f((float)(a[j] - A));
            else a[j] = expf((float)(a[j] - A));
        }
        store_four(row, a, i, V, f);
    }
}

void logit_probe_cuda(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V)
{
    if (rows <= 0) return;
    const int64_t words = rows * ((V + 31) / 32), doubles = rows * (int64_t)sizeof(double);
    scratch_reset();
    double *device_A = scratch<double>(2 * rows), *device_product = device_A + rows;
    int32_t *device_target = scratch<int32_t>(rows);
    uint32_t *device_sign = scratch<uint32_t>(words);
    device_put(device_A, log_sum, doubles);
    device_put(device_product, product, doubles);
    device_put(device_target, target, rows * (int64_t)sizeof(int32_t));
    device_put(device_sign, sign, words * (int64_t)sizeof(uint32_t));
    operation_work(10.0 * rows * V, 8.0 * rows * V + 4.0 * words);
    LAUNCH(logit_probe_kernel, (unsigned)rows, THREADS, 0, logits, device_A, device_product, device_sign, device_target, V,
           fours_of(V, aligned16(logits), THREADS));
}

void logit_difference_cuda(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                           const int32_t *target, int64_t rows, int V)
{
    if (rows <= 0) return;
    const int64_t doubles = rows * (int64_t)sizeof(double);
    scratch_reset();
    double *device_A = scratch<double>(3 * rows), *device_B = device_A + rows;
    int32_t *device_target = (int32_t *)(device_B + rows);
    device_put(device_A, log_sum, doubles);
    if (other) device_put(device_B, other_log_sum, doubles);
    device_put(device_target, target, rows * (int64_t)sizeof(int32_t));
    operation_work(10.0 * rows * V, (other ? 12.0 : 8.0) * rows * V);
    LAUNCH(logit_difference_kernel, (unsigned)rows, THREADS, 0, logits, device_A, other, device_B, device_target, V,
           fours_of(V, aligned16(logits) && aligned16(other), THREADS));
}
