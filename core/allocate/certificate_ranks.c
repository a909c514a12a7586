/*
 * certificate_ranks.c - the costs of the n best allocations by dense dynamic programming
 *
 * As certificate_program.c, with the n least costs of every exact size in place of one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/certificate_program.h"
#include "core/base/err.h"

/* Keeps in list[n] the n least of it and of other[n] + cost; both ascend. */
static void merge(double *list, const double *other, double cost, int n, double *scratch)
{
    if (!(other[0] + cost < list[n - 1])) return;
    for (int i = 0, a = 0, b = 0; i < n; i++) scratch[i] = other[b] + cost < list[a] ? other[b++] + cost : list[a++];
    memcpy(list, scratch, sizeof *list * (size_t)n);
}

static void add_class(double *next, const double *before, const Reduced *r, int c, int64_t states, int n, double *scratch)
{
    for (int64_t i = 0; i < states * n; i++) next[i] = INFINITY;
    for (int j = r->first[c]; j < r->first[c + 1]; j++) {
        const int64_t shift = r->size[j] / r->unit;
        for (int64_t w = shift; w < states; w++) merge(next + w * n, before + (w - shift) * n, r->cost[j], n, scratch);
    }
}

static void run(double *out, const Reduced *r, int64_t states, int n)
{
    const size_t cells = (size_t)states * (size_t)n;
    double *before = xmalloc(cells * sizeof *before), *next = xmalloc(cells * sizeof *next), *scratch = xmalloc((size_t)n * sizeof *scratch);
    for (size_t i = 0; i < cells; i++) before[i] = INFINITY;
    before[0] = 0;
    for (int c = 0; c < r->n_classes; c++) {
        add_class(next, before, r, c, states, n, scratch);
        double *swap = before;
        before = next, next = swap;
    }
    for (int i = 0; i < n; i++) out[i] = INFINITY;
    for (int64_t w = 0; w < states; w++) merge(out, before + w * n, 0, n, scratch);
    free(before), free(next), free(scratch);
}

bool certificate_ranks(double *cost, int n, int64_t *states, const Verified *verified, int64_t capacity, double price, double gap)
{
    Reduced r;
    reduced_init(&r, verified, price, gap);
    const int64_t room = capacity - r.smallest, last = (room < r.range ? room : r.range) / r.unit;
    const double cells = ((double)last + 1) * n;
    const bool fits = room >= 0 && 2 * sizeof *cost * cells <= MOST_PROGRAM_BYTES && cells * r.first[r.n_classes] <= MOST_PROGRAM_STEPS;
    if (fits) run(cost, &r, last + 1, n);
    *states = last + 1;
    reduced_free(&r);
    return fits;
}
