/*
 * best.h - the K best allocations, all different, in the order of their costs
 *
 * Lawler (1972): what remains once the best x is taken is split by the first class in which an allocation differs
 * from x.  A part waits under its Lagrangian bound and is solved, exactly, only when nothing cheaper is left.
 */
#ifndef CORE_ALLOCATE_BEST_H
#define CORE_ALLOCATE_BEST_H

#include "core/allocate/classes.h"

/* out[0] .. out[*n - 1], *n <= k: fewer where there are not so many.  price, dual_bound and gap are those of the whole
 * problem for every one; optimal of the i-th: proven to be the i-th best.  classes without a limit to distinct choices.
 * Failures as of allocate_classes. */
int allocate_best(Allocation *out, int *n, const Classes *classes, const Budget *budget, int k);

#endif
