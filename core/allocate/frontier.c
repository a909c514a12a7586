#include "core/allocate/frontier.h"

#include <stdlib.h>
#include <string.h>

#include "core/allocate/frontier_step.h"
#include "core/base/err.h"
#include "core/base/size.h"

enum { MOST_OPTIONS = 256 };

/* Classes in the order of adding, and a byte for each of their states. */
typedef struct FrontierSteps {
    Knapsack knapsack;
    Item *item;
    int *first, *order;             /* order[n_classes]: class that is added i-th                  */
    int64_t *shift;                 /* [items] units above the smallest of the class               */
    int64_t *reach;                 /* [n_classes + 1] units within reach before the i-th class    */
    uint8_t **best;                 /* [n_classes][reach[i + 1] + 1] option of the class, from its first */
    int64_t *at;                    /* [n] units of each breakpoint                                */
} Steps;

static int64_t common_divisor(int64_t a, int64_t b) { return b ? common_divisor(b, a % b) : a; }

/* ---- set-up ---- */

typedef struct { int64_t range; int class; } Range;

static int compare_ranges(const void *a, const void *b)
{
    const Range *x = a, *y = b;
    if (x->range != y->range) return x->range < y->range ? -1 : 1;
    return x->class - y->class;
}

static void order_classes(Steps *s, int64_t unit)
{
    const Knapsack *k = &s->knapsack;
    Range *range = xmalloc((size_t)k->n_classes * sizeof *range);
    for (int c = 0; c < k->n_classes; c++)
        range[c] = (Range){ (k->item[k->first[c + 1] - 1].size - k->item[k->first[c]].size) / unit, c };
    qsort(range, (size_t)k->n_classes, sizeof *range, compare_ranges);
    s->reach[0] = 0;
    for (int i = 0; i < k->n_classes; i++) {
        s->order[i] = range[i].class;
        s->reach[i + 1] = s->reach[i] + range[i].range;
    }
    free(range);
}

static int64_t measure(Steps *s)
{
    const Knapsack *k = &s->knapsack;
    int64_t unit = 0;
    for (int c = 0; c < k->n_classes; c++)
        for (int j = k->first[c]; j < k->first[c + 1]; j++) unit = common_divisor(unit, s->shift[j] = k->item[j].size - k->item[k->first[c]].size);
    if (unit == 0) unit = 1;
    for (int j = 0; j < k->first[k->n_classes]; j++) s->shift[j] /= unit;
    return unit;
}

static int check_limits(const Steps *s, int64_t memory)
{
    const Knapsack *k = &s->knapsack;
    for (int c = 0; c < k->n_classes; c++)
        if (k->first[c + 1] - k->first[c] > MOST_OPTIONS) FAIL(ERR_UNSUPPORTED, "the frontier takes at most %d choices a layer", MOST_OPTIONS);
    double bytes = 41 * ((double)s->reach[k->n_classes] + 1);               /* two rows of costs, and the breakpoints */
    for (int i = 0; i < k->n_classes; i++) bytes += (double)s->reach[i + 1] + 1;
    char needed[SIZE_TEXT], given[SIZE_TEXT];
    if (bytes > (double)memory)
        FAIL(ERR_MEMORY, "the frontier has up to %lld sizes and needs %s, more than the %s of --memory; --budget takes next to none",
             (long long)s->reach[k->n_classes] + 1, size_text(needed, (int64_t)(bytes < 9e18 ? bytes : 9e18)), size_text(given, memory));
    return OK;
}

/* ---- the program ---- */

/* Beyond what is within reach more room does not help. */
static void extend(double *cost, int64_t reach, int64_t to)
{
    for (int64_t w = reach + 1; w <= to; w++) cost[w] = cost[reach];
}

static double *fill_steps(Steps *s)
{
    const Knapsack *k = &s->knapsack;
    const size_t n = (size_t)s->reach[k->n_classes] + 1;
    double *before = xmalloc(n * sizeof *before), *next = xmalloc(n * sizeof *next), price[MOST_OPTIONS];
    before[0] = 0;
    for (int i = 0; i < k->n_classes; i++) {
        const int from = k->first[s->order[i]], options = k->first[s->order[i] + 1] - from;
        for (int j = 0; j < options; j++) price[j] = k->item[from + j].cost;
        extend(before, s->reach[i], s->reach[i + 1]);
        s->best[i] = xmalloc((size_t)s->reach[i + 1] + 1);
        frontier_step(next, s->best[i], before, s->reach[i + 1] + 1, s->shift + from, price, options);
        double *swap = before;
        before = next, next = swap;
    }
    free(next);
    return before;
}

