/*
 * knapsack_dense.c - the dense program in place of a list search that was too large
 *
 * Where costs nearly are a price per bit, nothing can be bounded out, and lists hold as many states as there are sizes: then
 * a table with a byte for each is smaller.  Only items that may be part of something better take part.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/dense.h"
#include "core/base/err.h"

static const double ROUND_DOWN = 1 - 1e-12;

/* What rounding may have left below 0: the least that the r of all classes add up to. */
static double least_reduced(const Knapsack *knapsack, const Dual *dual)
{
    double sum = 0;
    for (int c = 0; c < knapsack->n_classes; c++) {
        double low = INFINITY;
        for (int j = knapsack->first[c]; j < knapsack->first[c + 1]; j++) low = fmin(low, dual->reduced[j].low);
        sum += low;
    }
    return sum;
}

/* Items whose r alone does not reach the threshold. */
static void select_items(Knapsack *out, Item *item, int *first, const Knapsack *knapsack, const Dual *dual, double threshold)
{
    const double least = least_reduced(knapsack, dual);
    int n = 0;
    for (int c = 0; c < knapsack->n_classes; c++) {
        first[c] = n;
        for (int j = knapsack->first[c]; j < knapsack->first[c + 1]; j++)
            if ((dual->reduced[j].low + least) * ROUND_DOWN < threshold) {
                item[n] = knapsack->item[j];
                item[n++].row = j;
            }
    }
    first[knapsack->n_classes] = n;
    *out = (Knapsack){ knapsack->n_classes, first, item, knapsack->capacity };
}

static bool within(const Knapsack *knapsack)
{
    int64_t least = 0;
    for (int c = 0; c < knapsack->n_classes; c++) {
        if (knapsack->first[c] == knapsack->first[c + 1]) return false;
        least += knapsack->item[knapsack->first[c]].size;
    }
    return least <= knapsack->capacity;
}

bool knapsack_dense(int *chosen, const Knapsack *knapsack, const Dual *dual, double threshold, double most_bytes)
{
    Knapsack selected;
    Dense dense;
    Item *item = xmalloc((size_t)knapsack->first[knapsack->n_classes] * sizeof *item);
    int *first = xmalloc(((size_t)knapsack->n_classes + 1) * sizeof *first);
    select_items(&selected, item, first, knapsack, dual, threshold);
    bool solved = false;
    if (within(&selected)) {
        dense_init(&dense, &selected);
        solved = dense_bytes(&dense) <= most_bytes && dense_run(&dense);
        if (solved) {
            int *found = xmalloc((size_t)knapsack->n_classes * sizeof *found);
            dense_choose(found, &dense, dense.range);
            for (int c = 0; c < knapsack->n_classes; c++) found[c] = item[found[c]].row;
            if (knapsack_cost(knapsack, found) < knapsack_cost(knapsack, chosen)) memcpy(chosen, found, (size_t)knapsack->n_classes * sizeof *found);
            free(found);
        }
        dense_free(&dense);
    }
    free(item), free(first);
    return solved;
}
