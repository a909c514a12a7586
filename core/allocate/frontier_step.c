#include "core/allocate/frontier_step.h"

#include <math.h>

#include "kernels/cpu/simd.h"

enum { TILE = 512, PARALLEL_STATES = 1 << 15 };

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

static void tile(double *next, uint8_t *best, const double *before, int64_t start, int n, const int64_t *shift, const double *cost, int n_options)
{
    double least[TILE];
    int64_t which[TILE];
    for (int i = 0; i < n; i++) least[i] = before[start + i] + cost[0], which[i] = 0;
    for (int j = 1; j < n_options && shift[j] < start + n; j++) {
        const int skip = shift[j] > start ? (int)(shift[j] - start) : 0;
        pass(least + skip, which + skip, before + start + skip - shift[j], cost[j], j, n - skip);
    }
    for (int i = 0; i < n; i++) next[start + i] = least[i];
    for (int i = 0; i < n; i++) best[start + i] = (uint8_t)which[i];
}

void frontier_step(double *next, uint8_t *best, const double *before, int64_t n, const int64_t *shift, const double *cost, int n_options)
{
#pragma omp parallel for schedule(static) if (n >= PARALLEL_STATES)
    for (int64_t start = 0; start < n; start += TILE)
        tile(next, best, before, start, (int)(n - start < TILE ? n - start : TILE), shift, cost, n_options);
}
