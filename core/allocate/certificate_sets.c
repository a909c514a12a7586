/*
 * certificate_sets.c - the optimum with few distinct choices, by going through all sets of so many
 *
 * A set whose dual bound, at a price found by bisection of its size, is not below the cost claimed is done with; one that is
 * goes into the dense program with its options alone.
 */
#include <math.h>
#include <stdlib.h>

#include "core/allocate/certificate_program.h"
#include "core/base/err.h"

enum { BISECTIONS = 60, MOST_NAMES = 64 };
static const double ROUNDING = 1e-12;

typedef struct {
    const Verified *v;
    uint64_t set;                       /* names that may be used                                   */
    int64_t capacity;
    double claimed, price;              /* price: where the set before was bounded best             */
} Sets;

static bool may_use(const Sets *s, int option) { return s->set >> s->v->name[option] & 1; }

/* The dual bound of the set, rounded down, and the size of its minimum; INFINITY where a class has no option. */
static double bound_at(int64_t *size, const Sets *s, double price)
{
    const Verified *v = s->v;
    double sum = 0;
    *size = 0;
    for (int c = 0; c < v->n_classes; c++) {
        double least = INFINITY;
        int64_t of_least = 0;
        for (int j = v->first[c]; j < v->first[c + 1]; j++) {
            const double paid = v->cost[j] + price * (double)v->size[j];
            if (may_use(s, j) && paid < least) least = paid, of_least = v->size[j];
        }
        sum += least, *size += of_least;
    }
    const double paid = price * (double)s->capacity;
    return sum - paid - ROUNDING * (sum + paid);
}

/* Whether the least sizes of the set fit. */
static bool fits(const Sets *s)
{
    const Verified *v = s->v;
    int64_t size = 0;
    for (int c = 0; c < v->n_classes; c++) {
        int64_t least = INT64_MAX;
        for (int j = v->first[c]; j < v->first[c + 1]; j++)
            if (may_use(s, j) && v->size[j] < least) least = v->size[j];
        if (least == INT64_MAX) return false;
        size += least;
    }
    return size <= s->capacity;
}

/* The best bound found, up to the cost claimed; leaves the price there. */
static double bound_of_set(Sets *s, double start)
{
    int64_t size;
    double best = bound_at(&size, s, 0), low = 0, high = 0, price = s->price, at = 0;
    for (int i = 0; i < BISECTIONS && best < s->claimed; i++) {
        const double bound = bound_at(&size, s, price);
        if (bound > best) best = bound, at = price;
        if (size > s->capacity) low = price;
        else high = price;
        price = high > 0 ? (low + high) / 2 : 4 * (price > 0 ? price : start);
    }
    s->price = at;
    return best;
}

/* The options of the set alone; false where the program does not fit its limits. */
static bool run_set(double *out, int64_t *states, const Sets *s, double bound)
{
    const Verified *v = s->v;
    const size_t options = (size_t)v->first[v->n_classes];
    Verified part = { v->n_classes, xcalloc((unsigned long)v->n_classes + 1, sizeof *part.first), xmalloc(options * sizeof *part.size),
                      xmalloc(options * sizeof *part.cost), NULL, NULL };
    int n = 0;
    for (int c = 0; c < v->n_classes; c++) {
        for (int j = v->first[c]; j < v->first[c + 1]; j++)
            if (may_use(s, j)) part.size[n] = v->size[j], part.cost[n++] = v->cost[j];
        part.first[c + 1] = n;
    }
    const bool done = certificate_program(out, states, &part, s->capacity, s->price, s->claimed - bound);
    free(part.first), free(part.size), free(part.cost);
    return done;
}

static uint64_t next_set(uint64_t set)                         /* of as many names: Gosper's way */
{
    const uint64_t lowest = set & -set, carried = set + lowest;
    return carried | ((set ^ carried) >> 2) / lowest;
}

static double count_sets(int n, int k)
{
    double count = 1;
    for (int i = 0; i < k; i++) count *= (double)(n - i) / (i + 1);
    return count;
}

bool certificate_sets(double *out, const Verified *verified, int n_names, int most, int64_t capacity, double price, double claimed)
{
    const int options = verified->first[verified->n_classes], k = most < n_names ? most : n_names;
    if (n_names >= MOST_NAMES || count_sets(n_names, k) * options > MOST_PROGRAM_STEPS / 20) return false;
    Sets s = { verified, ((uint64_t)1 << k) - 1, capacity, claimed, price };
    double steps = 0;
    *out = INFINITY;
    for (; s.set < (uint64_t)1 << n_names; s.set = next_set(s.set)) {
        if (!fits(&s)) continue;
        double cost;
        int64_t states;
        const double bound = bound_of_set(&s, price > 0 ? price : 1);
        if (!(bound < claimed)) continue;
        if (!run_set(&cost, &states, &s, bound) || (steps += (double)states * options) > MOST_PROGRAM_STEPS) return false;
        *out = fmin(*out, cost);
    }
    return true;
}
