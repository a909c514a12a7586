/*
 * knapsack_exchange.c - local search over exchanges in two classes at once, for where a search was too large
 *
 * All changes of one class, by how much they grow, with the one that saves most among those that grow no more: a pair is
 * found for each change in one pass over the sorted list.
 */
#include <math.h>
#include <stdlib.h>

#include "core/allocate/knapsack.h"
#include "core/base/err.h"

typedef struct { int64_t growth; double saving; int class, item; } Change;
typedef struct { int first, second; } Leaders;          /* changes that save most, of two classes; -1: none */

static int compare_changes(const void *a, const void *b)
{
    const Change *x = a, *y = b;
    if (x->growth != y->growth) return x->growth < y->growth ? -1 : 1;
    if (x->saving != y->saving) return x->saving > y->saving ? -1 : 1;
    return x->item - y->item;
}

/* Doing nothing is a change too, of no class. */
static int list_changes(Change *change, const Knapsack *k, const int *chosen)
{
    int n = 0;
    change[n++] = (Change){ 0, 0, -1, -1 };
    for (int c = 0; c < k->n_classes; c++)
        for (int j = k->first[c]; j < k->first[c + 1]; j++)
            if (j != chosen[c]) change[n++] = (Change){ k->item[j].size - k->item[chosen[c]].size, k->item[chosen[c]].cost - k->item[j].cost, c, j };
    qsort(change, (size_t)n, sizeof *change, compare_changes);
    return n;
}

static void find_leaders(Leaders *leaders, const Change *change, int n)
{
    Leaders best = { -1, -1 };
    for (int i = 0; i < n; i++) {
        if (best.first < 0 || change[i].saving > change[best.first].saving) {
            if (best.first >= 0 && change[best.first].class != change[i].class) best.second = best.first;
            best.first = i;
        } else if (change[i].class != change[best.first].class && (best.second < 0 || change[i].saving > change[best.second].saving)) {
            best.second = i;
        }
        leaders[i] = best;
    }
}

/* The pair that saves most within the room; false where none saves anything. */
static bool best_pair(int pair[2], const Change *change, const Leaders *leaders, int n, int64_t room)
{
    double most = 0;
    int partners = n;                                   /* change[0 .. partners) fit beside change i */
    for (int i = 0; i < n; i++) {
        while (partners > 0 && change[partners - 1].growth > room - change[i].growth) partners--;
        if (partners == 0) break;
        const Leaders *leader = &leaders[partners - 1];
        const int other = change[leader->first].class == change[i].class ? leader->second : leader->first;
        if (other < 0 || !(change[i].saving + change[other].saving > most)) continue;
        most = change[i].saving + change[other].saving;
        pair[0] = i, pair[1] = other;
    }
    return most > 0;
}

void knapsack_exchange(int *chosen, const Knapsack *knapsack)
{
    const size_t most = (size_t)knapsack->first[knapsack->n_classes] + 1;
    Change *change = xmalloc(most * sizeof *change);
    Leaders *leaders = xmalloc(most * sizeof *leaders);
    for (;;) {
        int pair[2];
        const int n = list_changes(change, knapsack, chosen);
        const double before = knapsack_cost(knapsack, chosen);
        find_leaders(leaders, change, n);
        if (!best_pair(pair, change, leaders, n, knapsack->capacity - knapsack_size(knapsack, chosen))) break;
        int was[2] = { 0 };
        for (int i = 0; i < 2; i++) {
            if (change[pair[i]].class < 0) continue;
            was[i] = chosen[change[pair[i]].class];
            chosen[change[pair[i]].class] = change[pair[i]].item;
        }
        if (knapsack_cost(knapsack, chosen) < before) continue;
        for (int i = 0; i < 2; i++)                     /* a saving of rounding alone would never end */
            if (change[pair[i]].class >= 0) chosen[change[pair[i]].class] = was[i];
        break;
    }
    free(change), free(leaders);
}
