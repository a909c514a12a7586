#include "core/allocate/classes.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

static const double LARGEST_COST = 1e100;           /* nats/token: beyond it sums could overflow */
static const double LARGEST_SIZE = 0x1p53;          /* bits of a layer: whole numbers in a double */

static double whole_if_near(double bits, double otherwise)
{
    return fabs(bits - nearbyint(bits)) <= 1e-6 ? nearbyint(bits) : otherwise;
}

int64_t choice_size(int64_t weights, double bits)
{
    double size = (double)weights * bits;
    return (int64_t)whole_if_near(size, ceil(size));
}

static int check_row(const ChoiceTable *table, int row)
{
    const int layer = table->row_layer[row];
    if (layer < 0 || layer >= table->n_layers)
        FAIL(ERR_ARGUMENT, "choice %d belongs to layer %d of %d", row, layer, table->n_layers);
    const char *where = table->layer[layer], *name = table->row_name[row];
    const double bits = table->row_bits[row], cost = table->row_cost[row];
    if (!(bits >= 0 && bits * (double)table->weights[layer] < LARGEST_SIZE / table->n_layers))
        FAIL(ERR_ARGUMENT, "layer '%s', choice '%s': %g bits per weight are not possible", where, name, bits);
    if (!(fabs(cost) <= LARGEST_COST)) FAIL(ERR_ARGUMENT, "layer '%s', choice '%s': the cost is %g", where, name, cost);
    return OK;
}

static int check_table(const ChoiceTable *table, double budget)
{
    if (table->n_layers < 1 || table->n_choices < 1)
        FAIL(ERR_ARGUMENT, "there is nothing to allocate: the table of choices is empty");
    if (!isfinite(budget)) FAIL(ERR_ARGUMENT, "the budget is %g, not a number of bits per weight", budget);
    for (int l = 0; l < table->n_layers; l++)
        if (table->weights[l] < 1 || (double)table->weights[l] > LARGEST_SIZE / table->n_layers)
            FAIL(ERR_ARGUMENT, "layer '%s' has %lld weights", table->layer[l], (long long)table->weights[l]);
    for (int row = 0; row < table->n_choices; row++) TRY(check_row(table, row));
    return OK;
}

static int compare_items(const void *a, const void *b)
{
    const Item *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return x->row - y->row;
}

/* Sorts a class and drops what is neither smaller nor cheaper than another; returns how many are left. */
static int drop_dominated(Item *item, int n)
{
    int kept = 0;
    qsort(item, (size_t)n, sizeof *item, compare_items);
    for (int j = 0; j < n; j++)
        if (kept == 0 || item[j].cost < item[kept - 1].cost) item[kept++] = item[j];
    return kept;
}

/* item and first have room for all rows and layers.  Rows are gathered by layer with one counting sort. */
static int fill_classes(Item *item, int *first, const ChoiceTable *table)
{
    int *start = xcalloc((unsigned long)table->n_layers + 1, sizeof *start);
    for (int row = 0; row < table->n_choices; row++) start[table->row_layer[row] + 1]++;
    for (int l = 0; l < table->n_layers; l++) start[l + 1] += start[l];
    Item *gathered = xmalloc((size_t)table->n_choices * sizeof *gathered);
    int *end = xmalloc((size_t)table->n_layers * sizeof *end);
    for (int l = 0; l < table->n_layers; l++) end[l] = start[l];
    for (int row = 0; row < table->n_choices; row++) {
        const int l = table->row_layer[row];
        gathered[end[l]++] = (Item){ choice_size(table->weights[l], table->row_bits[row]), fmax(table->row_cost[row], 0), row };
    }
    int n = 0, empty = -1;
    for (int l = 0; l < table->n_layers; l++) {
        first[l] = n;
        const int kept = drop_dominated(gathered + start[l], end[l] - start[l]);
        if (kept == 0 && empty < 0) empty = l;
        for (int j = 0; j < kept; j++) item[n++] = gathered[start[l] + j];
    }
    first[table->n_layers] = n;
    free(start), free(end), free(gathered);
    if (empty >= 0) FAIL(ERR_ARGUMENT, "layer '%s' has no choice", table->layer[empty]);
    return OK;
}

int64_t allocation_weights(const ChoiceTable *table)
{
    int64_t total = 0;
    for (int l = 0; l < table->n_layers; l++) total += table->weights[l];
    return total;
}

int64_t allocation_capacity(const ChoiceTable *table, double budget)
{
    const double capacity = budget * (double)allocation_weights(table);
    return (int64_t)fmin(fmax(whole_if_near(capacity, floor(capacity)), -1), LARGEST_SIZE);
}

static int check_budget(const Knapsack *knapsack, double budget, int64_t weights)
{
    int64_t least = 0;
    for (int l = 0; l < knapsack->n_classes; l++) least += knapsack->item[knapsack->first[l]].size;
    if (least <= knapsack->capacity) return OK;
    const double average = ceil((double)least / (double)weights * 1e6) / 1e6;       /* one that works when typed in */
    FAIL(ERR_BUDGET, "no allocation fits %g bits per weight; the least that fits is %.6f", budget, average);
}

int classes_build(Knapsack *out, const ChoiceTable *table, double budget)
{
    TRY(check_table(table, budget));
    Item *item = xmalloc((size_t)table->n_choices * sizeof *item);
    int *first = xmalloc(((size_t)table->n_layers + 1) * sizeof *first);
    Knapsack knapsack = { table->n_layers, first, item, allocation_capacity(table, budget) };
    int status = fill_classes(item, first, table);
    if (status == OK) status = check_budget(&knapsack, budget, allocation_weights(table));
    if (status == OK) *out = knapsack;
    else free(item), free(first);
    return status;
}

void classes_free(Knapsack *knapsack)
{
    free((void *)knapsack->first), free((void *)knapsack->item);
    knapsack->first = NULL, knapsack->item = NULL;
}
