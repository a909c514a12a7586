/*
 * largest.h - which of many numbers >= 0 are the largest, without a sort
 *
 * Floats >= 0 are ordered as their bits are: one histogram counts the upper 16 of them, a second the lower 16 of those that share
 * the k-th largest's upper half.  Of equal numbers those that come first are taken.  Time: linear; -0 is 0.
 */
#ifndef CORE_BASE_LARGEST_H
#define CORE_BASE_LARGEST_H

#include <stdint.h>

static inline uint32_t magnitude_bits(float x)
{
    union { float f; uint32_t bits; } u = { .f = x };
    return u.bits & 0x7fffffff;
}

/* Where the k largest of x [n] end: those whose bits are above, and the first `ties` of those that are equal.  0 <= k <= n. */
typedef struct { uint32_t bits; int64_t ties; } LargestBar;
LargestBar largest_bar(const float *x, int64_t n, int64_t k);

/* mark[i] = 1 for the `count` largest of key [n].  A key of 0 is never marked, so that there may be fewer.  Other marks stay. */
void largest_mark(unsigned char *mark, const float *key, int64_t n, int64_t count);

#endif
