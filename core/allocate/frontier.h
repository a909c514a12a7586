/*
 * frontier.h - the best allocation of every size at once, by dense dynamic programming
 *
 *     f_c(w) = min_j f_{c-1}(w - size_cj) + cost_cj ,    f_0 = 0,   w = 0 .. W
 *
 * with sizes counted from the smallest option of each class, in units of the greatest common divisor of all their
 * differences.  f is the least cost within w units; its breakpoints, where it falls, are the monotone frontier.
 * Takes options x W steps and classes x W / 2 bytes (one byte a step back; classes of small range come first).
 */
#ifndef CORE_ALLOCATE_FRONTIER_H
#define CORE_ALLOCATE_FRONTIER_H

#include "core/allocate/classes.h"

typedef struct {
    int64_t n;                      /* breakpoints, size ascending, cost strictly descending       */
    int64_t *size;                  /* [n] bits                                                    */
    double *cost;                   /* [n] nats/token                                              */
    bool *on_hull;                  /* [n] on the lower convex hull: the best of some price        */
    int64_t unit, range;            /* bits; W                                                     */
    const Classes *classes;         /* borrowed                                                    */
    struct FrontierSteps *steps;    /* the way back                                                */
} AllocationFrontier;

/* ERR_MEMORY: more than `memory` bytes are needed; says how many.  ERR_UNSUPPORTED: a class with more than 256 options. */
int  frontier_init(AllocationFrontier *out, const Classes *classes, int64_t memory);
void frontier_free(AllocationFrontier *frontier);

/* row[n_layers] = the allocation of this breakpoint, -1 in layers that take no part. */
void frontier_rows(int *row, const AllocationFrontier *frontier, int64_t point);

#endif
