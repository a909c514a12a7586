#include "core/allocate/dense_step.h"

#include <stdbool.h>

#include "kernels/cpu/simd.h"

/* Below so many steps a second thread costs more than it saves, most of all on a machine that is busy with other things. */
enum { TILE = 1024, PARALLEL_STEPS = 1 << 24 };

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

/* Four options at once halve the traffic of the row at hand.  fresh: nothing is in it yet. */
SIMD static void pass_four(double *restrict least, int64_t *restrict which, const double *before, const int64_t *shift, const double *cost,
                           int64_t option, int n, bool fresh)
{
    const double *restrict a = before - shift[0], *restrict b = before - shift[1], *restrict c = before - shift[2], *restrict d = before - shift[3];
    const double cost_a = cost[0], cost_b = cost[1], cost_c = cost[2], cost_d = cost[3];
    for (int i = 0; i < n; i++) {
        const double sum_a = a[i] + cost_a, sum_b = b[i] + cost_b, sum_c = c[i] + cost_c, sum_d = d[i] + cost_d;
        const double low = sum_b < sum_a ? sum_b : sum_a, high = sum_d < sum_c ? sum_d : sum_c, sum = high < low ? high : low;
        const int64_t at_low = sum_b < sum_a ? option + 1 : option, at_high = sum_d < sum_c ? option + 3 : option + 2;
        const int64_t at = high < low ? at_high : at_low;
        if (fresh) {
            which[i] = at, least[i] = sum;
        } else {
            which[i] = sum < least[i] ? at : which[i];
            least[i] = sum < least[i] ? sum : least[i];
        }
    }
}

/* The first option is there in every state. */
SIMD static void begin(double *restrict least, int64_t *restrict which, const double *restrict before, double cost, int n)
{
    for (int i = 0; i < n; i++) least[i] = before[i] + cost, which[i] = 0;
}

SIMD static void finish(uint8_t *restrict best, const int64_t *restrict which, int n)
{
    for (int i = 0; i < n; i++) best[i] = (uint8_t)which[i];
}

static void tile(double *next, uint8_t *best, const double *before, int64_t start, int n, const int64_t *shift, const double *cost, int n_options)
{
    int64_t which[TILE];
    double *least = next + start;
    int j = 0;
    for (; j + 4 <= n_options && shift[j + 3] <= start; j += 4) pass_four(least, which, before + start, shift + j, cost + j, j, n, j == 0);
    if (j == 0) begin(least, which, before + start, cost[j++], n);
    for (; j < n_options && shift[j] < start + n; j++) {
        const int skip = shift[j] > start ? (int)(shift[j] - start) : 0;
        pass(least + skip, which + skip, before + start + skip - shift[j], cost[j], j, n - skip);
    }
    finish(best + start, which, n);
}

void dense_step(double *next, uint8_t *best, const double *before, int64_t n, const int64_t *shift, const double *cost, int n_options)
{
#pragma omp parallel for schedule(static) if (n * n_options >= PARALLEL_STEPS)
    for (int64_t start = 0; start < n; start += TILE)
        tile(next, best, before, start, (int)(n - start < TILE ? n - start : TILE), shift, cost, n_options);
}
