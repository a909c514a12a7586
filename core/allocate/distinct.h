/*
 * distinct.h - the best allocation with at most K distinct choices over the model
 *
 * Branch and bound over sets S of choices, each in, out or open.  At the price p, with v_cj = cost_cj + p size_cj and
 * A = in and open, a node's allocations cost at least
 *
 *     sum_c min_{j in A} v_cj - p capacity                                                       (nothing counted), and
 *     sum_c m_c - (the K - |in| largest of sum_c max(0, m_c - v_cj), j open) - p capacity,       m_c = min_{j in in} v_cj
 *
 * the second because savings are submodular (Nemhauser, Wolsey, Fisher 1978).  A node with |A| <= K is solved exactly.
 */
#ifndef CORE_ALLOCATE_DISTINCT_H
#define CORE_ALLOCATE_DISTINCT_H

#include "core/allocate/classes.h"

/* Like allocate_classes, with classes->distinct > 0.  price, dual_bound and gap are those without the limit.  optimal: proven
 * within the nodes that are searched at most.  ERR_BUDGET: what fits; ERR_ARGUMENT: so few choices are not enough for all
 * layers, with the number that is. */
int allocate_distinct(Allocation *out, const Classes *classes, const Budget *budget, int64_t capacity);

#endif
