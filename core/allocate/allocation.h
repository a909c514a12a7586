/*
 * allocation.h - what the ways of allocating share: the answer from a solved knapsack, the refusal of a budget
 */
#ifndef CORE_ALLOCATE_ALLOCATION_H
#define CORE_ALLOCATE_ALLOCATION_H

#include "core/allocate/classes.h"

enum { MAX_STATES = 1 << 22 };      /* of a search: 200 MB at most */

/* *out = the items chosen[n_classes] of the knapsack, whose capacity is that of the budget. */
void allocation_fill(Allocation *out, const Classes *classes, const Budget *budget, const Knapsack *knapsack, const int *chosen, bool proven,
                     const KnapsackBound *bound);

/* ERR_BUDGET: nothing fits, and `least` [bits] would; with: " that ..." or "". */
int budget_too_small(const Budget *budget, int64_t least, const Classes *classes, const char *with);

#endif
