#include "core/allocate/dense_step.h"

#include <math.h>

#include "kernels/cpu/simd.h"

enum { TILE = 1024, PARALLEL_STATES = 1 << 15 };

/* One tile stays in the first cache while all options pass over it.  The number of the option is kept as wide as the
 * cost, so that both are chosen by the same mask. */
SIMD static void pass(double *restrict least, int64_t *restrict which, const double *restrict before, double cost, int64_t option, int n)
{
    for (int i = 0; i < n; i++) {
        const double sum = before[i] + cost;
        which[i] = sum < least[i] ? option : which[i];
        least[i] = sum < least[i] ? sum : least[i];
    }
}

/* Four options at once halve the traffic of the row at hand. */
SIMD static void pass_four(double *restrict least, int64_t *restrict which, const double *before, const int64_t *shift, const double *cost, int64_t option, int n)
{
    const double *restrict a = before - shift[0], *restrict b = before - shift[1], *restrict c = before - shift[2], *restrict d = before - shift[3];
    const double cost_a = cost[0], cost_b = cost[1], cost_c = cost[2], cost_d = cost[3];
    for (int i = 0; i < n; i++) {
        const double sum_a = a[i] + cost_a, sum_b = b[i] + cost_b, sum_c = c[i] + cost_c, sum_d = d[i] + cost_d;
        const double low = sum_b < sum_a ? sum_b : sum_a, high = sum_d < sum_c ? sum_d : sum_c, sum = high < low ? high : low;
        const int64_t at_low = sum_b < sum_a ? option + 1 : option, at_high = sum_d < sum_c ? option + 3 : option + 2, at = high < low ? at_high : at_low;
        which[i] = sum < least[i] ? at : which[i];
        least[i] = sum < least[i] ? sum : least[i];
    }
}

static void tile(double *next, uint8_t *best, const double *before, int64_t start, int n, const int64_t *shift, const double *cost, int n_options)
{
    double least[TILE];
    int64_t which[TILE];
    int j = 0;
    for (int i = 0; i < n; i++) least[i] = INFINITY, which[i] = 0;
    for (; j + 4 <= n_options && shift[j + 3] <= start; j += 4) pass_four(least, which, before + start, shift + j, cost + j, j, n);
    for (; j < n_options && shift[j] < start + n; j++) {
        const int skip = shift[j] > start ? (int)(shift[j] - start) : 0;
        pass(least + skip, which + skip, before + start + skip - shift[j], cost[j], j, n - skip);
    }
    for (int i = 0; i < n; i++) next[start + i] = least[i];
    for (int i = 0; i < n; i++) best[start + i] = (uint8_t)which[i];
}

void dense_step(double *next, uint8_t *best, const double *before, int64_t n, const int64_t *shift, const double *cost, int n_options)
{
#pragma omp parallel for schedule(static) if (n >= PARALLEL_STATES)
    for (int64_t start = 0; start < n; start += TILE)
        tile(next, best, before, start, (int)(n - start < TILE ? n - start : TILE), shift, cost, n_options);
}
