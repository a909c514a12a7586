#include "core/allocate/best.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocation.h"
#include "core/base/err.h"

static const double ROUND_DOWN = 1 - 1e-12;

/* The allocations that agree with solution `parent` in the classes before `class` and take none of `out` there. */
typedef struct {
    double key;                     /* cost where solved, otherwise a bound from below              */
    int64_t number;                 /* order of birth, so that ties do not depend on the heap       */
    int parent, class, n_out, *out; /* parent: index of an answer, -1: all allocations; out: options */
    int *solution;                  /* [n_classes] options; NULL: not yet solved                    */
    bool proven;
    KnapsackBound bound;
} Part;

typedef struct {
    const Classes *classes;
    int64_t capacity, born;
    double price, base;             /* of the whole problem; its dual bound, rounded down           */
    double *reduced;                /* [options] >= 0: what an option costs more than its class's best, bits paid for */
    Part *heap;
    int n_heap, heap_room;
    int **answer;                   /* [k][n_classes] options                                       */
    bool *use;                      /* [options] */
    Item *item;
    int *first, *chosen;
} Search;

/* ---- a heap of parts, cheapest first ---- */

static bool sooner(const Part *a, const Part *b)
{
    if (a->key != b->key) return a->key < b->key;
    if (!a->solution != !b->solution) return a->solution != NULL;
    return a->number < b->number;
}

static void push(Search *s, Part part)
{
    if (s->n_heap == s->heap_room) {
        s->heap_room = s->heap_room ? 2 * s->heap_room : 256;
        s->heap = xrealloc(s->heap, (size_t)s->heap_room * sizeof *s->heap);
    }
    int at = s->n_heap++;
    for (; at > 0 && sooner(&part, &s->heap[(at - 1) / 2]); at = (at - 1) / 2) s->heap[at] = s->heap[(at - 1) / 2];
    s->heap[at] = part;
}

static Part pop(Search *s)
{
    const Part first = s->heap[0], last = s->heap[--s->n_heap];
    int at = 0;
    for (int child = 1; child < s->n_heap; at = child, child = 2 * at + 1) {
        if (child + 1 < s->n_heap && sooner(&s->heap[child + 1], &s->heap[child])) child++;
        if (!sooner(&s->heap[child], &last)) break;
        s->heap[at] = s->heap[child];
    }
    s->heap[at] = last;
    return first;
}

static void part_free(Part *part) { free(part->out), free(part->solution); }

/* ---- solving a part ---- */

static void restrict_to(Search *s, const Part *part)
{
    const Classes *c = s->classes;
    for (int i = 0; i < c->n_classes; i++)
        for (int j = c->first[i]; j < c->first[i + 1]; j++)
            s->use[j] = part->parent < 0 || i >= part->class || j == s->answer[part->parent][i];
    for (int k = 0; k < part->n_out; k++) s->use[part->out[k]] = false;
}

static int option_of(const Classes *c, int class, const Item *item)
{
    int j = c->first[class];
    while (c->option[j].row != item->row) j++;
    return j;
}

/* False where no allocation of the part fits. */
static bool solve(Search *s, Part *part)
{
    const Classes *c = s->classes;
    Knapsack knapsack;
    int64_t least = 0;
    restrict_to(s, part);
    if (!classes_knapsack(&knapsack, s->item, s->first, c, s->use)) return false;
    for (int i = 0; i < c->n_classes; i++) least += s->item[s->first[i]].size;
    if (least > s->capacity) return false;
    knapsack.capacity = s->capacity;
    part->proven = knapsack_solve(s->chosen, &part->bound, &knapsack, MAX_STATES);
    part->solution = xmalloc((size_t)c->n_classes * sizeof *part->solution);
    part->key = 0;
    for (int i = 0; i < c->n_classes; i++) {
        part->solution[i] = option_of(c, i, &s->item[s->chosen[i]]);
        part->key += c->option[part->solution[i]].cost;
    }
    return true;
}

/* ---- splitting what an answer leaves ---- */

static double least_left(const Search *s, int class, const int *out, int n_out)
{
    double least = INFINITY;
    for (int j = s->classes->first[class]; j < s->classes->first[class + 1]; j++) {
        bool is_out = false;
        for (int k = 0; k < n_out && !is_out; k++) is_out = out[k] == j;
        if (!is_out) least = fmin(least, s->reduced[j]);
    }
    return least;
}

