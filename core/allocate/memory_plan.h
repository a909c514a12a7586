/*
 * memory_plan.h - which blocks keep more bits in a given memory: the strategy of LSAQ (arXiv 2412.18135), prefixes of an order of importance
 *
 *     n = clamp( floor( (M - M0 - L m(low)) / (m(high) - m(low)) ), 0, L )
 *
 * blocks, the n most important ones, get the higher of two widths and the others the lower; M is the usable memory, M0 what every plan needs
 * (FixedBytes, and slack), m(b) a block at b bits, L the number of blocks.  The paper tells that resources decide and that important
 * layers get more, not the formula; this is the largest n that fits.  Where blocks differ in size it is the largest n for which the
 * sum fits: always a prefix of the order, so that no block has fewer bits than a less important one.
 *
 * The pairs of widths are the neighbours in a falling list (16/8, 8/4, 4/2): the highest pair is taken whose lower width fits in all blocks.
 * So the pair steps down where n = 0 would not fit, and up where n = L does.
 */
#ifndef CORE_ALLOCATE_MEMORY_PLAN_H
#define CORE_ALLOCATE_MEMORY_PLAN_H

#include "core/allocate/memory_count.h"

/* slack: share of the usable memory that is left to allocators and whatever else nobody counts, in [0, 1). */
typedef struct { int64_t usable; double slack; } MemoryLimit;

typedef struct {
    int high, low;                  /* indices into the widths; equal where there is one width only           */
    int n_high;                     /* blocks at the higher one                                               */
    int n_blocks, *width;           /* [n_blocks] index into the widths                                       */
    BlockBytes blocks;              /* of all of them                                                         */
    int64_t fixed, slack, total;    /* total: blocks, fixed and slack; at most the usable memory              */
} MemoryPlan;

/* order [n_blocks]: blocks, the most important first.  ERR_BUDGET where not even the lowest width fits in all blocks; ERR_ARGUMENT where
 * a block takes more bytes at fewer bits.  The caller frees. */
int  memory_plan(MemoryPlan *out, const BlockCounts *counts, const int *order, int64_t fixed, const MemoryLimit *limit);
void memory_plan_free(MemoryPlan *plan);

/* The least usable memory in which so many bytes fit beside the slack. */
int64_t memory_least(int64_t bytes, double slack);

/* The largest context at which the lowest width fits in all blocks, at most `most`; 0 where none does.  use->context is not read. */
int64_t memory_longest_context(const ModelShape *shape, const MemoryUse *use, const BlockCounts *counts, const MemoryLimit *limit, int64_t most);

#endif
