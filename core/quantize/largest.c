#include "core/quantize/largest.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

enum { HALF = 1 << 16 };

/* Numbers >= 0 stand in the order of their bits; -0 is 0. */
static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

/* The highest entry of histogram[HALF] that is reached when *count are counted from the top; *count becomes what it must give of its own. */
static uint32_t reach(const int64_t *histogram, int64_t *count)
{
    uint32_t at = HALF - 1;
    for (; at > 0 && histogram[at] < *count; at--) *count -= histogram[at];
    return at;
}

void largest_mark(unsigned char *mark, const float *key, int64_t n, int64_t count)
{
    if (count <= 0) return;
    int64_t *histogram = xcalloc(HALF, sizeof *histogram);
    for (int64_t i = 0; i < n; i++) histogram[bits_of(key[i]) >> 16]++;
    const uint32_t high = reach(histogram, &count);
    memset(histogram, 0, sizeof *histogram * HALF);
    for (int64_t i = 0; i < n; i++)
        if (bits_of(key[i]) >> 16 == high) histogram[bits_of(key[i]) & (HALF - 1)]++;
    const uint32_t least = high << 16 | reach(histogram, &count);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(key[i]);
        if (bits > least || (bits == least && bits > 0 && count-- > 0)) mark[i] = 1;
    }
    free(histogram);
}