static void split(Search *s, const Part *solved, int answer)
{
    double before = 0;                                          /* reduced costs of the classes that are fixed */
    for (int i = 0; i < s->classes->n_classes; i++) {
        const int taken = solved->solution[i], inherited = i == solved->class ? solved->n_out : 0;
        if (i >= solved->class) {
            Part part = { .number = s->born++, .parent = answer, .class = i, .n_out = inherited + 1 };
            part.out = xmalloc((size_t)part.n_out * sizeof *part.out);
            for (int k = 0; k < inherited; k++) part.out[k] = solved->out[k];
            part.out[inherited] = taken;
            part.key = fmax(0, s->base + (before + least_left(s, i, part.out, part.n_out)) * ROUND_DOWN);
            if (isfinite(part.key)) push(s, part);
            else part_free(&part);
        }
        before += s->reduced[taken];
    }
}

/* ---- answers ---- */

/* Rounded up: the certificate may claim less than is true, not more. */
static double gap_of(const Search *s, const Part *part, int64_t size)
{
    double gap = s->price * (double)(s->capacity - size);
    for (int i = 0; i < s->classes->n_classes; i++) gap += s->reduced[part->solution[i]];
    return gap / ROUND_DOWN;
}

static void fill(Allocation *out, const Search *s, const Part *part, const Budget *budget)
{
    const Classes *c = s->classes;
    const Knapsack all = { c->n_classes, c->first, c->option, s->capacity };
    const KnapsackBound bound = { part->bound.lower, s->price, gap_of(s, part, knapsack_size(&all, part->solution)) };
    allocation_fill(out, c, budget, &all, part->solution, part->proven, &bound);
    if (part->proven) out->lower_bound = out->cost;
}

static void price_options(Search *s, double price)
{
    const Classes *c = s->classes;
    s->price = price;
    for (int i = 0; i < c->n_classes; i++) {
        const Item *base = &c->option[c->first[i]];
        for (int j = c->first[i]; j < c->first[i + 1]; j++) {
            const Item *item = &c->option[j];
            if ((item->cost - base->cost) + price * (double)(item->size - base->size) < 0) base = item;
        }
        for (int j = c->first[i]; j < c->first[i + 1]; j++)
            s->reduced[j] = fmax(0, (c->option[j].cost - base->cost) + price * (double)(c->option[j].size - base->size));
    }
}

static int run(Allocation *out, Search *s, const Budget *budget, int k)
{
    int n = 0;
    Part root = { .parent = -1, .number = s->born++ };
    solve(s, &root);
    price_options(s, root.bound.price);
    s->base = (root.key - root.bound.excess) - (1 - ROUND_DOWN) * root.key;
    push(s, root);
    bool proven = true;
    while (s->n_heap > 0 && n < k) {
        Part part = pop(s);
        if (!part.solution) {
            if (solve(s, &part)) push(s, part);
            else part_free(&part);
            continue;
        }
        proven = part.proven = part.proven && proven;
        fill(&out[n], s, &part, budget);
        s->answer[n] = part.solution;
        split(s, &part, n++);
        free(part.out);
    }
    return n;
}

int allocate_best(Allocation *out, int *n, const Classes *classes, const Budget *budget, int k)
{
    int64_t capacity = 0;
    TRY(budget_capacity(&capacity, budget, classes->weights));
    if (classes->least > capacity) return budget_too_small(budget, classes->least, classes, classes->constrained ? " that keeps the constraints" : "");
    const size_t options = (size_t)classes->first[classes->n_classes], n_classes = (size_t)classes->n_classes;
    Search s = {
        .classes = classes, .capacity = capacity, .reduced = xmalloc(options * sizeof *s.reduced), .answer = xcalloc((size_t)k, sizeof *s.answer),
        .use = xmalloc(options * sizeof *s.use), .item = xmalloc(options * sizeof *s.item), .first = xmalloc((n_classes + 1) * sizeof *s.first),
        .chosen = xmalloc(n_classes * sizeof *s.chosen),
    };
    *n = run(out, &s, budget, k);
    for (int i = 0; i < s.n_heap; i++) part_free(&s.heap[i]);
    for (int i = 0; i < *n; i++) free(s.answer[i]);
    free(s.reduced), free(s.answer), free(s.use), free(s.item), free(s.first), free(s.chosen), free(s.heap);
    return OK;
}
