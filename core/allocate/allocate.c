#include "core/allocate/allocate.h"

#include <math.h>
#include <stdlib.h>

#include "core/allocate/classes.h"
#include "core/base/err.h"

enum { MAX_STATES = 1 << 22 };

static void fill_result(Allocation *out, const Knapsack *knapsack, const ChoiceTable *table, const int *chosen,
                        double budget, bool proven, double lower_bound)
{
    Allocation result = {
        .budget = budget, .size = knapsack_size(knapsack, chosen), .capacity = knapsack->capacity,
        .cost = knapsack_cost(knapsack, chosen), .lower_bound = lower_bound, .optimal = proven,
        .row = xmalloc((size_t)table->n_layers * sizeof *result.row),
    };
    result.bits = (double)result.size / (double)allocation_weights(table);
    for (int row = 0; row < table->n_choices; row++) result.clamped += table->row_cost[row] < 0;
    for (int l = 0; l < table->n_layers; l++) result.row[l] = knapsack->item[chosen[l]].row;
    *out = result;
}

int allocate(Allocation *out, const ChoiceTable *table, double budget)
{
    Knapsack knapsack;
    TRY(classes_build(&knapsack, table, budget));
    int *chosen = xmalloc((size_t)table->n_layers * sizeof *chosen);
    double lower_bound;
    const bool proven = knapsack_solve(chosen, &lower_bound, &knapsack, MAX_STATES);
    fill_result(out, &knapsack, table, chosen, budget, proven, lower_bound);
    free(chosen);
    classes_free(&knapsack);
    return OK;
}

void allocation_free(Allocation *allocation)
{
    if (!allocation) return;
    free(allocation->row);
    allocation->row = NULL;
}
