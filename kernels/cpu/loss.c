/*
 * loss.c - log-softmax sums and KL over the vocabulary in double, a row per thread
 */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { BLOCK = 512 };               /* terms are formed in a buffer of this size, then added in lanes */

static inline double add_block(double *lane, const double *term, int n)
{
    double rest = 0;
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += term[i + l];
    for (int i = whole; i < n; i++) rest += term[i];
    return rest;
}

SIMD static float row_largest(const float *a, int V)
{
    float lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    int whole = V - V % LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = a[i + l] > lane[l] ? a[i + l] : lane[l];
    float largest = -INFINITY;
    for (int l = 0; l < LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    for (int i = whole; i < V; i++) largest = a[i] > largest ? a[i] : largest;
    return largest;
}

SIMD static double row_sum_exp(const float *a, double shift, int V)
{
    double lane[LANES] = { 0 }, term[BLOCK], sum = 0;
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        for (int i = 0; i < n; i++) term[i] = simd_exp(a[first + i] - shift);
        sum += add_block(lane, term, n);
    }
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static int first_equal(const float *a, float value, int V)
{
    for (int i = 0; i < V; i++)
        if (a[i] == value) return i;
    return 0;                       /* a row of NaN: its log sum is NaN too, which no check lets pass */
}

void log_sum_exp_cpu(double *log_sum, int32_t *top, double *target_logit, const float *logits,
                     const int32_t *target, int64_t rows, int V)
{
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) {
        const float *a = logits + r * V;
        float largest = row_largest(a, V);
        log_sum[r] = largest + log(row_sum_exp(a, largest, V));
        top[r] = first_equal(a, largest, V);
        target_logit[r] = target[r] >= 0 ? a[target[r]] : 0;
    }
}

SIMD static double row_kl(const float *a, double A, const float *b, double B, int V)
{
    double lane[LANES] = { 0 }, term[BLOCK], sum = 0, shift = B - A;
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        for (int i = 0; i < n; i++) {
            double d = ((double)b[first + i] - a[first + i]) - shift;
            term[i] = simd_exp(a[first + i] - A) * simd_expm1_minus(d);
        }
        sum += add_block(lane, term, n);
    }
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

void kl_divergence_cpu(double *kl, const float *a, const double *A, const float *b, const double *B, int64_t rows, int V)
{
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) kl[r] = row_kl(a + r * V, A[r], b + r * V, B[r], V);
}
