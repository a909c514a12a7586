/*
 * lsaq_tables.c - the tables of the experiment `lsaq`: importance, rank_correlations, plans, plan_layers, stages, choices
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/lsaq/lsaq.h"

static Table *importance_table(const Lsaq *l)
{
    Table *t = table_new("importance", "how important each block is, by each rule");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "rule", "", "rule, and what of its options is not its first");
    table_add_column(t, COLUMN_NUMBER, "importance", "", "larger: more important; of each rule in its own unit");
    table_add_column(t, COLUMN_NUMBER, "importance_se", "", "its standard error over windows; none where no text is looked at");
    table_add_column(t, COLUMN_INTEGER, "rank", "", "1: the most important; equal ones by block");
    table_add_column(t, COLUMN_TEXT, "options", "", "of the rule, all of them");
    table_add_column(t, COLUMN_INTEGER, "ties", "", "blocks of this rule that share their importance with one ranked before");
    for (int o = 0; o < l->n_orders; o++) {
        const Importance *i = &l->order[o].importance;
        char *options = options_canonical(l->order[o].options);
        for (int b = 0; b < l->n_blocks; b++) {
            const int64_t row = table_add_row(t);
            table_set_integer(t, row, "block", b);
            table_set_text(t, row, "rule", l->order[o].name);
            table_set_number(t, row, "importance", i->value[b]);
            table_set_number(t, row, "importance_se", i->se[b]);
            table_set_integer(t, row, "rank", i->rank[b]);
            table_set_text(t, row, "options", options);
            table_set_integer(t, row, "ties", i->ties);
        }
        free(options);
    }
    return t;
}

static Table *correlation_table(const Lsaq *l)
{
    Table *t = table_new("rank_correlations", "how alike two rules order the blocks");
    table_add_column(t, COLUMN_TEXT, "rule", "", "one rule");
    table_add_column(t, COLUMN_TEXT, "other", "", "the other");
    table_add_column(t, COLUMN_NUMBER, "spearman", "", "correlation of the ranks; 1: the same order");
    table_add_column(t, COLUMN_NUMBER, "spearman_low", "", "95 % interval over windows: lower end; none where neither looks at a text, or all blocks tie in a resample");
    table_add_column(t, COLUMN_NUMBER, "spearman_high", "", "its upper end");
    int n;
    Correlation *all = correlations(l, &n);
    for (int i = 0; i < n; i++) {
        const int64_t row = table_add_row(t);
        table_set_text(t, row, "rule", l->order[all[i].a].name);
        table_set_text(t, row, "other", l->order[all[i].b].name);
        table_set_number(t, row, "spearman", all[i].rho.value);
        table_set_number(t, row, "spearman_low", all[i].rho.low);
        table_set_number(t, row, "spearman_high", all[i].rho.high);
    }
    free(all);
    return t;
}

static Table *empty_plans(void)
{
    Table *t = table_new("plans", "models with some blocks at more bits: predicted, measured, and against exact allocations within the same bytes");
    table_add_column(t, COLUMN_TEXT, "pair", "", "the high and the low choice");
    table_add_column(t, COLUMN_TEXT, "rule", "", "order of importance, or exact allocation: of layers, of whole blocks, free among all choices");
    table_add_column(t, COLUMN_TEXT, "cost", "", "what an exact allocation minimises");
    table_add_column(t, COLUMN_INTEGER, "high", "blocks", "with the high choice; of an exact allocation those of the plans whose size it has");
    table_add_column(t, COLUMN_INTEGER, "bytes", "bytes", "of all layers");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average, all overhead counted");
    add_model_losses(t);
    table_add_column(t, COLUMN_NUMBER, "predicted", "nats/token", "KL as the sum of single layers' costs");
    table_add_column(t, COLUMN_NUMBER, "predicted_low", "nats/token", "95 % interval for what is measured: lower end");
    table_add_column(t, COLUMN_NUMBER, "predicted_high", "nats/token", "its upper end");
    table_add_column(t, COLUMN_INTEGER, "inside", "", "1: the measured KL is in the interval");
    add_estimate(t, "above_layers", "nats/token", "kl - that of the exact allocation of layers within the same bytes, by the first cost, on the same windows");
    add_estimate(t, "ratio_layers", "", "kl / that of the exact allocation of layers");
    add_estimate(t, "above_blocks", "nats/token", "kl - that of the exact allocation of whole blocks");
    add_estimate(t, "ratio_blocks", "", "kl / that of the exact allocation of whole blocks");
    table_add_column(t, COLUMN_INTEGER, "optimal", "", "1: an exact allocation, proven optimal");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    return t;
}

static void add_plan_row(Table *t, const Lsaq *l, const BlockPlan *p)
{
    const Dynamic *d = &l->d;
    const Whole *m = plan_model(l, p);
    const BlockPlan *layers = exact_of_size(l, p, PLAN_LAYERS), *blocks = exact_of_size(l, p, PLAN_BLOCKS);
    const Interval predicted = predicted_interval(d, m, false);
    const double kl = measured_mean(d, m->kl).value;
    const int64_t row = table_add_row(t);
    table_set_text(t, row, "pair", l->pair[p->pair].name);
    table_set_text(t, row, "rule", plan_rule(p));
    char *cost = plan_cost(p);
    table_set_text(t, row, "cost", cost);
    free(cost);
    table_set_integer(t, row, "high", p->high);
    table_set_integer(t, row, "bytes", plan_bytes(p));
    table_set_number(t, row, "bits", m->bits);
    set_model_losses(t, row, &(Losses){ d->measured_text, d->n_measured, d->measured_tokens, m->kl, m->nll, d->clean, d->floor_kl });
    table_set_number(t, row, "predicted", predicted.value);
    table_set_number(t, row, "predicted_low", predicted.low);
    table_set_number(t, row, "predicted_high", predicted.high);
    table_set_integer(t, row, "inside", kl >= predicted.low && kl <= predicted.high);
    set_estimate(t, row, "above_layers", plan_difference(l, p, layers));
    set_estimate(t, row, "ratio_layers", plan_ratio(l, p, layers));
    set_estimate(t, row, "above_blocks", plan_difference(l, p, blocks));
    set_estimate(t, row, "ratio_blocks", plan_ratio(l, p, blocks));
    table_set_integer(t, row, "optimal", p->optimal);
}

static Table *plan_table(const Lsaq *l)
{
    Table *t = empty_plans();
    for (int p = 0; p < l->n_plans; p++) add_plan_row(t, l, &l->plan[p]);
    return t;
}

static void add_layers(Table *t, const Lsaq *l, const BlockPlan *p)
{
    char *cost = plan_cost(p);
    for (int i = 0; i < l->d.n_layers; i++) {
        const int64_t row = table_add_row(t);
        table_set_text(t, row, "pair", l->pair[p->pair].name);
        table_set_text(t, row, "rule", plan_rule(p));
        table_set_text(t, row, "cost", cost);
        table_set_integer(t, row, "high", p->high);
        table_set_text(t, row, "layer", dynamic_layer(&l->d, i)->name);
        table_set_text(t, row, "choice", dynamic_choice(&l->d, plan_model(l, p)->choice[i])->name);
    }
    free(cost);
}

static Table *layer_table(const Lsaq *l)
{
    Table *t = table_new("plan_layers", "the choice of each layer in the exact allocations; in the plans by importance it follows from the ranks");
    table_add_column(t, COLUMN_TEXT, "pair", "", "the high and the low choice");
    table_add_column(t, COLUMN_TEXT, "rule", "", "exact layers, exact blocks, exact free");
    table_add_column(t, COLUMN_TEXT, "cost", "", "what it minimises");
    table_add_column(t, COLUMN_INTEGER, "high", "blocks", "of the plans whose size it has");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_TEXT, "choice", "", "what it gets");
    for (int p = 0; p < l->n_plans; p++)
        if (l->plan[p].kind != PLAN_BY_ORDER) add_layers(t, l, &l->plan[p]);
    return t;
}

static Table *stage_table(const Lsaq *l)
{
    Table *t = table_new("stages", "what each stage takes: wall time, of what the store had when it was measured");
    table_add_column(t, COLUMN_TEXT, "stage", "", "stage; an importance by states holds the whole forward pass, which several share");
    table_add_column(t, COLUMN_INTEGER, "count", "", "times");
    table_add_column(t, COLUMN_NUMBER, "seconds", "s", "of one of them, mean");
    for (int i = 0; i < l->n_stages; i++) {
        const int64_t row = table_add_row(t);
        table_set_text(t, row, "stage", l->stage[i].name);
        table_set_integer(t, row, "count", l->stage[i].count);
        table_set_number(t, row, "seconds", l->stage[i].seconds / l->stage[i].count);
    }
    return t;
}

void lsaq_tables(Lsaq *l)
{
    run_emit(l->run, importance_table(l));
    run_emit(l->run, correlation_table(l));
    run_emit(l->run, plan_table(l));
    run_emit(l->run, layer_table(l));
    run_emit(l->run, stage_table(l));
    run_emit(l->run, dynamic_choices(&l->d));
}
