/*
 * full_sort.h - all ids by descending logit, equal ones by id: what top_tokens chooses from
 */
#ifndef CORE_TESTS_FULL_SORT_H
#define CORE_TESTS_FULL_SORT_H

#include <stdint.h>
#include <stdlib.h>

#include "core/base/err.h"

static const float *sorted_logit;

static inline int by_logit(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorted_logit[x] != sorted_logit[y]) return sorted_logit[x] < sorted_logit[y] ? 1 : -1;
    return (x > y) - (x < y);
}

/* The caller frees. */
static inline int32_t *full_sort(const float *logit, int n)
{
    int32_t *id = xmalloc(sizeof *id * (size_t)n);
    for (int i = 0; i < n; i++) id[i] = i;
    sorted_logit = logit;
    qsort(id, (size_t)n, sizeof *id, by_logit);
    return id;
}

#endif
