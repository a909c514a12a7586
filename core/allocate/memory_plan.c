#include "core/allocate/memory_plan.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

static int64_t slack_of(int64_t usable, double share) { return (int64_t)ceil((double)usable * share); }

/* All blocks at one width. */
static int64_t uniform_bytes(const BlockCounts *counts, int width)
{
    int64_t bytes = 0;
    for (int b = 0; b < counts->n_blocks; b++) bytes += block_bytes(counts, b, width);
    return bytes;
}

static int check_counts(const BlockCounts *counts)
{
    for (int b = 0; b < counts->n_blocks; b++)
        for (int k = 1; k < counts->n_widths; k++)
            if (block_bytes(counts, b, k) > block_bytes(counts, b, k - 1))
                FAIL(ERR_ARGUMENT, "block %d takes %lld bytes at %d bits and %lld at %d, since its rows are so short: leave out %d bits", b,
                     (long long)block_bytes(counts, b, k), counts->width[k], (long long)block_bytes(counts, b, k - 1), counts->width[k - 1],
                     counts->width[k]);
    return OK;
}

/* The first width that fits in all blocks, n_widths where none does. */
static int first_fitting(const BlockCounts *counts, int64_t room)
{
    int k = 0;
    while (k < counts->n_widths && uniform_bytes(counts, k) > room) k++;
    return k;
}

/* Raises blocks from low to high in their order until the next does not fit. */
static int raise_blocks(int *width, const BlockCounts *counts, const int *order, int high, int low, int64_t room)
{
    int64_t left = room - uniform_bytes(counts, low);
    int n = 0;
    for (int b = 0; b < counts->n_blocks; b++) width[b] = low;
    for (; n < counts->n_blocks; n++) {
        const int block = order[n];
        left -= block_bytes(counts, block, high) - block_bytes(counts, block, low);
        if (left < 0) break;
        width[block] = high;
    }
    return n;
}

static void add_up(MemoryPlan *plan, const BlockCounts *counts)
{
    for (int b = 0; b < plan->n_blocks; b++) {
        const BlockBytes *one = &counts->block[b * counts->n_widths + plan->width[b]];
        plan->blocks.codes += one->codes;
        plan->blocks.scales += one->scales;
        plan->blocks.zeros += one->zeros;
        plan->blocks.more += one->more;
    }
    plan->total = plan->fixed + plan->slack + plan->blocks.codes + plan->blocks.scales + plan->blocks.zeros;
}

int memory_plan(MemoryPlan *out, const BlockCounts *counts, const int *order, int64_t fixed, const MemoryLimit *limit)
{
    assert(limit->slack >= 0 && limit->slack < 1 && fixed >= 0);
    TRY(check_counts(counts));
    MemoryPlan plan = { .n_blocks = counts->n_blocks, .fixed = fixed, .slack = slack_of(limit->usable, limit->slack) };
    const int64_t room = limit->usable - plan.slack - fixed;
    const int fitting = first_fitting(counts, room), last = counts->n_widths - 1;
    if (fitting > last)
        FAIL(ERR_BUDGET, "%lld bytes are not enough: with all blocks at %d bits it takes %lld", (long long)limit->usable, counts->width[last],
             (long long)memory_least(fixed + uniform_bytes(counts, last), limit->slack));
    plan.high = fitting > 0 ? fitting - 1 : 0;
    plan.low = fitting > 0 || last == 0 ? fitting : 1;          /* even the highest width fits everywhere: the top pair, n = L */
    plan.width = xmalloc(sizeof *plan.width * (size_t)plan.n_blocks);
    plan.n_high = raise_blocks(plan.width, counts, order, plan.high, plan.low, room);
    add_up(&plan, counts);
    *out = plan;
    return OK;
}

void memory_plan_free(MemoryPlan *plan)
{
    free(plan->width);
    *plan = (MemoryPlan){ 0 };
}

int64_t memory_least(int64_t bytes, double slack)
{
    if (bytes >= MEMORY_ENDLESS) return MEMORY_ENDLESS;
    int64_t usable = (int64_t)((double)bytes / (1 - slack)) - 2;
    if (usable < 0) usable = 0;
    while (usable < MEMORY_ENDLESS && usable - slack_of(usable, slack) < bytes) usable++;
    return usable;
}

int64_t memory_longest_context(const ModelShape *shape, const MemoryUse *use, const BlockCounts *counts, const MemoryLimit *limit, int64_t most)
{
    const int64_t room = limit->usable - slack_of(limit->usable, limit->slack) - uniform_bytes(counts, counts->n_widths - 1);
    int64_t fits = 0, above = most + 1;
    while (above - fits > 1) {
        MemoryUse middle = *use;
        middle.context = fits + (above - fits) / 2;
        if (middle.step > middle.context) middle.step = middle.context;
        const FixedBytes fixed = fixed_bytes(shape, &middle);
        if (fixed_bytes_sum(&fixed) <= room) fits = middle.context;
        else above = middle.context;
    }
    return fits;
}
