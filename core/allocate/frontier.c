#include "core/allocate/frontier.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/size.h"

static void find_points(AllocationFrontier *f)
{
    const double *cost = f->dense.cost;
    for (int64_t w = 0; w <= f->range; w++) f->n += w == 0 || cost[w] < cost[w - 1];
    f->size = xmalloc((size_t)f->n * sizeof *f->size), f->cost = xmalloc((size_t)f->n * sizeof *f->cost);
    f->on_hull = xcalloc((unsigned long)f->n, sizeof *f->on_hull);
    int64_t n = 0;
    for (int64_t w = 0; w <= f->range; w++)
        if (w == 0 || cost[w] < cost[w - 1]) f->size[n] = f->dense.smallest + w * f->unit, f->cost[n++] = cost[w];
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

static int run(AllocationFrontier *f, int64_t memory)
{
    const double bytes = dense_bytes(&f->dense) + 25 * ((double)f->range + 1);          /* and the breakpoints */
    char needed[SIZE_TEXT], given[SIZE_TEXT];
    if (bytes > (double)memory)
        FAIL(ERR_MEMORY, "the frontier has up to %lld sizes and needs %s, more than the %s of --memory; --budget takes next to none",
             (long long)f->range + 1, size_text(needed, (int64_t)(bytes < 9e18 ? bytes : 9e18)), size_text(given, memory));
    if (!dense_run(&f->dense)) FAIL(ERR_UNSUPPORTED, "the frontier takes at most 256 choices a layer");
    return OK;
}

int frontier_init(AllocationFrontier *out, const Classes *classes, int64_t memory)
{
    AllocationFrontier f = { .classes = classes, .knapsack = xmalloc(sizeof *f.knapsack) };
    f.item = xmalloc((size_t)classes->first[classes->n_classes] * sizeof *f.item);
    f.first = xmalloc(((size_t)classes->n_classes + 1) * sizeof *f.first);
    classes_knapsack(f.knapsack, f.item, f.first, classes, NULL);
    f.knapsack->capacity = INT64_MAX;
    dense_init(&f.dense, f.knapsack);
    f.unit = f.dense.unit, f.range = f.dense.range;
    const int status = run(&f, memory);
    if (status == OK) {
        find_points(&f);
        mark_hull(&f);
        *out = f;
    } else {
        frontier_free(&f);
    }
    return status;
}

void frontier_free(AllocationFrontier *frontier)
{
    if (!frontier || !frontier->knapsack) return;
    dense_free(&frontier->dense);
    free(frontier->item), free(frontier->first), free(frontier->knapsack);
    free(frontier->size), free(frontier->cost), free(frontier->on_hull);
    *frontier = (AllocationFrontier){ 0 };
}

void frontier_rows(int *row, const AllocationFrontier *frontier, int64_t point)
{
    const int n = frontier->classes->n_classes;
    int *chosen = xmalloc((size_t)n * sizeof *chosen);
    const Item **option = xmalloc((size_t)n * sizeof *option);
    dense_choose(chosen, &frontier->dense, (frontier->size[point] - frontier->dense.smallest) / frontier->unit);
    for (int c = 0; c < n; c++) option[c] = &frontier->item[chosen[c]];
    classes_rows(row, frontier->classes, option);
    free(option), free(chosen);
}
