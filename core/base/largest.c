#include "core/base/largest.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum { HALF = 1 << 16 };

/* Of the bins from the highest down, the one in which the k-th lies; *k becomes its number inside. */
static uint32_t bin_of(int64_t *k, const int64_t *count)
{
    uint32_t bin = HALF - 1;
    for (; *k > count[bin]; bin--) *k -= count[bin];
    return bin;
}

LargestBar largest_bar(const float *x, int64_t n, int64_t k)
{
    if (k <= 0) return (LargestBar){ UINT32_MAX, 0 };
    int64_t *count = xcalloc(HALF, sizeof *count);
    for (int64_t i = 0; i < n; i++) count[magnitude_bits(x[i]) >> 16]++;
    const uint32_t upper = bin_of(&k, count);
    memset(count, 0, sizeof *count * HALF);
    for (int64_t i = 0; i < n; i++)
        if (magnitude_bits(x[i]) >> 16 == upper) count[magnitude_bits(x[i]) & 0xffff]++;
    const uint32_t lower = bin_of(&k, count);
    free(count);
    return (LargestBar){ upper << 16 | lower, k };
}

void largest_mark(unsigned char *mark, const float *key, int64_t n, int64_t count)
{
    LargestBar bar = largest_bar(key, n, count < n ? count : n);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = magnitude_bits(key[i]);
        if (bits > bar.bits || (bits == bar.bits && bits > 0 && bar.ties-- > 0)) mark[i] = 1;
    }
}
