#include "core/allocate/rules.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocation.h"
#include "core/allocate/classes.h"
#include "core/base/err.h"
#include "core/model/model.h"

/* ---- common choices ---- */

typedef struct { int64_t size; double cost; int *row; } Common;        /* of the whole model; row[n_layers] */
typedef struct { int n; Common *choice; } Ladder;                       /* sizes ascending, costs descending */

static void ladder_free(Ladder *ladder)
{
    for (int k = 0; k < ladder->n; k++) free(ladder->choice[k].row);
    free(ladder->choice);
}

/* row[n_layers] of the choices of this name, -1 where a layer has none. */
static int rows_of_name(int *row, const ChoiceTable *table, const char *name)
{
    for (int l = 0; l < table->n_layers; l++) row[l] = -1;
    for (int j = 0; j < table->n_choices; j++) {
        if (strcmp(table->row_name[j], name) != 0) continue;
        if (row[table->row_layer[j]] >= 0) FAIL(ERR_ARGUMENT, "layer '%s' has the choice '%s' twice", table->layer[table->row_layer[j]], name);
        row[table->row_layer[j]] = j;
    }
    return OK;
}

static int64_t size_of(const ChoiceTable *table, int row)
{
    return choice_size(table->weights[table->row_layer[row]], table->row_bits[row]);
}

/* Whether every layer has one; adds them up. */
static bool sum_up(Common *out, const ChoiceTable *table)
{
    out->size = 0, out->cost = 0;
    for (int l = 0; l < table->n_layers; l++) {
        if (out->row[l] < 0) return false;
        out->size += size_of(table, out->row[l]);
        out->cost += fmax(table->row_cost[out->row[l]], 0);
    }
    return true;
}

static int compare_common(const void *a, const void *b)
{
    const Common *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return x->row[0] - y->row[0];
}

static void drop_dominated(Ladder *ladder)
{
    int kept = 0;
    qsort(ladder->choice, (size_t)ladder->n, sizeof *ladder->choice, compare_common);
    for (int k = 0; k < ladder->n; k++) {
        if (kept == 0 || ladder->choice[k].cost < ladder->choice[kept - 1].cost) ladder->choice[kept++] = ladder->choice[k];
        else free(ladder->choice[k].row);
    }
    ladder->n = kept;
}

static int ladder_build(Ladder *ladder, const ChoiceTable *table)
{
    *ladder = (Ladder){ 0, xmalloc(sizeof *ladder->choice * (size_t)table->n_choices) };
    for (int j = 0; j < table->n_choices; j++) {
        if (table->row_layer[j] != 0) continue;                 /* a common name is one of the first layer's */
        Common common = { .row = xmalloc(sizeof *common.row * (size_t)table->n_layers) };
        const int status = rows_of_name(common.row, table, table->row_name[j]);
        if (status == OK && sum_up(&common, table)) ladder->choice[ladder->n++] = common;
        else free(common.row);
        if (status != OK) {
            ladder_free(ladder);
            return status;
        }
    }
    drop_dominated(ladder);
    return OK;
}

/* ---- one step up in an order of layers ---- */

/* Where layers stand in the order: least first, equal ones in the table's order. */
typedef int (*Rank)(LayerPlace place, int n_blocks);

/* 0, B-1, 1, B-2 .. */
static int rank_of_block(LayerPlace place, int n_blocks)
{
    const int from_end = n_blocks - 1 - place.block;
    return place.block <= from_end ? 2 * place.block : 2 * from_end + 1;
}

static int rank_of_type(LayerPlace place, int n_blocks)
{
    static const int rank[LAYER_TYPES] = {
        [WEIGHT_V] = 0, [WEIGHT_DOWN] = 1, [WEIGHT_O] = 2, [WEIGHT_K] = 3, [WEIGHT_Q] = 4, [WEIGHT_UP] = 5, [WEIGHT_GATE] = 6,
    };
    return rank[place.type] * n_blocks + rank_of_block(place, n_blocks);
}

