/*
 * lsaq_plans.c - which blocks get more bits: by every order, and by exact allocation within the same bytes
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/classes.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/estimate/predict.h"
#include "experiments/lsaq/lsaq.h"

/* ---- pairs and numbers ---- */

/* A choice by its name, or by its bits where no other has as many; -1: none. */
static int find_choice(const Lsaq *l, const char *word)
{
    int found = -1;
    for (int c = 0; c < l->d.n_choices; c++) {
        const Choice *choice = dynamic_choice(&l->d, c);
        if (!strcmp(choice->name, word)) return c;
        if (!options_has(choice->options, "bits") || strcmp(options_text(choice->options, "bits"), word)) continue;
        if (found >= 0) return -1;
        found = c;
    }
    return found;
}

/* The choice in few words: its bits where they tell it from all others. */
static const char *short_name(const Lsaq *l, int c)
{
    const Choice *choice = dynamic_choice(&l->d, c);
    const char *bits = options_has(choice->options, "bits") ? options_text(choice->options, "bits") : choice->name;
    return find_choice(l, bits) == c ? bits : choice->name;
}

static int add_pair(Lsaq *l, int high, int low)
{
    char *name = xstrdup(short_name(l, high)), *both = xformat("%s/%s", name, short_name(l, low));
    free(name);
    l->pair = xrealloc(l->pair, sizeof *l->pair * (size_t)(l->n_pairs + 1));
    l->pair[l->n_pairs++] = (Pair){ high, low, both };
    if (high == low) FAIL(ERR_ARGUMENT, "lsaq.pairs: '%s' is the same choice twice", both);
    return OK;
}

static int read_pair(Lsaq *l, const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash) FAIL(ERR_ARGUMENT, "lsaq.pairs: '%s' is no HIGH/LOW, such as 4/2", text);
    char *high = strndup(text, (size_t)(slash - text));
    const int h = find_choice(l, high), low = find_choice(l, slash + 1);
    free(high);
    if (h < 0 || low < 0)
        FAIL(ERR_ARGUMENT, "lsaq.pairs: '%s' does not name two of the choices, each by its name (%s) or by bits that no other has", text, dynamic_choice(&l->d, 0)->name);
    return add_pair(l, h, low);
}

/* Bits of the codes, as the options have them: without looking at weights nothing else is known. */
static double bits_of(const Lsaq *l, int c)
{
    const Choice *choice = dynamic_choice(&l->d, c);
    return options_has(choice->options, "bits") ? options_number(choice->options, "bits") : NAN;
}

static int default_pair(Lsaq *l)
{
    int high = 0, low = 0;
    for (int c = 0; c < l->d.n_choices; c++) {
        if (isnan(bits_of(l, c))) FAIL(ERR_ARGUMENT, "lsaq.pairs: '%s' has no bits to know its size by; give the pairs by name", dynamic_choice(&l->d, c)->name);
        if (bits_of(l, c) > bits_of(l, high)) high = c;
        if (bits_of(l, c) < bits_of(l, low)) low = c;
    }
    return add_pair(l, high, low);
}

