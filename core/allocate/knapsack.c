#include "core/allocate/knapsack.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static const double ROUND_UP = 1 + 1e-12;       /* far more than the rounding of any sum here */

double knapsack_cost(const Knapsack *knapsack, const int *chosen)
{
    double cost = 0;
    for (int l = 0; l < knapsack->n_classes; l++) cost += knapsack->item[chosen[l]].cost;
    return cost;
}

int64_t knapsack_size(const Knapsack *knapsack, const int *chosen)
{
    int64_t size = 0;
    for (int l = 0; l < knapsack->n_classes; l++) size += knapsack->item[chosen[l]].size;
    return size;
}

/* From one vertex of the lower convex hull of a class to the next: `slope` of cost saved per bit. */
typedef struct { int class, from, to; double slope; } Step;

static double slope_between(const Item *from, const Item *to)
{
    return (from->cost - to->cost) / (double)(to->size - from->size);
}

/* Appends the hull of class l to steps, slopes strictly descending; returns their number. */
static int hull_of_class(Step *steps, const Knapsack *knapsack, int l)
{
    const Item *item = knapsack->item;
    int n = 0;
    for (int to = knapsack->first[l] + 1; to < knapsack->first[l + 1]; to++) {
        int from = to - 1;
        while (n > 0) {
            from = steps[n - 1].to;
            if (slope_between(&item[from], &item[to]) < steps[n - 1].slope) break;
            from = steps[--n].from;
        }
        steps[n++] = (Step){ l, from, to, slope_between(&item[from], &item[to]) };
    }
    return n;
}

static int compare_steps(const void *a, const void *b)
{
    const Step *x = a, *y = b;
    if (x->slope != y->slope) return x->slope < y->slope ? 1 : -1;
    return x->to - y->to;
}

/* Steepest steps first, from the smallest items on.  Returns the price: the slope of the first step that
 * does not fit, which is where the dual bound is highest; 0 where all fit. */
static double choose_greedily(int *chosen, const Knapsack *knapsack)
{
    const Item *item = knapsack->item;
    Step *steps = xmalloc((size_t)knapsack->first[knapsack->n_classes] * sizeof *steps);
    int n = 0;
    for (int l = 0; l < knapsack->n_classes; l++) {
        n += hull_of_class(steps + n, knapsack, l);
        chosen[l] = knapsack->first[l];
    }
    qsort(steps, (size_t)n, sizeof *steps, compare_steps);

    int64_t room = knapsack->capacity - knapsack_size(knapsack, chosen);
    double price = 0;
    for (const Step *step = steps; step < steps + n; step++) {
        const int64_t growth = item[step->to].size - item[step->from].size;
        if (chosen[step->class] == step->from && growth <= room) {
            chosen[step->class] = step->to;
            room -= growth;
        } else if (price == 0) {
            price = step->slope;
        }
    }
    free(steps);
    return price;
}

/* Fills what room is left by the exchange of one item that saves most, while there is one. */
static void fill_room(int *chosen, const Knapsack *knapsack)
{
    const Item *item = knapsack->item;
    int64_t room = knapsack->capacity - knapsack_size(knapsack, chosen);
    for (;;) {
        int best = -1, class = -1;
        double most = 0;
        for (int l = 0; l < knapsack->n_classes; l++)
            for (int j = chosen[l] + 1; j < knapsack->first[l + 1] && item[j].size - item[chosen[l]].size <= room; j++)
                if (item[chosen[l]].cost - item[j].cost > most) {
                    most = item[chosen[l]].cost - item[j].cost;
                    best = j, class = l;
                }
        if (best < 0) return;
        room -= item[best].size - item[chosen[class]].size;
        chosen[class] = best;
    }
}

/* Differences against the base are formed before anything is added up: what cancels is small. */
static void enclose_reduced(Enclosure *reduced, const Knapsack *knapsack, double price)
{
    const double rounding = 0x1p-50;
    for (int l = 0; l < knapsack->n_classes; l++) {
        const Item *base = &knapsack->item[knapsack->first[l]];
        for (int j = knapsack->first[l]; j < knapsack->first[l + 1]; j++) {
            const Item *item = &knapsack->item[j];
            if ((item->cost - base->cost) + price * (double)(item->size - base->size) < 0) base = item;
        }
        for (int j = knapsack->first[l]; j < knapsack->first[l + 1]; j++) {
            const double cost = knapsack->item[j].cost - base->cost;
            const double paid = price * (double)(knapsack->item[j].size - base->size);
            const double error = rounding * (fabs(cost) + fabs(paid));
            reduced[j] = (Enclosure){ cost + paid - error, cost + paid + error };
        }
    }
}

/* excess(chosen), rounded up. */
static double excess_of(const Knapsack *knapsack, const Dual *dual, const int *chosen)
{
    double sum = dual->price * (double)(knapsack->capacity - knapsack_size(knapsack, chosen));
    for (int l = 0; l < knapsack->n_classes; l++) sum += dual->reduced[chosen[l]].high;
    return sum * ROUND_UP;
}

/* Raises the threshold from far below the excess at hand up to it.  Returns whether chosen is proven
 * optimal; *searched = the threshold below which there is nothing. */
static bool deepen(int *chosen, double *searched, const Knapsack *knapsack, const Dual *dual, int64_t max_states)
{
    const size_t bytes = (size_t)knapsack->n_classes * sizeof *chosen;
    int *found = xmalloc(bytes);
    bool proven = false;
    *searched = 0;
    double threshold = fmax(0x1p-12 * excess_of(knapsack, dual, chosen), DBL_MIN);      /* 0 would stay 0 */
    for (; !proven; threshold *= 2) {
        const double at_hand = excess_of(knapsack, dual, chosen);
        if (threshold > at_hand) threshold = at_hand;
        const SearchOutcome outcome = at_hand > 0 ? knapsack_search(found, knapsack, dual, threshold, max_states) : SEARCH_EMPTY;
        if (outcome == SEARCH_TOO_LARGE) break;
        if (outcome == SEARCH_FOUND && knapsack_cost(knapsack, found) < knapsack_cost(knapsack, chosen)) memcpy(chosen, found, bytes);
        *searched = threshold;
        proven = excess_of(knapsack, dual, chosen) <= threshold;
    }
    free(found);
    return proven;
}

/* Where the lists were too long: a better choice by exchanges, and then a proof by the dense table. */
static bool try_densely(int *chosen, const Knapsack *knapsack, const Dual *dual, int64_t max_states)
{
    if (max_states == 0) return false;
    knapsack_exchange(chosen, knapsack);
    return knapsack_dense(chosen, knapsack, dual, excess_of(knapsack, dual, chosen) * ROUND_UP, 64 * (double)max_states);
}

bool knapsack_solve(int *chosen, KnapsackBound *bound, const Knapsack *knapsack, int64_t max_states)
{
    Enclosure *reduced = xmalloc((size_t)knapsack->first[knapsack->n_classes] * sizeof *reduced);
    const Dual dual = { choose_greedily(chosen, knapsack), reduced };
    fill_room(chosen, knapsack);
    enclose_reduced(reduced, knapsack, dual.price);

    double searched;
    const bool proven = deepen(chosen, &searched, knapsack, &dual, max_states) || try_densely(chosen, knapsack, &dual, max_states);
    const double cost = knapsack_cost(knapsack, chosen), excess = excess_of(knapsack, &dual, chosen);
    const double lower = proven ? cost : fmax(0, cost - (excess * ROUND_UP - searched) - (ROUND_UP - 1) * cost);
    *bound = (KnapsackBound){ lower, dual.price, excess };
    free(reduced);
    return proven;
}