typedef struct { int rank, layer; } Turn;

static int compare_turns(const void *a, const void *b)
{
    const Turn *x = a, *y = b;
    return x->rank != y->rank ? (x->rank < y->rank ? -1 : 1) : x->layer - y->layer;
}

/* turn[n]: the caller frees. */
static Turn *turns(const LayerPlace *place, int n, Rank rank)
{
    int n_blocks = 0;
    for (int l = 0; l < n; l++) {
        assert(place[l].block >= 0 && place[l].type >= 0 && place[l].type < LAYER_TYPES);
        if (place[l].block >= n_blocks) n_blocks = place[l].block + 1;
    }
    Turn *turn = xmalloc(sizeof *turn * (size_t)n);
    for (int l = 0; l < n; l++) turn[l] = (Turn){ rank(place[l], n_blocks), l };
    qsort(turn, (size_t)n, sizeof *turn, compare_turns);
    return turn;
}

static void raise_in_turn(int *row, const Turn *turn, const ChoiceTable *table, const Common *base, const Common *next, int64_t capacity)
{
    int64_t left = capacity - base->size;
    memcpy(row, base->row, sizeof *row * (size_t)table->n_layers);
    for (int i = 0; next && i < table->n_layers; i++) {
        const int l = turn[i].layer;
        const int64_t more = size_of(table, next->row[l]) - size_of(table, base->row[l]);
        if (more <= left) row[l] = next->row[l], left -= more;
    }
}

static int fill_from_ladder(int *row, const Ladder *ladder, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place,
                            double budget, Rank rank)
{
    const int64_t capacity = allocation_capacity(table, budget);
    int base = -1;
    while (base + 1 < ladder->n && ladder->choice[base + 1].size <= capacity) base++;
    if (ladder->n == 0) FAIL(ERR_ARGUMENT, "rule '%s': no choice is common to all layers", rule->name);
    if (base < 0) FAIL(ERR_BUDGET, "rule '%s': no choice common to all layers fits %g bits per weight", rule->name, budget);
    Turn *turn = turns(place, table->n_layers, rank);
    raise_in_turn(row, turn, table, &ladder->choice[base], base + 1 < ladder->n ? &ladder->choice[base + 1] : NULL, capacity);
    free(turn);
    return OK;
}

static int choose_in_order(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget, Rank rank)
{
    Ladder ladder;
    TRY(ladder_build(&ladder, table));
    const int status = fill_from_ladder(row, &ladder, rule, table, place, budget, rank);
    ladder_free(&ladder);
    return status;
}

static int choose_ends(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget)
{
    return choose_in_order(row, rule, table, place, budget, rank_of_block);
}

static int choose_types(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget)
{
    return choose_in_order(row, rule, table, place, budget, rank_of_type);
}

/* ---- from costs, without a solver ---- */

/* The table as a knapsack, one class for each layer. */
typedef struct { Classes classes; Item *item; int *first; Knapsack knapsack; } Plain;

static void plain_free(Plain *plain)
{
    classes_free(&plain->classes);
    free(plain->item);
    free(plain->first);
}

static int plain_init(Plain *out, const ChoiceTable *table, double budget)
{
    Plain plain = { 0 };
    int64_t capacity = 0;
    const Budget average = { .average = budget };
    TRY(classes_init(&plain.classes, table, NULL));
    int status = budget_capacity(&capacity, &average, plain.classes.weights);
    if (status == OK && plain.classes.least > capacity) status = budget_too_small(&average, plain.classes.least, &plain.classes, "");
    plain.item = xmalloc(sizeof *plain.item * (size_t)table->n_choices), plain.first = xmalloc(sizeof *plain.first * ((size_t)table->n_layers + 1));
    if (status == OK) classes_knapsack(&plain.knapsack, plain.item, plain.first, &plain.classes, NULL);
    plain.knapsack.capacity = capacity;
    if (status == OK) *out = plain;
    else plain_free(&plain);
    return status;
}

