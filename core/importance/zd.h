/*
 * zd.h - z-score distribution (arXiv 2406.17415): the share of weights that stand out of their block
 *
 *     z = (w - mean) / standard deviation,   share of the weights with z > 1,   importance = - share: a smaller one means more
 *
 * over all weights of the block's layers together, or as the plain mean over the layers of each one's own share.  Whether the paper counts
 * both sides (|z| > 1) was not to be seen: an option.
 */
#ifndef CORE_IMPORTANCE_ZD_H
#define CORE_IMPORTANCE_ZD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct { int64_t n; double sum, squares; } Moments;

/* Adds w [rows][cols], row by row in double: the same for any number of threads. */
void moments_add(Moments *moments, const float *w, int64_t rows, int64_t cols);

/* How many of w [n] have z > 1 (both: |z| > 1) by these moments; 0 where the deviation is. */
int64_t outstanding(const float *w, int64_t n, const Moments *moments, bool both);

#endif
