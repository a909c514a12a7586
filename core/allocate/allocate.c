#include "core/allocate/allocate.h"

#include <math.h>
#include <stdlib.h>

#include "core/allocate/allocation.h"
#include "core/allocate/classes.h"
#include "core/allocate/distinct.h"
#include "core/allocate/knapsack.h"
#include "core/base/err.h"

static const double LARGEST_CAPACITY = 0x1p53;      /* bits: whole numbers in a double */

static double whole_if_near(double bits, double otherwise)
{
    return fabs(bits - nearbyint(bits)) <= 1e-6 ? nearbyint(bits) : otherwise;
}

int64_t choice_size(int64_t weights, double bits)
{
    double size = (double)weights * bits;
    return (int64_t)whole_if_near(size, ceil(size));
}

int budget_capacity(int64_t *out, const Budget *budget, int64_t weights)
{
    if (!isfinite(budget->average)) FAIL(ERR_ARGUMENT, "the budget is %g, not a number of bits per weight", budget->average);
    const double by_average = budget->average * (double)weights, by_size = 8 * ((double)budget->bytes - (double)budget->elsewhere);
    const double capacity = budget->bytes > 0 ? by_size : whole_if_near(by_average, floor(by_average));
    *out = (int64_t)fmin(fmax(capacity, -1), LARGEST_CAPACITY);
    return OK;
}

int64_t allocation_weights(const ChoiceTable *table)
{
    int64_t weights = 0;
    for (int l = 0; l < table->n_layers; l++) weights += table->weights[l];
    return weights;
}

int64_t allocation_capacity(const ChoiceTable *table, double budget)
{
    int64_t capacity = -1;                          /* of a budget that is no number: nothing fits */
    budget_capacity(&capacity, &(Budget){ .average = budget }, allocation_weights(table));
    return capacity;
}

/* Says what would fit: an average that works when typed in, or a size that does. */
int budget_too_small(const Budget *budget, int64_t least, const Classes *classes, const char *with)
{
    if (budget->bytes > 0) {
        const long long bytes = (least + 7) / 8 + budget->elsewhere;
        char *other = budget->elsewhere ? xformat(", %lld of them for what is not allocated", (long long)budget->elsewhere) : xstrdup("");
        err_set(ERR_BUDGET, "no allocation%s fits %lld bytes; the least that fits is %lld bytes%s", with, (long long)budget->bytes, bytes, other);
        free(other);
        return ERR_BUDGET;
    }
    const double average = ceil((double)least / (double)classes->weights * 1e6) / 1e6;
    FAIL(ERR_BUDGET, "no allocation%s fits %g bits per weight; the least that fits is %.6f", with, budget->average, average);
}

void allocation_fill(Allocation *out, const Classes *classes, const Budget *budget, const Knapsack *knapsack, const int *chosen, bool proven,
                     const KnapsackBound *bound)
{
    const Item **option = xmalloc((size_t)classes->n_classes * sizeof *option);
    for (int c = 0; c < classes->n_classes; c++) option[c] = &knapsack->item[chosen[c]];
    Allocation result = {
        .budget = budget->average, .size = knapsack_size(knapsack, chosen), .capacity = knapsack->capacity,
        .cost = knapsack_cost(knapsack, chosen), .lower_bound = bound->lower, .optimal = proven, .clamped = classes->clamped,
        .row = xmalloc((size_t)classes->table->n_layers * sizeof *result.row),
        .price = bound->price, .gap = bound->excess, .weights = classes->weights, .bytes = budget->bytes, .elsewhere = budget->elsewhere,
    };
    result.dual_bound = result.cost - result.gap;
    result.bits = (double)result.size / (double)classes->weights;
    if (budget->bytes > 0) result.budget = (double)knapsack->capacity / (double)classes->weights;
    classes_rows(result.row, classes, option);
    free(option);
    *out = result;
}

static int allocate_any(Allocation *out, const Classes *classes, const Budget *budget, int64_t capacity, int64_t max_states)
{
    if (classes->least > capacity) return budget_too_small(budget, classes->least, classes, classes->constrained ? " that keeps the constraints" : "");
    Item *item = xmalloc((size_t)classes->first[classes->n_classes] * sizeof *item);
    int *first = xmalloc(((size_t)classes->n_classes + 1) * sizeof *first), *chosen = xmalloc((size_t)classes->n_classes * sizeof *chosen);
    Knapsack knapsack;
    KnapsackBound bound;
    classes_knapsack(&knapsack, item, first, classes, NULL);
    knapsack.capacity = capacity;
    const bool proven = knapsack_solve(chosen, &bound, &knapsack, max_states);
    allocation_fill(out, classes, budget, &knapsack, chosen, proven, &bound);
    free(item), free(first), free(chosen);
    return OK;
}

int allocate_classes(Allocation *out, const Classes *classes, const Budget *budget)
{
    int64_t capacity = 0;
    TRY(budget_capacity(&capacity, budget, classes->weights));
    if (classes->distinct > 0) return allocate_distinct(out, classes, budget, capacity);
    return allocate_any(out, classes, budget, capacity, MAX_STATES);
}

int allocate(Allocation *out, const ChoiceTable *table, double budget)
{
    Classes classes;
    TRY(classes_init(&classes, table, NULL));
    const Budget average = { .average = budget };
    const int status = allocate_classes(out, &classes, &average);
    classes_free(&classes);
    return status;
}

void allocation_free(Allocation *allocation)
{
    if (!allocation) return;
    free(allocation->row);
    allocation->row = NULL;
}
