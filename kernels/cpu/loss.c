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

/* The first of the largest: found by blocks, then in its block. */
SIMD static int row_top(const float *a, int V)
{
    float largest = -INFINITY;
    int top = 0;
    for (int first = 0; first < V; first += BLOCK) {
        float here = largest_of(a + first, V - first < BLOCK ? V - first : BLOCK);
        if (!(here > largest)) continue;
        largest = here;
        top = first;
    }
    int end = V - top < BLOCK ? V : top + BLOCK;
    for (int i = top; i < end; i++)
        if (a[i] == largest) return i;
    return top;                     /* a row of NaN: its log sum is NaN too, which no check lets pass */
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

void log_sum_exp_cpu(double *log_sum, int32_t *top, double *target_logit, const float *logits,
                     const int32_t *target, int64_t rows, int V)
{
#pragma omp parallel for schedule(dynamic, 4) num_threads(kernels_threads())
    for (int64_t r = 0; r < rows; r++) {
        const float *a = logits + r * V;
        top[r] = row_top(a, V);
        log_sum[r] = a[top[r]] + log(row_sum_exp(a, a[top[r]], V));
        target_logit[r] = target[r] >= 0 ? a[target[r]] : 0;
    }
}

/* simd_exp raises a vanishing p to exp(-700).  The term of such a p is q, which need not be small, or nothing:
 * d gives up what p was raised by, down to 0, where the term is 0 as equal logits demand. */
static inline double raised(double d, double log_p)
{
    double rest = d + (log_p + LARGEST_EXPONENT);
    rest = rest < 0 ? 0 : rest;
    return log_p < -LARGEST_EXPONENT ? rest : d;
}

SIMD static double row_kl(const float *a, double A, const float *b, double B, int V)
{
    double lane[LANES] = { 0 }, term[BLOCK], sum = 0, shift = B - A;
    for (int first = 0; first < V; first += BLOCK) {
        int n = V - first < BLOCK ? V - first : BLOCK;
        for (int i = 0; i < n; i++) {
            double d = ((double)b[first + i] - a[first + i]) - shift, log_p = a[first + i] - A;
            term[i] = simd_exp(log_p) * simd_expm1_minus(raised(d, log_p));
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
