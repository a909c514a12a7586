/*
 * plan.h - a plan of memory as `linearity plan` makes and shows it
 */
#ifndef EXPERIMENTS_PLAN_PLAN_H
#define EXPERIMENTS_PLAN_PLAN_H

#include "core/allocate/memory_plan.h"
#include "core/base/resources.h"
#include "experiments/plan/block_order.h"

typedef struct {
    Model *model;
    FreeMemory memory;              /* and where it was found              */
    MemoryUse use;
    MemoryLimit limit;
    BlockOrder order;
    BlockCounts counts;
    FixedBytes fixed;
    MemoryPlan plan;
    bool exact;                     /* counts are those of the weights, which were read */
    double choice, whole, counting; /* [s] the choice alone; with reading the stored importance; reading the weights before that */
} Planned;

/* For people, and as JSON. */
void plan_say(const Planned *planned);
void plan_json(const Planned *planned);

/* "rtn-bits8-group0", a choice's name; NULL for 16 bits, where the layers stay as they are.  The caller frees. */
char *plan_choice(int bits);

/* Bits per weight of the layers, scales and zero points counted. */
double plan_bits(const Planned *planned);

#endif
