#include "core/allocate/dense.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "core/allocate/dense_step.h"
#include "core/base/err.h"

enum { MOST_ITEMS = 256 };

static int64_t common_divisor(int64_t a, int64_t b) { return b ? common_divisor(b, a % b) : a; }

/* ---- set-up ---- */

typedef struct { int64_t range; int class; } Range;

static int compare_ranges(const void *a, const void *b)
{
    const Range *x = a, *y = b;
    if (x->range != y->range) return x->range < y->range ? -1 : 1;
    return x->class - y->class;
}

static void count_in_units(Dense *d)
{
    const Knapsack *k = d->knapsack;
    for (int c = 0; c < k->n_classes; c++) {
        d->smallest += k->item[k->first[c]].size;
        for (int j = k->first[c]; j < k->first[c + 1]; j++)
            d->unit = common_divisor(d->unit, d->shift[j] = k->item[j].size - k->item[k->first[c]].size);
    }
    if (d->unit == 0) d->unit = 1;
    for (int j = 0; j < k->first[k->n_classes]; j++) d->shift[j] /= d->unit;
}

static void order_classes(Dense *d)
{
    const Knapsack *k = d->knapsack;
    const int64_t most = (k->capacity - d->smallest) / d->unit;
    Range *range = xmalloc((size_t)k->n_classes * sizeof *range);
    for (int c = 0; c < k->n_classes; c++) range[c] = (Range){ d->shift[k->first[c + 1] - 1], c };
    qsort(range, (size_t)k->n_classes, sizeof *range, compare_ranges);
    d->reach[0] = 0;
    for (int i = 0; i < k->n_classes; i++) {
        d->order[i] = range[i].class;
        d->reach[i + 1] = range[i].range < most - d->reach[i] ? d->reach[i] + range[i].range : most;
    }
    d->range = d->reach[k->n_classes];
    free(range);
}

void dense_init(Dense *out, const Knapsack *knapsack)
{
    const size_t items = (size_t)knapsack->first[knapsack->n_classes], n = (size_t)knapsack->n_classes;
    *out = (Dense){ .knapsack = knapsack, .order = xmalloc(n * sizeof *out->order), .shift = xmalloc(items * sizeof *out->shift),
                    .reach = xmalloc((n + 1) * sizeof *out->reach), .best = xcalloc(n, sizeof *out->best) };
    count_in_units(out);
    order_classes(out);
}

void dense_free(Dense *dense)
{
    if (!dense || !dense->best) return;
    free(dense->steps), free(dense->cost), free(dense->order), free(dense->shift), free(dense->reach), free(dense->best);
    *dense = (Dense){ 0 };
}

double dense_steps(const Dense *dense)
{
    double bytes = 0;
    for (int i = 0; i < dense->knapsack->n_classes; i++) bytes += (double)dense->reach[i + 1] + 1;
    return bytes;
}

double dense_bytes(const Dense *dense) { return dense_steps(dense) + 2 * sizeof *dense->cost * ((double)dense->range + 1); }

/* ---- the program ---- */

/* One block in large pages, where there are such: the first touch of small ones takes a quarter of the time. */
static void place_steps(Dense *dense)
{
    static const size_t page = (size_t)1 << 21;
    const size_t bytes = (size_t)dense_steps(dense), whole = (bytes + page - 1) / page * page;
    dense->steps = bytes > page ? aligned_alloc(page, whole) : NULL;
    if (dense->steps) madvise(dense->steps, whole, MADV_HUGEPAGE);
    else dense->steps = xmalloc(bytes);
    uint8_t *next = dense->steps;
    for (int i = 0; i < dense->knapsack->n_classes; i++) {
        dense->best[i] = next;
        next += dense->reach[i + 1] + 1;
    }
}

/* Beyond what is within reach more room does not help. */
static void extend(double *cost, int64_t reach, int64_t to)
{
    for (int64_t w = reach + 1; w <= to; w++) cost[w] = cost[reach];
}

bool dense_run(Dense *dense)
{
    const Knapsack *k = dense->knapsack;
    for (int c = 0; c < k->n_classes; c++)
        if (k->first[c + 1] - k->first[c] > MOST_ITEMS) return false;
    const size_t n = (size_t)dense->range + 1;
    double *before = xmalloc(n * sizeof *before), *next = xmalloc(n * sizeof *next), price[MOST_ITEMS];
    before[0] = 0;
    place_steps(dense);
    for (int i = 0; i < k->n_classes; i++) {
        const int from = k->first[dense->order[i]], items = k->first[dense->order[i] + 1] - from;
        for (int j = 0; j < items; j++) price[j] = k->item[from + j].cost;
        extend(before, dense->reach[i], dense->reach[i + 1]);
        dense_step(next, dense->best[i], before, dense->reach[i + 1] + 1, dense->shift + from, price, items);
        double *swap = before;
        before = next, next = swap;
    }
    free(next);
    dense->cost = before;
    return true;
}

void dense_choose(int *chosen, const Dense *dense, int64_t w)
{
    for (int i = dense->knapsack->n_classes - 1; i >= 0; i--) {
        const int item = dense->knapsack->first[dense->order[i]] + dense->best[i][w];
        chosen[dense->order[i]] = item;
        w -= dense->shift[item];
        if (w > dense->reach[i]) w = dense->reach[i];           /* where it was extended */
    }
}
