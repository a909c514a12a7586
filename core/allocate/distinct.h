/*
 * distinct.h - the best allocation with at most K distinct choices over the model
 */
#ifndef CORE_ALLOCATE_DISTINCT_H
#define CORE_ALLOCATE_DISTINCT_H

#include "core/allocate/classes.h"

/* Like allocate_classes, with classes->distinct > 0. */
int allocate_distinct(Allocation *out, const Classes *classes, const Budget *budget, int64_t capacity);

#endif
