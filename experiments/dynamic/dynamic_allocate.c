/*
 * dynamic_allocate.c - models of one choice in all layers, allocated by each kind of cost, and by simple rules
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/rules.h"
#include "core/allocate/stability.h"
#include "core/base/err.h"
#include "core/estimate/bootstrap.h"
#include "core/estimate/contrast.h"
#include "core/estimate/fit.h"
#include "experiments/dynamic/dynamic.h"

/* ---- models ---- */

static double average(const Dynamic *d, const double *of_row, const int *choice)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < d->n_layers; i++) {
        sum += of_row[row_of(d, i, choice[i])] * (double)d->weights[i];
        weights += (double)d->weights[i];
    }
    return sum / weights;
}

Whole *add_model(Dynamic *d, const char *kind, char *label, double budget, const int *choice, const CostKind *cost)
{
    d->model = xrealloc(d->model, sizeof *d->model * (size_t)(d->n_models + 1));
    Whole *m = &d->model[d->n_models++];
    *m = (Whole){ .kind = kind, .label = label, .by = cost, .budget = budget, .bits = average(d, d->bits, choice), .code_bits = average(d, d->code_bits, choice),
                  .cost = NAN, .lower_bound = NAN, .expected_regret = NAN, .kept = NAN, .regret = NAN, .regret_high = NAN };
    m->choice = xmalloc(sizeof *m->choice * (size_t)d->n_layers);
    memcpy(m->choice, choice, sizeof *m->choice * (size_t)d->n_layers);
    m->predicted = xcalloc((size_t)d->n_windows, sizeof *m->predicted);
    for (int i = 0; i < d->n_layers; i++)
        for (int w = 0; w < d->n_windows; w++) m->predicted[w] += cost_windows(d, cost, row_of(d, i, choice[i]))[w];
    return m;
}

void add_uniform(Dynamic *d)
{
    int *choice = xmalloc(sizeof *choice * (size_t)d->n_layers);
    for (int c = 0; c < d->n_choices; c++) {
        for (int i = 0; i < d->n_layers; i++) choice[i] = c;
        add_model(d, "uniform", xstrdup(dynamic_choice(d, c)->name), NAN, choice, &d->cost[0]);
    }
    free(choice);
}

/* ---- allocations ---- */

/* Costs of all rows from these shares of the windows; factor NULL: 1. */
static void fill_costs(double *out, const Dynamic *d, const CostKind *cost, const double *factor, const int *count)
{
    for (int row = 0; row < d->n_rows; row++) {
        const double *x = cost_windows(d, cost, row), f = factor ? factor[row / d->n_choices] : 1;
        double sum = 0, tokens = 0;
        for (int w = 0; w < d->n_windows; w++) {
            const double n = (double)d->tokens[w] * (count ? count[w] : 1);
            sum += n * x[w], tokens += n;
        }
        out[row] = f * sum / tokens;
    }
}

typedef struct { const Dynamic *d; const CostKind *cost; const double *factor; } Resampled;

static void resample(double *cost, void *context, int b)
{
    const Resampled *r = context;
    int *count = xmalloc(sizeof *count * (size_t)r->d->n_windows);
    bootstrap_counts(count, r->d->n_windows, b, study_seed(r->d->run->study));
    fill_costs(cost, r->d, r->cost, r->factor, count);
    free(count);
}

static int set_stability(Whole *m, const Dynamic *d, const ChoiceTable *table, const Allocation *best, Resampled *resampled)
{
    Stability s;
    const int n = (int)options_integer(d->run->options, "bootstrap");
    if (d->n_windows < 2) return OK;
    TRY(allocation_stability(&s, table, best->budget, best, n < 500 ? n : 500, resample, resampled));
    m->keep = s.keep, m->kept = s.kept, m->regret = s.regret, m->regret_high = s.regret_high;
    return OK;
}

