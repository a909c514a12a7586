/*
 * rules.h - what is done without sensitivities, or without a solver: rules that fill a budget from the table that allocate() reads
 *
 *     ends        all layers at the largest common choice that fits, then one step up from the outermost blocks inwards
 *     types       the same base, then one step up type by type: v, down, o, k, q, up, gate
 *     greedy      from the smallest choices, again and again the step of one layer that saves most cost per bit
 *     threshold   every layer takes its smallest choice that costs at most c, for the least c that fits
 *
 * ends and types know no costs of single layers.  A common choice is a name that every layer has; common choices are ordered by
 * their size over the whole model, and one that costs no less there than a smaller one is none, as comparing uniform models
 * would tell anybody.  One step up is to the next.  Layers are raised one by one, blocks in the order 0, B-1, 1, B-2 .. (ends:
 * a block's layers in the table's order; types: within a type); one whose step does not fit is passed over, so the budget is
 * filled as far as the order allows.  types follows llama.cpp's mixtures, which give attn_v and ffn_down more bits.
 *
 * greedy steps from one undominated choice of a layer to the next larger one and passes over steps that do not fit; of equal
 * steps the first layer's.  It is optimal where costs are convex and all steps of one size.
 * threshold minimises the largest cost of a layer, max_l cost_l, and leaves bits that this does not need.
 *
 * Sizes are those of choice_size, the budget is allocation_capacity: whole bits, as in allocate().
 */
#ifndef CORE_ALLOCATE_RULES_H
#define CORE_ALLOCATE_RULES_H

#include "core/allocate/allocate.h"

typedef struct { int block, type; } LayerPlace;     /* block from 0; type: index in layer_type_name (core/model) */

typedef struct AllocationRule {
    const char *name, *summary;
    /* Called through allocation_rule_apply, which has found the table good. */
    int (*choose)(int *row, const struct AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget);
} AllocationRule;

extern const AllocationRule *const allocation_rules[];      /* NULL-terminated */

/*
 * row[n_layers] = the chosen rows of the table.  place[n_layers]: read by ends and types, NULL for the others.
 * ERR_ARGUMENT as allocate(), and for ends and types where no choice is common to all layers or a layer has it twice.
 * ERR_BUDGET where nothing fits; for ends and types where no common choice does.  On failure row is untouched.
 */
int allocation_rule_apply(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget);

#endif
