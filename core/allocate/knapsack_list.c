/*
 * knapsack_list.c - dynamic programming over lists of partial sums
 *
 * Classes are added one by one.  A state is a choice for the classes so far, a list holds the states that
 * may still lead to an excess below the threshold, size ascending and cost strictly descending: a state
 * that is neither smaller nor cheaper than another is dropped.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/knapsack.h"
#include "core/base/err.h"

static const double ROUND_DOWN = 1 - 1e-12;

typedef struct { int64_t size; double cost, reduced; } State;
typedef struct { int32_t parent, item; } Origin;            /* state in the list before, item added */
typedef struct { State *state; int n, capacity; } List;

/* A class with more than one item that matters, and what the classes after it can still add. */
typedef struct {
    int class, n_items, *item;
    double nearest;                                         /* smallest r beside the base's */
    int64_t rest_smallest, rest_largest;
    double rest_reduced;
} Branch;

typedef struct {
    const Knapsack *knapsack;
    const Dual *dual;
    double threshold;
    int64_t max_states;
    Branch *branch;                                         /* [n_branches], in the order of adding */
    int n_branches, *kept;                                  /* kept: storage of branch[].item       */
    State root;                                             /* classes that have no choice left     */
    Origin *origin;                                         /* of all states of all lists           */
    int64_t n_origins, origin_capacity, *list_start;        /* [n_branches + 1] */
} Search;

static int compare_branches(const void *a, const void *b)
{
    const Branch *x = a, *y = b;
    if (x->nearest != y->nearest) return x->nearest < y->nearest ? -1 : 1;
    return x->class - y->class;
}

/* What rounding may have left below 0: the least that the r of all classes add up to. */
static double least_reduced(const Knapsack *knapsack, const Enclosure *reduced)
{
    double sum = 0;
    for (int l = 0; l < knapsack->n_classes; l++) {
        double low = INFINITY;
        for (int j = knapsack->first[l]; j < knapsack->first[l + 1]; j++) low = fmin(low, reduced[j].low);
        sum += low;
    }
    return sum;
}

/* Keeps the items whose r alone does not reach the threshold; classes with one such item join the root. */
static void select_items(Search *search, int *chosen)
{
    const Knapsack *knapsack = search->knapsack;
    const Enclosure *reduced = search->dual->reduced;
    const double least = least_reduced(knapsack, reduced);
    int *free_slot = search->kept;
    for (int l = 0; l < knapsack->n_classes; l++) {
        Branch branch = { .class = l, .item = free_slot, .nearest = INFINITY };
        for (int j = knapsack->first[l]; j < knapsack->first[l + 1]; j++) {
            if (!((reduced[j].low + least) * ROUND_DOWN < search->threshold)) continue;
            branch.item[branch.n_items++] = j;
            if (reduced[j].high > 0) branch.nearest = fmin(branch.nearest, reduced[j].low);
        }
        if (branch.n_items > 1) {
            search->branch[search->n_branches++] = branch;
            free_slot += branch.n_items;
        } else {
            const int only = chosen[l] = branch.item[0];
            search->root.size += knapsack->item[only].size;
            search->root.cost += knapsack->item[only].cost;
            search->root.reduced += reduced[only].low;
        }
    }
    qsort(search->branch, (size_t)search->n_branches, sizeof *search->branch, compare_branches);
}

static void sum_up_rests(Search *search)
{
    int64_t smallest = 0, largest = 0;
    double least = 0;
    for (int i = search->n_branches - 1; i >= 0; i--) {
        Branch *branch = &search->branch[i];
        branch->rest_smallest = smallest, branch->rest_largest = largest, branch->rest_reduced = least;
        double low = INFINITY;
        for (int k = 0; k < branch->n_items; k++) low = fmin(low, search->dual->reduced[branch->item[k]].low);
        smallest += search->knapsack->item[branch->item[0]].size;
        largest += search->knapsack->item[branch->item[branch->n_items - 1]].size;
        least += low;
    }
}

/* Can the state still become feasible with an excess below the threshold?  Room that the rest cannot
 * fill is paid for. */
static bool promising(const Search *search, const Branch *branch, const State *state)
{
    const int64_t room = search->knapsack->capacity - state->size;
    if (room < branch->rest_smallest) return false;
    const double unfilled = room > branch->rest_largest ? (double)(room - branch->rest_largest) : 0;
    const double bound = state->reduced + branch->rest_reduced + search->dual->price * unfilled;
    return bound * ROUND_DOWN < search->threshold;
}