static int compare_integers(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int high_init(Lsaq *l)
{
    const Options *options = l->run->options;
    const int given = options_count(options, "lsaq.high"), quarters = 5;
    l->high = xmalloc(sizeof *l->high * (size_t)(given + quarters));
    for (int i = 0; i < (given ? given : quarters); i++) l->high[i] = given ? (int)options_integer_at(options, "lsaq.high", i) : (int)floor(l->n_blocks * i / 4. + .5);
    l->n_high = given ? given : quarters;
    qsort(l->high, (size_t)l->n_high, sizeof *l->high, compare_integers);
    int n = 0;
    for (int i = 0; i < l->n_high; i++)
        if (i == 0 || l->high[i] != l->high[i - 1]) l->high[n++] = l->high[i];
    l->n_high = n;
    if (l->high[n - 1] > l->n_blocks) FAIL(ERR_ARGUMENT, "lsaq.high: %d blocks of %d", l->high[n - 1], l->n_blocks);
    return OK;
}

int pairs_init(Lsaq *l)
{
    const Options *options = l->run->options;
    const int given = options_count(options, "lsaq.pairs");
    for (int p = 0; p < given; p++) TRY(read_pair(l, options_text_at(options, "lsaq.pairs", p)));
    if (!given) TRY(default_pair(l));
    return high_init(l);
}

int plans_at_most(const Lsaq *l)
{
    int measured = 0;
    for (int o = 0; o < l->n_orders; o++) measured += l->order[o].measured;
    return l->n_pairs * l->n_high * (measured + l->d.n_costs * (options_flag(l->run->options, "lsaq.free") ? 3 : 2)) + points_at_most(l);
}

/* The models of one choice have no other allocation. */
static bool is_end(const Lsaq *l, int high) { return high == 0 || high == l->n_blocks; }

int points_at_most(const Lsaq *l)
{
    int between = 0;
    for (int h = 0; h < l->n_high; h++) between += !is_end(l, l->high[h]);
    return options_flag(l->run->options, "lsaq.slopes") ? 2 * l->n_pairs * between : 0;
}

/* ---- plans ---- */

static const char *const kind_name[] = { [PLAN_LAYERS] = "exact layers", [PLAN_BLOCKS] = "exact blocks", [PLAN_FREE] = "exact free" };

const char *plan_rule(const BlockPlan *plan) { return plan->kind == PLAN_BY_ORDER ? plan->order->name : kind_name[plan->kind]; }

char *plan_cost(const BlockPlan *plan) { return xformat("%s%s", plan->cost ? plan->cost->name : "", plan->sloped ? " x slopes" : ""); }

static int64_t size_of_choices(const Dynamic *d, const int *choice)
{
    int64_t bits = 0;
    for (int i = 0; i < d->n_layers; i++) bits += choice_size(d->weights[i], d->bits[row_of(d, i, choice[i])]);
    return bits;
}

static void add_plan(Lsaq *l, BlockPlan plan, const int *choice)
{
    const CostKind *cost = plan.cost ? plan.cost : &l->d.cost[0];
    char *label = xformat("%s by %s, %d blocks", l->pair[plan.pair].name, plan_rule(&plan), plan.high);
    add_model(&l->d, plan_rule(&plan), label, NAN, choice, cost);
    plan.bits = size_of_choices(&l->d, choice), plan.model = l->d.n_models - 1;
    l->plan = xrealloc(l->plan, sizeof *l->plan * (size_t)(l->n_plans + 1));
    l->plan[l->n_plans++] = plan;
}

static void by_order(Lsaq *l, int pair, int high, const Order *order, int *choice)
{
    const double start = clock_seconds();
    for (int i = 0; i < l->d.n_layers; i++) choice[i] = order->importance.rank[dynamic_layer(&l->d, i)->block] <= high ? l->pair[pair].high : l->pair[pair].low;
    add_stage(l, "strategy by importance", clock_seconds() - start);
    add_plan(l, (BlockPlan){ .kind = PLAN_BY_ORDER, .pair = pair, .high = high, .order = order }, choice);
}

/* ---- exact allocations ---- */

/* Rows of the choices that take part, layer by layer; the names are the dynamic table's. */
typedef struct { ChoiceTable table; const char **name; int *layer, *choice; double *bits, *cost; } Rows;

/* factor [n_layers] of the costs; NULL: 1. */
static void rows_init(Rows *r, const Dynamic *d, const CostKind *cost, const double *factor, const Pair *pair)
{
    const size_t most = (size_t)d->n_rows;
    *r = (Rows){ .name = xmalloc(sizeof *r->name * most), .layer = xmalloc(sizeof *r->layer * most), .choice = xmalloc(sizeof *r->choice * most),
                 .bits = xmalloc(sizeof *r->bits * most), .cost = xmalloc(sizeof *r->cost * most) };
    int n = 0;
    for (int i = 0; i < d->n_layers; i++)
        for (int c = 0; c < d->n_choices; c++) {
            if (pair && c != pair->high && c != pair->low) continue;
            const int row = row_of(d, i, c);
            r->name[n] = dynamic_choice(d, c)->name, r->layer[n] = i, r->choice[n] = c, r->bits[n] = d->bits[row];
            r->cost[n++] = (factor ? factor[i] : 1) * coefficient_mean(d, cost_windows(d, cost, row)).value;
        }
    r->table = (ChoiceTable){ d->n_layers, d->table.layer, d->weights, n, r->layer, r->name, r->bits, r->cost };
}

static void rows_free(Rows *r)
{
    void *all[] = { (void *)r->name, r->layer, r->choice, r->bits, r->cost };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static int solve(Allocation *best, const ChoiceTable *table, bool together, int64_t bytes)
{
    Constraints constraints;
    Classes classes;
    constraints_init(&constraints, table);
    int status = together ? constraints_together(&constraints, table, "block") : OK;
    if (status == OK) status = classes_init(&classes, table, &constraints);
    if (status == OK) {
        status = allocate_classes(best, &classes, &(Budget){ .bytes = bytes });
        classes_free(&classes);
    }
    constraints_free(&constraints);
    return status;
}

static int add_exact(Lsaq *l, BlockPlan plan, const double *factor, int64_t bytes, int *choice)
{
    Rows rows;
    Allocation best;
    const double start = clock_seconds();
    rows_init(&rows, &l->d, plan.cost, factor, plan.kind == PLAN_FREE ? NULL : &l->pair[plan.pair]);
    int status = solve(&best, &rows.table, plan.kind == PLAN_BLOCKS, bytes);
    if (status == OK) {
        char *stage = xformat("strategy %s", plan_rule(&plan));
        for (int i = 0; i < l->d.n_layers; i++) choice[i] = rows.choice[best.row[i]];
        plan.optimal = best.optimal;
        add_stage(l, stage, clock_seconds() - start);
        add_plan(l, plan, choice);
        allocation_free(&best);
        free(stage);
    }
    rows_free(&rows);
    return status;
}

const BlockPlan *exact_of_size(const Lsaq *l, const BlockPlan *plan, PlanKind kind)
{
    for (int p = 0; p < l->n_plans; p++) {
        const BlockPlan *exact = &l->plan[p];
        if (exact->kind == kind && exact->pair == plan->pair && exact->high == plan->high && exact->cost == &l->d.cost[0] && !exact->sloped) return exact;
    }
    return NULL;
}

/* Within the bytes of the smallest plan by an order: of one size where blocks have one shape, and by no more than stray bits of zero points
 * above it where they have not. */
static int64_t least_bytes(const Lsaq *l, int first)
{
    int64_t least = INT64_MAX;
    for (int p = first; p < l->n_plans; p++) least = plan_bytes(&l->plan[p]) < least ? plan_bytes(&l->plan[p]) : least;
    return least;
}

/* Once more, by the first cost times the slopes at the plan that it gave. */
static int add_sloped(Lsaq *l, const BlockPlan *found, int64_t bytes, int *choice)
{
    double *factor = xmalloc(sizeof *factor * (size_t)l->d.n_layers);
    BlockPlan plan = *found;
    plan.sloped = true;
    int status = operating_point(factor, &l->d, &l->d.model[found->model], true);
    if (status == OK) status = add_exact(l, plan, factor, bytes, choice);
    free(factor);
    return status;
}

static int exact_plans(Lsaq *l, int pair, int high, int first, int *choice)
{
    const PlanKind last = options_flag(l->run->options, "lsaq.free") ? PLAN_FREE : PLAN_BLOCKS;
    const int64_t bytes = least_bytes(l, first);
    for (PlanKind kind = PLAN_LAYERS; kind <= last; kind++)
        for (int k = 0; k < l->d.n_costs; k++) TRY(add_exact(l, (BlockPlan){ .kind = kind, .pair = pair, .high = high, .cost = &l->d.cost[k] }, NULL, bytes, choice));
    if (is_end(l, high) || !options_flag(l->run->options, "lsaq.slopes")) return OK;
    for (PlanKind kind = PLAN_LAYERS; kind <= PLAN_BLOCKS; kind++) {
        const BlockPlan found = *exact_of_size(l, &l->plan[first], kind);      /* the list moves as it grows */
        TRY(add_sloped(l, &found, bytes, choice));
    }
    return OK;
}

int plans_make(Lsaq *l)
{
    int *choice = xmalloc(sizeof *choice * (size_t)l->d.n_layers), status = OK;
    for (int p = 0; p < l->n_pairs; p++)
        for (int h = 0; h < l->n_high && status == OK; h++) {
            const int first = l->n_plans;
            for (int o = 0; o < l->n_orders; o++)
                if (l->order[o].measured) by_order(l, p, l->high[h], &l->order[o], choice);
            status = exact_plans(l, p, l->high[h], first, choice);
        }
    free(choice);
    return status;
}

/* ---- against one another, on the same windows ---- */

Mean plan_difference(const Lsaq *l, const BlockPlan *plan, const BlockPlan *other)
{
    const Dynamic *d = &l->d;
    double *difference = xmalloc(sizeof *difference * (size_t)d->n_measured);
    for (int w = 0; w < d->n_measured; w++) difference[w] = plan_model(l, plan)->kl[w] - plan_model(l, other)->kl[w];
    const Mean mean = measured_mean(d, difference);
    free(difference);
    return mean;
}

Mean plan_ratio(const Lsaq *l, const BlockPlan *plan, const BlockPlan *other)
{
    return corpus_ratio(l->d.measured_text, plan_model(l, plan)->kl, plan_model(l, other)->kl);
}
