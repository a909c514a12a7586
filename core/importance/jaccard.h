/*
 * jaccard.h - LSAQ's importance (arXiv 2412.18135): how few of the likeliest tokens before a block are still likeliest behind it
 *
 *     J = |A n B| / |A u B|,   importance 1 - J
 *
 * A and B are the k tokens of the largest logits of a state before and after the block.  For sets of k tokens each with m in common
 * J = m / (2k - m).  What the paper leaves open (facts: none of its code is public) are options: which matrix projects, whether the
 * final norm comes first, k, whether the last position of a sequence or the mean over all positions counts, and whether a position
 * has its sets or a sequence the union of its positions'.
 */
#ifndef CORE_IMPORTANCE_JACCARD_H
#define CORE_IMPORTANCE_JACCARD_H

#include <stdint.h>

/* J of the first k of a and of b, each k different numbers. */
double jaccard(const int32_t *a, const int32_t *b, int k);

/* J of the union over rows of the first k of each row of a [rows][stride] and the same of b; numbers below `vocabulary`. */
double jaccard_of_unions(const int32_t *a, const int32_t *b, int rows, int stride, int k, int vocabulary);

#endif
