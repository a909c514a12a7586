/*
 * logit.c - gradients by the logits of a loss over the vocabulary: float32 exponentials of differences taken
 * in double, a row per thread
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { BLOCK = 512 };               /* a whole number of sign words */

static inline double sum_of(const float *x, int n)
{
    double lane[LANES] = { 0 }, sum = 0;
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l];
    for (int i = whole; i < n; i++) sum += x[i];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* x with its sign turned where the word's bit is not set */
static inline float with_sign(float x, uint32_t word, int bit)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits ^= (~word >> bit & 1u) << 31;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline void apply_signs(float *q, const uint32_t *sign, int n)
{
    int whole = n - n % 32;
    for (int i = 0; i < whole; i += 32) {
        uint32_t word = sign[i / 32];
        for (int l = 0; l < 32; l++) q[i + l] = with_sign(q[i + l], word, l);
    }
    for (int i = whole; i < n; i++) q[i] = with_sign(q[i], sign[i / 32], i % 32);
}

/* q r of at most BLOCK logits. */
SIMD static void signed_roots(float *q, const float *a, double A, const uint32_t *sign, int n)
{
    float half[BLOCK];
    for (int i = 0; i < n; i++) half[i] = (float)(0.5 * (a[i] - A));
    for (int i = 0; i < n; i++) q[i] = simd_expf(half[i]);
    apply_signs(q, sign, n);
}

SIMD static double row_product(const float *a, double A, const uint32_t *sign, int V)
{
    double product = 0;
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        float q[BLOCK];
        signed_roots(q, a + first, A, sign + first / 32, n);
        product += sum_of(q, n);
    }
    return product;
}

/* p is the square of q r: one exponential per token. */
SIMD static void probe_row(float *a, double A, float product, const uint32_t *sign, int V)
{
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        float *q = a + first;
        signed_roots(q, q, A, sign + first / 32, n);
        for (int i = 0; i < n; i++) q[i] -= q[i] * q[i] * product;
    }
}

void log_sum_exp_signed_cpu(double *log_sum, int32_t *top, double *target_logit, double *product, const float *logits,
                            const int32_t *target, const uint32_t *sign, int64_t rows, int V)
{
    int64_t words = (V + 31) / 32;
    log_sum_exp_cpu(log_sum, top, target_logit, logits, target, rows, V);
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) product[r] = row_product(logits + r * V, log_sum[r], sign + r * words, V);
}

void logit_probe_cpu(float *logits, const double *log_sum, const double *product, const uint32_t *sign, const int32_t *target, int64_t rows, int V)
{
    int64_t words = (V + 31) / 32;
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) {
        if (target[r] < 0) memset(logits + r * V, 0, sizeof *logits * (size_t)V);
        else probe_row(logits + r * V, log_sum[r], (float)product[r], sign + r * words, V);
    }
}

/* exp(x) - exp(y) = +- exp(max) (1 - exp(-|x - y|)), where x - y is taken from the logits: nothing cancels, equal
 * rows give exactly 0, and neither exponential leaves float32. */
SIMD static void difference_row(float *a, double A, const float *b, double B, int V)
{
    float larger[BLOCK], apart[BLOCK];
    double shift = A - B;
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        float *x = a + first;
        const float *y = b + first;
        for (int i = 0; i < n; i++) {
            double d = ((double)x[i] - y[i]) - shift;
            larger[i] = (float)(d > 0 ? x[i] - A : y[i] - B);
            apart[i] = (float)d;
        }
        for (int i = 0; i < n; i++) larger[i] = simd_expf(larger[i]);
        for (int i = 0; i < n; i++) x[i] = copysignf(larger[i] * simd_one_minus_expf(-fabsf(apart[i])), apart[i]);
    }
}

SIMD static void probability_row(float *a, double A, int V)
{
    float x[BLOCK];
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        for (int i = 0; i < n; i++) x[i] = (float)(a[first + i] - A);
        for (int i = 0; i < n; i++) a[first + i] = simd_expf(x[i]);
    }
}

void logit_difference_cpu(float *logits, const double *log_sum, const float *other, const double *other_log_sum,
                          const int32_t *target, int64_t rows, int V)
{
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) {
        float *a = logits + r * V;
        if (target[r] < 0) {
            memset(a, 0, sizeof *a * (size_t)V);
        } else if (other) {
            difference_row(a, log_sum[r], other + r * V, other_log_sum[r], V);
        } else {
            float at_target = (float)expm1(a[target[r]] - log_sum[r]);
            probability_row(a, log_sum[r], V);
            a[target[r]] = at_target;
        }
    }
}
