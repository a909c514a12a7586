/*
 * distinct_search.h - the branch and bound below distinct.h
 */
#ifndef CORE_ALLOCATE_DISTINCT_SEARCH_H
#define CORE_ALLOCATE_DISTINCT_SEARCH_H

#include "core/allocate/classes.h"

typedef struct {
    int *option;                    /* [n_classes] options, the caller frees; NULL: nothing fits     */
    bool proven;
    KnapsackBound bound;            /* lower: with the limit; price and excess: without it           */
} DistinctAnswer;

/* At most `most` distinct names within the capacity. */
void distinct_search(DistinctAnswer *out, const Classes *classes, int most, int64_t capacity);

/* The least total size with at most `most` distinct names; false where so few are not enough for every class. */
bool distinct_least_size(double *out, const Classes *classes, int most);

#endif