static int allocate_model(Dynamic *d, double budget, const CostKind *cost, const double *factor, const char *suffix)
{
    double *value = xmalloc(sizeof *value * (size_t)d->n_rows);
    int *choice = xmalloc(sizeof *choice * (size_t)d->n_layers);
    fill_costs(value, d, cost, factor, NULL);
    ChoiceTable table = d->table;
    table.row_cost = value;
    Allocation best;
    int status = allocate(&best, &table, budget);
    if (status == OK) {
        for (int i = 0; i < d->n_layers; i++) choice[i] = best.row[i] % d->n_choices;
        Whole *m = add_model(d, "allocated", xformat("%s%s", cost->name, suffix), budget, choice, cost);
        m->cost = best.cost, m->lower_bound = best.lower_bound, m->optimal = best.optimal, m->clamped = best.clamped;
        m->expected_regret = contrast_regret(d->fisher.a, d->tokens, d->weights, d->n_layers, d->n_windows);
        Resampled resampled = { d, cost, factor };
        status = set_stability(m, d, &table, &best, &resampled);
        allocation_free(&best);
    }
    free(value);
    free(choice);
    return status;
}

/* By the first kind of cost, then by its costs weighed with the slopes at what was found. */
static int allocate_in_rounds(Dynamic *d, double budget)
{
    const int rounds = (int)options_integer(d->run->options, "dynamic.rounds");
    double *factor = xmalloc(sizeof *factor * (size_t)d->n_layers);
    int status = allocate_model(d, budget, &d->cost[0], NULL, "");
    if (status == OK && rounds) status = operating_point(factor, d, &d->model[d->n_models - 1], true);
    for (int r = 0; r < rounds && status == OK; r++) {
        status = allocate_model(d, budget, &d->cost[0], factor, r ? " x slopes, twice" : " x slopes");
        if (status == OK) status = operating_point(factor, d, &d->model[d->n_models - 1], false);
    }
    free(factor);
    return status;
}

/* ---- rules ---- */

/* *out = NULL for "no". */
int find_rule(const AllocationRule **out, const char *name)
{
    const char *names[16];
    int n = 0;
    *out = NULL;
    if (!strcmp(name, "no")) return OK;
    for (; allocation_rules[n]; n++) {
        names[n] = allocation_rules[n]->name;
        if (!strcmp(names[n], name)) *out = allocation_rules[n];
    }
    if (*out) return OK;
    const char *near = err_nearest(name, names, n);
    if (near) FAIL(ERR_ARGUMENT, "dynamic.rules: there is no rule '%s'; did you mean '%s'?", name, near);
    FAIL(ERR_ARGUMENT, "dynamic.rules: there is no rule '%s'; there are ends, types, greedy, threshold", name);
}

static int add_rule(Dynamic *d, double budget, const AllocationRule *rule)
{
    double *value = xmalloc(sizeof *value * (size_t)d->n_rows);
    int *row = xmalloc(sizeof *row * (size_t)d->n_layers);
    LayerPlace *place = xmalloc(sizeof *place * (size_t)d->n_layers);
    for (int i = 0; i < d->n_layers; i++) place[i] = (LayerPlace){ dynamic_layer(d, i)->block, dynamic_layer(d, i)->type };
    fill_costs(value, d, &d->cost[0], NULL, NULL);
    ChoiceTable table = d->table;
    table.row_cost = value;
    int status = allocation_rule_apply(row, rule, &table, place, budget);
    if (status == OK) {
        for (int i = 0; i < d->n_layers; i++) row[i] %= d->n_choices;
        add_model(d, rule->name, xstrdup(""), budget, row, &d->cost[0]);
    } else if (status == ERR_BUDGET) {                  /* a mixture fits, one choice for all does not */
        run_say(d->run, "%g bits: %s", budget, err_last());
        status = OK;
    }
    free(value);
    free(row);
    free(place);
    return status;
}

int add_at_budget(Dynamic *d, double budget)
{
    const Options *options = d->run->options;
    TRY(allocate_in_rounds(d, budget));
    for (int k = 1; k < d->n_costs; k++) TRY(allocate_model(d, budget, &d->cost[k], NULL, ""));
    for (int r = 0; r < options_count(options, "dynamic.rules"); r++) {
        const AllocationRule *rule;
        TRY(find_rule(&rule, options_text_at(options, "dynamic.rules", r)));
        if (rule) TRY(add_rule(d, budget, rule));
    }
    return OK;
}
