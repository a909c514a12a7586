/*
 * certificate_program.c - the optimum by dense dynamic programming, for the check of a claim
 *
 * Sizes are counted from the smallest of each class, in units of the greatest common divisor of what is left; costs are
 * doubles, so the optimum is one to the rounding of their sums.
 */
#include "core/allocate/certificate_program.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "kernels/cpu/simd.h"

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

static double best_of_class(const Verified *v, int c, double price)
{
    double least = INFINITY;
    for (int j = v->first[c]; j < v->first[c + 1]; j++) least = fmin(least, v->cost[j] + price * (double)v->size[j]);
    return least;
}

static void reduce_class(Reduced *r, const Verified *v, int c, double price, double gap)
{
    const double least = best_of_class(v, c, price);
    int64_t smallest = INT64_MAX, largest = 0;
    int n = r->first[c];
    for (int j = v->first[c]; j < v->first[c + 1]; j++) {
        const double paid = v->cost[j] + price * (double)v->size[j];
        if (paid - least > gap + 0x1p-48 * paid) continue;
        r->size[n] = v->size[j], r->cost[n++] = v->cost[j];
        if (v->size[j] < smallest) smallest = v->size[j];
        if (v->size[j] > largest) largest = v->size[j];
    }
    for (int j = r->first[c]; j < n; j++) r->unit = common_divisor(r->unit, r->size[j] -= smallest);
    r->first[c + 1] = n;
    r->smallest += smallest;
    r->range += largest - smallest;
}

void reduced_init(Reduced *out, const Verified *verified, double price, double gap)
{
    const size_t options = (size_t)verified->first[verified->n_classes];
    Reduced r = { .n_classes = verified->n_classes, .first = xcalloc((unsigned long)verified->n_classes + 1, sizeof *r.first),
                  .size = xmalloc(options * sizeof *r.size), .cost = xmalloc(options * sizeof *r.cost) };
    for (int c = 0; c < verified->n_classes; c++) reduce_class(&r, verified, c, price, gap);
    if (r.unit == 0) r.unit = 1;
    *out = r;
}

void reduced_free(Reduced *reduced)
{
    free(reduced->first), free(reduced->size), free(reduced->cost);
    *reduced = (Reduced){ 0 };
}

SIMD static void take_cheaper(double *restrict next, const double *restrict before, double cost, int64_t n)
{
    for (int64_t w = 0; w < n; w++) {
        const double sum = before[w] + cost;
        next[w] = sum < next[w] ? sum : next[w];
    }
}

/* next[w] = least cost of the classes so far within w units, w = 0 .. n. */
static void add_class(double *next, const double *before, const Reduced *r, int c, int64_t n)
{
    for (int64_t w = 0; w <= n; w++) next[w] = INFINITY;
    for (int j = r->first[c]; j < r->first[c + 1]; j++) {
        const int64_t shift = r->size[j] / r->unit;
        if (shift <= n) take_cheaper(next + shift, before, r->cost[j], n - shift + 1);
    }
}

static int64_t range_of(const Reduced *r, int c)
{
    int64_t range = 0;
    for (int j = r->first[c]; j < r->first[c + 1]; j++) range = r->size[j] > range ? r->size[j] : range;
    return range / r->unit;
}

/* Beyond what the classes so far can take, more room does not help. */
static double run(const Reduced *r, int64_t n)
{
    double *before = xcalloc((unsigned long)n + 1, sizeof *before), *next = xmalloc(((size_t)n + 1) * sizeof *next);
    int64_t reach = 0;
    for (int c = 0; c < r->n_classes; c++) {
        const int64_t range = range_of(r, c), to = range < n - reach ? reach + range : n;
        for (int64_t w = reach + 1; w <= to; w++) before[w] = before[reach];
        add_class(next, before, r, c, to);
        double *swap = before;
        before = next, next = swap;
        reach = to;
    }
    const double best = before[reach];
    free(before), free(next);
    return best;
}

bool certificate_program(double *out, int64_t *states, const Verified *verified, int64_t capacity, double price, double gap)
{
    Reduced r;
    reduced_init(&r, verified, price, gap);
    const int64_t room = capacity - r.smallest, n = (room < r.range ? room : r.range) / r.unit;
    const bool fits = room >= 0 && 2 * sizeof *out * ((double)n + 1) <= MOST_PROGRAM_BYTES && (double)n * r.first[r.n_classes] <= MOST_PROGRAM_STEPS;
    if (fits) *out = run(&r, n);
    *states = n + 1;
    reduced_free(&r);
    return fits;
}