/* The layer whose step saves most per bit among those that fit; -1 where none does.  at: the item that each has. */
static int steepest_step(const Knapsack *k, const int *at, int64_t left)
{
    int steepest = -1;
    double slope = 0;
    for (int l = 0; l < k->n_classes; l++) {
        const Item *now = &k->item[at[l]], *next = now + 1;
        if (at[l] + 1 == k->first[l + 1] || next->size - now->size > left) continue;
        const double saved = (now->cost - next->cost) / (double)(next->size - now->size);
        if (steepest < 0 || saved > slope) steepest = l, slope = saved;
    }
    return steepest;
}

static void step_greedily(int *at, const Knapsack *k)
{
    for (int l = 0; l < k->n_classes; l++) at[l] = k->first[l];
    int64_t left = k->capacity - knapsack_size(k, at);
    for (int l; (l = steepest_step(k, at, left)) >= 0; at[l]++) left -= k->item[at[l] + 1].size - k->item[at[l]].size;
}

/* The smallest items of cost c at most; whether every class has one and they fit. */
static bool fits_threshold(int *at, const Knapsack *k, double c)
{
    for (int l = 0; l < k->n_classes; l++) {
        at[l] = k->first[l];
        while (at[l] < k->first[l + 1] && k->item[at[l]].cost > c) at[l]++;
        if (at[l] == k->first[l + 1]) return false;
    }
    return knapsack_size(k, at) <= k->capacity;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The least threshold is a cost of the table.  The largest of them always fits: it leaves all at their smallest. */
static void bisect_threshold(int *at, const Knapsack *k)
{
    const int n = k->first[k->n_classes];
    double *c = xmalloc(sizeof *c * (size_t)n);
    for (int j = 0; j < n; j++) c[j] = k->item[j].cost;
    qsort(c, (size_t)n, sizeof *c, compare_doubles);
    int low = 0, high = n - 1;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (fits_threshold(at, k, c[middle])) high = middle;
        else low = middle + 1;
    }
    fits_threshold(at, k, c[high]);
    free(c);
}

static int choose_by_cost(int *row, const ChoiceTable *table, double budget, void (*choose)(int *at, const Knapsack *k))
{
    Plain plain;
    TRY(plain_init(&plain, table, budget));
    choose(row, &plain.knapsack);
    for (int l = 0; l < table->n_layers; l++) row[l] = plain.classes.row[plain.item[row[l]].row];
    plain_free(&plain);
    return OK;
}

static int choose_greedy(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget)
{
    (void)rule, (void)place;
    return choose_by_cost(row, table, budget, step_greedily);
}

static int choose_threshold(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget)
{
    (void)rule, (void)place;
    return choose_by_cost(row, table, budget, bisect_threshold);
}

/* ---- the list ---- */

static const AllocationRule ends = { "ends", "one size for all, the outermost blocks one step larger", choose_ends };
static const AllocationRule types = { "types", "one size for all, v, down, o, k, q, up, gate in turn one step larger", choose_types };
static const AllocationRule greedy = { "greedy", "from the smallest, step by step what saves most per bit", choose_greedy };
static const AllocationRule threshold = { "threshold", "every layer the smallest choice below one common cost", choose_threshold };

const AllocationRule *const allocation_rules[] = { &ends, &types, &greedy, &threshold, NULL };

int allocation_rule_apply(int *row, const AllocationRule *rule, const ChoiceTable *table, const LayerPlace *place, double budget)
{
    Plain plain;
    TRY(plain_init(&plain, table, budget));             /* for its checks */
    plain_free(&plain);
    int *chosen = xmalloc(sizeof *chosen * (size_t)table->n_layers);
    const int status = rule->choose(chosen, rule, table, place, budget);
    if (status == OK) memcpy(row, chosen, sizeof *row * (size_t)table->n_layers);
    free(chosen);
    return status;
}