static bool push(Search *search, List *list, const State *state, Origin origin)
{
    if (search->n_origins == search->max_states) return false;
    if (search->n_origins == search->origin_capacity) {
        search->origin_capacity = search->origin_capacity ? 2 * search->origin_capacity : 1024;
        search->origin = xrealloc(search->origin, (size_t)search->origin_capacity * sizeof *search->origin);
    }
    if (list->n == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 256;
        list->state = xrealloc(list->state, (size_t)list->capacity * sizeof *list->state);
    }
    search->origin[search->n_origins++] = origin;
    list->state[list->n++] = *state;
    return true;
}

static State add(const Search *search, const State *state, int item)
{
    return (State){ state->size + search->knapsack->item[item].size, state->cost + search->knapsack->item[item].cost,
                    state->reduced + search->dual->reduced[item].low };
}

static bool before(const State *a, const State *b)
{
    return a->size != b->size ? a->size < b->size : a->cost < b->cost;
}

/* Where one of the merged lists stands: its next state; of size INT64_MAX behind the last. */
typedef struct { State state; int at; } Front;

static void move_on(Front *front, const Search *search, const List *list, int at, int item)
{
    front->at = at;
    front->state = at < list->n ? add(search, &list->state[at], item) : (State){ INT64_MAX, INFINITY, INFINITY };
}

/* next = list + each item of the branch: a merge of as many sorted lists as there are items. */
static bool expand(Search *search, List *next, const List *list, const Branch *branch, Front *front)
{
    double cheapest = INFINITY;
    next->n = 0;
    for (int k = 0; k < branch->n_items; k++) move_on(&front[k], search, list, 0, branch->item[k]);
    for (;;) {
        int from = 0;
        for (int k = 1; k < branch->n_items; k++)
            if (before(&front[k].state, &front[from].state)) from = k;
        const State first = front[from].state;
        if (first.size == INT64_MAX) return true;
        const Origin origin = { front[from].at, branch->item[from] };
        move_on(&front[from], search, list, front[from].at + 1, branch->item[from]);
        if (!(first.cost < cheapest) || !promising(search, branch, &first)) continue;
        if (!push(search, next, &first, origin)) return false;
        cheapest = first.cost;
    }
}

/* The last state of the last list is the cheapest. */
static void trace_back(int *chosen, const Search *search, const List *list)
{
    int32_t at = list->n - 1;
    for (int i = search->n_branches - 1; i >= 0; i--) {
        const Origin origin = search->origin[search->list_start[i] + at];
        chosen[search->branch[i].class] = origin.item;
        at = origin.parent;
    }
}

static SearchOutcome run(int *chosen, Search *search, Front *front)
{
    List list = { 0 }, next = { 0 };
    const Branch nothing_left = { 0 };
    SearchOutcome outcome = SEARCH_TOO_LARGE;
    list.state = xmalloc(sizeof *list.state);
    list.capacity = 1;
    if (search->n_branches > 0 || promising(search, &nothing_left, &search->root)) list.state[list.n++] = search->root;
    for (int i = 0; i < search->n_branches; i++) {
        search->list_start[i] = search->n_origins;
        if (!expand(search, &next, &list, &search->branch[i], front)) goto done;
        List swap = list;
        list = next, next = swap;
    }
    outcome = list.n > 0 ? SEARCH_FOUND : SEARCH_EMPTY;
    if (outcome == SEARCH_FOUND) trace_back(chosen, search, &list);
done:
    free(list.state);
    free(next.state);
    return outcome;
}

SearchOutcome knapsack_search(int *chosen, const Knapsack *knapsack, const Dual *dual, double threshold, int64_t max_states)
{
    const size_t n_items = (size_t)knapsack->first[knapsack->n_classes], n_classes = (size_t)knapsack->n_classes;
    Search search = {
        .knapsack = knapsack, .dual = dual, .threshold = threshold,
        .max_states = max_states < INT32_MAX ? max_states : INT32_MAX,
        .branch = xmalloc(n_classes * sizeof *search.branch), .kept = xmalloc(n_items * sizeof *search.kept),
        .list_start = xmalloc(n_classes * sizeof *search.list_start),
    };
    Front *front = xmalloc(n_items * sizeof *front);
    select_items(&search, chosen);
    sum_up_rests(&search);
    SearchOutcome outcome = run(chosen, &search, front);
    free(search.branch), free(search.kept), free(search.list_start), free(search.origin), free(front);
    return outcome;
}
