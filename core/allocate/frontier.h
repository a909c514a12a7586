/*
 * frontier.h - the best allocation of every size at once
 *
 * The breakpoints of the dense program (dense.h), where the least cost within a size falls, are the monotone
 * frontier; those on its lower convex hull are the best of some price of a bit.
 */
#ifndef CORE_ALLOCATE_FRONTIER_H
#define CORE_ALLOCATE_FRONTIER_H

#include "core/allocate/classes.h"
#include "core/allocate/dense.h"

typedef struct {
    int64_t n;                      /* breakpoints, size ascending, cost strictly descending       */
    int64_t *size;                  /* [n] bits                                                    */
    double *cost;                   /* [n] nats/token                                              */
    bool *on_hull;                  /* [n] */
    int64_t unit, range;            /* bits; sizes that were looked at, less one                   */
    const Classes *classes;         /* borrowed                                                    */
    Knapsack *knapsack;             /* below: what the way back to an allocation takes              */
    Item *item;
    int *first;
    Dense dense;
} AllocationFrontier;

/* ERR_MEMORY: more than `memory` bytes are needed; says how many.  ERR_UNSUPPORTED: a layer with more than 256 options. */
int  frontier_init(AllocationFrontier *out, const Classes *classes, int64_t memory);
void frontier_free(AllocationFrontier *frontier);

/* row[n_layers] = the allocation of this breakpoint, -1 in layers that take no part. */
void frontier_rows(int *row, const AllocationFrontier *frontier, int64_t point);

#endif
