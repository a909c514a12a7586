#include "core/allocate/distinct_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocation.h"
#include "core/base/err.h"

static const double ROUND_DOWN = 1 - 1e-12;
enum { MOST_NODES = 200000 };

typedef enum { OPEN, IN, OUT } Standing;

typedef struct {
    const Classes *classes;
    int most, *name;                /* name[options] of an option                                   */
    int64_t capacity;
    bool by_size;                   /* the size takes the place of the cost                         */
    Standing *standing;             /* [n_names] of the node at hand                                */
    int n_in, n_open;
    int64_t nodes;
    int *best;                      /* [n_classes] options of the cheapest found, NULL: none yet    */
    double best_cost, open_bound;   /* open_bound: the least bound of what was not searched         */
    bool exact;                     /* no leaf was left unproven                                    */
    bool *use;                      /* [options] and scratch below */
    Item *item;
    int *first, *chosen;
    double *saving;                 /* [n_names] */
} Search;

static void search_init(Search *s, const Classes *c, int most, int64_t capacity, bool by_size)
{
    const size_t options = (size_t)c->first[c->n_classes], n = (size_t)c->n_classes, names = (size_t)c->n_names;
    *s = (Search){
        .classes = c, .most = most, .capacity = capacity, .by_size = by_size, .n_open = c->n_names, .best_cost = INFINITY, .open_bound = INFINITY,
        .exact = true, .name = xmalloc(options * sizeof *s->name), .standing = xcalloc(names, sizeof *s->standing),
        .use = xmalloc(options * sizeof *s->use), .item = xmalloc(options * sizeof *s->item), .first = xmalloc((n + 1) * sizeof *s->first),
        .chosen = xmalloc(n * sizeof *s->chosen), .saving = xmalloc(names * sizeof *s->saving),
    };
    for (size_t j = 0; j < options; j++) s->name[j] = c->name[c->row[c->option[j].row]];
}

static void search_free(Search *s)
{
    free(s->name), free(s->standing), free(s->use), free(s->item), free(s->first), free(s->chosen), free(s->saving);
}

static double value(const Search *s, int option, double price)
{
    const Item *item = &s->classes->option[option];
    return (s->by_size ? (double)item->size : item->cost) + price * (double)item->size;
}

/* ---- bounds ---- */

/* Rounded down; INFINITY where a class has no name that is not out. */
static double plain_bound(const Search *s, double price)
{
    const Classes *c = s->classes;
    double bound = 0;
    for (int i = 0; i < c->n_classes; i++) {
        double least = INFINITY;
        for (int j = c->first[i]; j < c->first[i + 1]; j++)
            if (s->standing[s->name[j]] != OUT) least = fmin(least, value(s, j, price));
        bound += least;
    }
    return bound * ROUND_DOWN - price * (double)s->capacity / ROUND_DOWN;
}

static int compare_descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Where a class has no option that is in, the largest of those that are open stands for it: any m_c not above the least of
 * those that are in bounds. */
static double counted_bound(Search *s, double price)
{
    const Classes *c = s->classes;
    double sum = 0;
    for (int i = 0; i < c->n_classes; i++) {
        double least = INFINITY, largest = 0;
        for (int j = c->first[i]; j < c->first[i + 1]; j++) {
            const Standing standing = s->standing[s->name[j]];
            if (standing == IN) least = fmin(least, value(s, j, price));
            if (standing == OPEN) largest = fmax(largest, value(s, j, price));
        }
        if (isinf(least)) least = largest;
        sum += least;
        for (int j = c->first[i]; j < c->first[i + 1]; j++)
            if (s->standing[s->name[j]] == OPEN) s->saving[s->name[j]] += fmax(0, least - value(s, j, price));
    }
    double *ordered = xmalloc((size_t)c->n_names * sizeof *ordered);
    memcpy(ordered, s->saving, (size_t)c->n_names * sizeof *ordered);
    qsort(ordered, (size_t)c->n_names, sizeof *ordered, compare_descending);
    double saved = 0;
    for (int k = 0; k < s->most - s->n_in && k < c->n_names; k++) saved += ordered[k];
    free(ordered);
    return sum * ROUND_DOWN - saved / ROUND_DOWN - price * (double)s->capacity / ROUND_DOWN;
}

/* ---- nodes ---- */

/* The knapsack of what is not out; false where nothing fits. */
static bool build(Search *s, Knapsack *out)
{
    const Classes *c = s->classes;
    int64_t least = 0;
    for (int j = 0; j < c->first[c->n_classes]; j++) s->use[j] = s->standing[s->name[j]] != OUT;
    if (!classes_knapsack(out, s->item, s->first, c, s->use)) return false;
    out->capacity = s->capacity;
    for (int i = 0; i < c->n_classes; i++) {
        least += s->item[s->first[i]].size;
        if (!s->by_size) continue;
        s->item[i] = s->item[s->first[i]];                      /* the smallest alone, at the cost of its size */
        s->item[i].cost = (double)s->item[i].size;
        s->first[i] = i;
    }
    if (s->by_size) s->first[c->n_classes] = c->n_classes;
    return least <= s->capacity;
}

