/*
 * largest.h - which of many numbers are the largest
 */
#ifndef CORE_QUANTIZE_LARGEST_H
#define CORE_QUANTIZE_LARGEST_H

#include <stdint.h>

/* mark[i] = 1 for the `count` largest of key[n] >= 0; of equal ones those that come first.  A key of 0 is never marked, so that there may
 * be fewer.  Other marks stay.  Three passes over the keys. */
void largest_mark(unsigned char *mark, const float *key, int64_t n, int64_t count);

#endif
