/*
 * dense.h - the multiple-choice knapsack for all sizes at once, by dense dynamic programming
 *
 *     f_i(w) = min_j f_{i-1}(w - size_j) + cost_j ,    f_0 = 0,   w = 0 .. W
 *
 * with sizes counted from the smallest item of each class, in units of the greatest common divisor of all their
 * differences.  f is the least cost within w units.  Takes items x W steps and classes x W / 2 bytes (one byte a step
 * back; classes of small range come first, and no class is counted beyond what is within reach so far).
 */
#ifndef CORE_ALLOCATE_DENSE_H
#define CORE_ALLOCATE_DENSE_H

#include "core/allocate/knapsack.h"

typedef struct {
    const Knapsack *knapsack;       /* borrowed                                                    */
    int64_t unit, smallest, range;  /* bits; bits of w = 0; W                                      */
    double *cost;                   /* [range + 1] f after the last class                          */
    int *order;                     /* [n_classes] class that is added i-th                        */
    int64_t *shift;                 /* [items] units above the smallest of the class               */
    int64_t *reach;                 /* [n_classes + 1] units within reach before the i-th class    */
    uint8_t **best, *steps;         /* [n_classes][reach[i + 1] + 1] item of the class, from its first; all of them */
} Dense;

/* Up to the knapsack's capacity.  Plans alone: nothing is computed, and cost is NULL, before dense_run. */
void dense_init(Dense *out, const Knapsack *knapsack);
void dense_free(Dense *dense);

/* Bytes of the steps back, and of all that dense_run takes. */
double dense_steps(const Dense *dense);
double dense_bytes(const Dense *dense);

/* False, and nothing is done, where a class has more than 256 items. */
bool dense_run(Dense *dense);

/* chosen[n_classes] = the items that cost f(w). */
void dense_choose(int *chosen, const Dense *dense, int64_t w);

#endif
