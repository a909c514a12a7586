/*
 * dense_step.h - the inner loop of the dense program: one more class for all sizes
 */
#ifndef CORE_ALLOCATE_DENSE_STEP_H
#define CORE_ALLOCATE_DENSE_STEP_H

#include <stdint.h>

/* next[w] = min_j before[w - shift[j]] + cost[j] over the options with shift[j] <= w, best[w] = the first j that reaches it;
 * w = 0 .. n - 1.  shift ascends from 0; at most 256 options.  next is not before. */
void dense_step(double *next, uint8_t *best, const double *before, int64_t n, const int64_t *shift, const double *cost, int n_options);

#endif