static void find_points(AllocationFrontier *f, const double *cost)
{
    int64_t smallest = 0;
    const Knapsack *k = &f->steps->knapsack;
    for (int c = 0; c < k->n_classes; c++) smallest += k->item[k->first[c]].size;
    for (int64_t w = 0; w <= f->range; w++) f->n += w == 0 || cost[w] < cost[w - 1];
    f->size = xmalloc((size_t)f->n * sizeof *f->size), f->cost = xmalloc((size_t)f->n * sizeof *f->cost);
    f->on_hull = xcalloc((unsigned long)f->n, sizeof *f->on_hull);
    f->steps->at = xmalloc((size_t)f->n * sizeof *f->steps->at);
    int64_t n = 0;
    for (int64_t w = 0; w <= f->range; w++) {
        if (w > 0 && !(cost[w] < cost[w - 1])) continue;
        f->size[n] = smallest + w * f->unit, f->cost[n] = cost[w], f->steps->at[n++] = w;
    }
}

/* Saved per bit from one breakpoint to another. */
static double slope(const AllocationFrontier *f, int64_t from, int64_t to)
{
    return (f->cost[from] - f->cost[to]) / (double)(f->size[to] - f->size[from]);
}

static void mark_hull(AllocationFrontier *f)
{
    int64_t *corner = xmalloc((size_t)f->n * sizeof *corner), n = 0;
    for (int64_t i = 0; i < f->n; i++) {
        while (n > 1 && slope(f, corner[n - 2], corner[n - 1]) < slope(f, corner[n - 1], i)) n--;
        corner[n++] = i;
    }
    for (int64_t i = 0; i < n; i++) f->on_hull[corner[i]] = true;
    free(corner);
}

int frontier_init(AllocationFrontier *out, const Classes *classes, int64_t memory)
{
    const size_t items = (size_t)classes->first[classes->n_classes], n = (size_t)classes->n_classes;
    Steps *s = xcalloc(1, sizeof *s);
    AllocationFrontier f = { .classes = classes, .steps = s };
    s->item = xmalloc(items * sizeof *s->item), s->first = xmalloc((n + 1) * sizeof *s->first), s->order = xmalloc(n * sizeof *s->order);
    s->shift = xmalloc(items * sizeof *s->shift), s->reach = xmalloc((n + 1) * sizeof *s->reach), s->best = xcalloc(n, sizeof *s->best);
    classes_knapsack(&s->knapsack, s->item, s->first, classes, NULL);
    f.unit = measure(s);
    order_classes(s, f.unit);
    f.range = s->reach[n];
    const int status = check_limits(s, memory);
    if (status != OK) {
        frontier_free(&f);
        return status;
    }
    double *cost = fill_steps(s);
    find_points(&f, cost);
    free(cost);
    mark_hull(&f);
    *out = f;
    return OK;
}

void frontier_free(AllocationFrontier *frontier)
{
    if (!frontier || !frontier->steps) return;
    Steps *s = frontier->steps;
    for (int i = 0; i < s->knapsack.n_classes; i++) free(s->best[i]);
    free(s->item), free(s->first), free(s->order), free(s->shift), free(s->reach), free(s->best), free(s->at), free(s);
    free(frontier->size), free(frontier->cost), free(frontier->on_hull);
    *frontier = (AllocationFrontier){ 0 };
}

void frontier_rows(int *row, const AllocationFrontier *frontier, int64_t point)
{
    const Steps *s = frontier->steps;
    const int n = s->knapsack.n_classes;
    const Item **option = xmalloc((size_t)n * sizeof *option);
    int64_t w = s->at[point];
    for (int i = n - 1; i >= 0; i--) {
        const int chosen = s->first[s->order[i]] + s->best[i][w];
        option[s->order[i]] = &s->item[chosen];
        w -= s->shift[chosen];
        if (w > s->reach[i]) w = s->reach[i];           /* where it was extended */
    }
    classes_rows(row, frontier->classes, option);
    free(option);
}