/* Takes the chosen items as the best where they are cheaper and of few enough names. */
static void offer(Search *s, const Knapsack *knapsack)
{
    const Classes *c = s->classes;
    const double cost = knapsack_cost(knapsack, s->chosen);
    if (!(cost < s->best_cost)) return;
    bool *seen = xcalloc((unsigned long)c->n_names, sizeof *seen);
    int *option = xmalloc((size_t)c->n_classes * sizeof *option), n = 0;
    for (int i = 0; i < c->n_classes; i++) {
        option[i] = c->first[i];
        while (c->option[option[i]].row != s->item[s->chosen[i]].row) option[i]++;
        n += !seen[s->name[option[i]]];
        seen[s->name[option[i]]] = true;
    }
    if (n <= s->most) {
        free(s->best);
        s->best = option, s->best_cost = cost;
    } else {
        free(option);
    }
    free(seen);
}

static void leave(Search *s, double bound)
{
    s->exact = false;
    s->open_bound = fmin(s->open_bound, bound);
}

static void search(Search *s, double price);

/* The open name that saves most; -1 where none is open. */
static int branching_name(const Search *s)
{
    int best = -1;
    for (int name = 0; name < s->classes->n_names; name++)
        if (s->standing[name] == OPEN && (best < 0 || s->saving[name] > s->saving[best])) best = name;
    return best;
}

static void branch(Search *s, double price)
{
    const int name = branching_name(s);
    s->standing[name] = IN;
    s->n_in++, s->n_open--;
    search(s, price);
    s->standing[name] = OUT;
    s->n_in--;
    search(s, price);
    s->standing[name] = OPEN;
    s->n_open++;
}

/* Nothing more may come in: what is open goes out, for this leaf. */
static void close_open(Search *s, Standing *saved)
{
    memcpy(saved, s->standing, (size_t)s->classes->n_names * sizeof *saved);
    for (int name = 0; name < s->classes->n_names && s->n_in == s->most; name++)
        if (s->standing[name] == OPEN) s->standing[name] = OUT;
}

/* A set that is small enough as it is. */
static void leaf(Search *s, double price)
{
    Standing *saved = xmalloc((size_t)s->classes->n_names * sizeof *saved);
    Knapsack knapsack;
    KnapsackBound bound;
    close_open(s, saved);
    if (plain_bound(s, price) < s->best_cost && build(s, &knapsack)) {
        const bool proven = knapsack_solve(s->chosen, &bound, &knapsack, MAX_STATES);
        offer(s, &knapsack);
        if (!proven) leave(s, bound.lower);
    }
    memcpy(s->standing, saved, (size_t)s->classes->n_names * sizeof *saved);
    free(saved);
}

static void search(Search *s, double price)
{
    const double inherited = plain_bound(s, price);
    if (!(inherited < s->best_cost)) return;
    if (s->nodes++ >= MOST_NODES) {
        leave(s, inherited);
        return;
    }
    if (s->n_in == s->most || s->n_in + s->n_open <= s->most) {
        leaf(s, price);
        return;
    }
    Knapsack knapsack;
    KnapsackBound bound;
    if (!build(s, &knapsack)) return;
    knapsack_solve(s->chosen, &bound, &knapsack, 0);
    offer(s, &knapsack);
    if (!(bound.lower < s->best_cost)) return;
    memset(s->saving, 0, (size_t)s->classes->n_names * sizeof *s->saving);
    if (!(counted_bound(s, bound.price) < s->best_cost)) return;
    branch(s, bound.price);
}

/* Without the limit.  Returns whether few enough names are all that the best one takes. */
static bool search_unlimited(Search *s, KnapsackBound *bound, double *dual_bound)
{
    Knapsack knapsack;
    if (!build(s, &knapsack)) return true;
    const bool proven = knapsack_solve(s->chosen, bound, &knapsack, MAX_STATES);
    *dual_bound = knapsack_cost(&knapsack, s->chosen) - bound->excess;
    offer(s, &knapsack);
    return proven && s->best && s->best_cost <= bound->lower;
}

void distinct_search(DistinctAnswer *out, const Classes *classes, int most, int64_t capacity)
{
    Search s;
    KnapsackBound bound = { 0 };
    double dual_bound = 0;
    search_init(&s, classes, most, capacity, false);
    if (!search_unlimited(&s, &bound, &dual_bound)) search(&s, bound.price);
    *out = (DistinctAnswer){ .option = s.best, .proven = s.exact, .bound = bound };
    if (s.best) {
        out->bound.lower = s.exact ? s.best_cost : fmin(s.best_cost, fmax(s.open_bound, bound.lower));
        out->bound.excess = s.best_cost - dual_bound;
    }
    search_free(&s);
}

bool distinct_least_size(double *out, const Classes *classes, int most)
{
    Search s;
    search_init(&s, classes, most, INT64_MAX, true);
    search(&s, 0);
    const bool found = s.best != NULL;
    *out = s.best_cost;
    free(s.best);
    search_free(&s);
    return found;
}
