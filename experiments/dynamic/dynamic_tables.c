/*
 * dynamic_tables.c - the tables of the experiment `dynamic`: choices, allocations, models
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/dynamic/dynamic.h"

static Table *empty_choices(const Dynamic *d)
{
    Table *t = table_new("choices", "what each choice costs in bits and is predicted to cost in loss, layer by layer");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_INTEGER, "weights", "", "number of weights");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "all scales and zero points counted");
    table_add_column(t, COLUMN_NUMBER, "code_bits", "bits/weight", "the codes alone");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error");
    table_add_column(t, COLUMN_NUMBER, "kappa", "", "shrinkage, -<error, W>/||W||^2");
    add_estimate(t, "cost", "nats/token", "predicted KL, by the first of dynamic.costs");
    for (int k = 1; k < d->n_costs; k++) {
        char *name = xformat("cost_%s", d->cost[k].name);
        add_estimate(t, name, "nats/token", "by another kind of cost");
        free(name);
    }
    return t;
}

static void add_choice(Table *t, const Dynamic *d, int i, int c)
{
    const int at = row_of(d, i, c);
    const int64_t row = table_add_row(t);
    table_set_text(t, row, "layer", dynamic_layer(d, i)->name);
    table_set_integer(t, row, "block", dynamic_layer(d, i)->block);
    table_set_text(t, row, "type", layer_type_name[dynamic_layer(d, i)->type]);
    table_set_integer(t, row, "weights", d->weights[i]);
    table_set_text(t, row, "choice", dynamic_choice(d, c)->name);
    table_set_number(t, row, "bits", d->bits[at]);
    table_set_number(t, row, "code_bits", d->code_bits[at]);
    table_set_number(t, row, "t2", d->t2[at]);
    table_set_number(t, row, "kappa", d->kappa[at]);
    for (int k = 0; k < d->n_costs; k++) {
        char *name = k ? xformat("cost_%s", d->cost[k].name) : xstrdup("cost");
        set_estimate(t, row, name, coefficient_mean(d, cost_windows(d, &d->cost[k], at)));
        free(name);
    }
}

Table *dynamic_choices(const Dynamic *d)
{
    Table *t = empty_choices(d);
    for (int i = 0; i < d->n_layers; i++)
        for (int c = 0; c < d->n_choices; c++) add_choice(t, d, i, c);
    return t;
}

static Table *allocation_table(void)
{
    Table *t = table_new("allocations", "the choice of each layer in every model that was allocated or made by a rule");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "average allowed");
    table_add_column(t, COLUMN_TEXT, "model", "", "allocated, or the name of a rule");
    table_add_column(t, COLUMN_TEXT, "cost", "", "what the allocation minimises");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_TEXT, "choice", "", "what it gets");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of this layer, all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error of this layer");
    table_add_column(t, COLUMN_NUMBER, "keep", "", "share of resamples of the coefficients' windows in which the layer gets the same choice");
    return t;
}

static void add_allocation(Table *t, const Dynamic *d, const Whole *m)
{
    for (int i = 0; i < d->n_layers; i++) {
        const int at = row_of(d, i, m->choice[i]);
        const int64_t row = table_add_row(t);
        table_set_number(t, row, "budget", m->budget);
        table_set_text(t, row, "model", m->kind);
        table_set_text(t, row, "cost", m->label);
        table_set_text(t, row, "layer", dynamic_layer(d, i)->name);
        table_set_text(t, row, "choice", dynamic_choice(d, m->choice[i])->name);
        table_set_number(t, row, "bits", d->bits[at]);
        table_set_number(t, row, "t2", d->t2[at]);
        table_set_number(t, row, "keep", m->keep ? m->keep[i] : NAN);
    }
}

static void add_interval(Table *t, const char *name, const char *unit, const char *meaning)
{
    char *low = xformat("%s_low", name), *high = xformat("%s_high", name);
    table_add_column(t, COLUMN_NUMBER, name, unit, meaning);
    table_add_column(t, COLUMN_NUMBER, low, unit, "95 % interval for what is measured: lower end");
    table_add_column(t, COLUMN_NUMBER, high, unit, "its upper end");
    free(low);
    free(high);
}

static void set_interval(Table *t, int64_t row, const char *name, Interval interval)
{
    char *low = xformat("%s_low", name), *high = xformat("%s_high", name);
    table_set_number(t, row, name, interval.value);
    table_set_number(t, row, low, interval.low);
    table_set_number(t, row, high, interval.high);
    free(low);
    free(high);
}

static Table *model_table(void)
{
    Table *t = table_new("models", "whole models: predicted, measured, and against uniform models of the same size");
    table_add_column(t, COLUMN_TEXT, "model", "", "uniform, allocated, or the name of a rule");
    table_add_column(t, COLUMN_TEXT, "label", "", "choice of a uniform model, cost that an allocated one minimises");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "asked for");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average, all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "code_bits", "bits/weight", "average of the codes alone");
    add_interval(t, "predicted", "nats/token", "KL as the sum of single layers' costs");
    add_interval(t, "curved", "nats/token", "KL by the mean of the slopes at the clean weights and at this model's error");
    add_estimate(t, "kl", "nats/token", "measured KL(clean || quantized)");
    table_add_column(t, COLUMN_INTEGER, "inside", "", "1: the measured KL is in the interval of predicted; 0 too where there is none");
    table_add_column(t, COLUMN_INTEGER, "curved_inside", "", "1: it is in the interval of curved; 0 too where there is none");
    add_estimate(t, "delta_nll", "nats/token", "measured, NLL quantized - NLL clean");
    add_estimate(t, "ppl", "", "perplexity");
    add_interval(t, "predicted_ppl", "", "perplexity that the predicted KL (curved where there is one) stands for");
    table_add_column(t, COLUMN_NUMBER, "uniform_kl", "nats/token", "measured of uniform models of the same size: the lower of log-linear paths between two of them");
    add_estimate(t, "gain", "", "1 - kl / uniform_kl, on the same windows");
    table_add_column(t, COLUMN_NUMBER, "predicted_gain", "", "the same of the predicted KL, against the same uniform models");
    table_add_column(t, COLUMN_NUMBER, "cost", "nats/token", "of an allocation, as solved");
    table_add_column(t, COLUMN_NUMBER, "lower_bound", "nats/token", "no allocation within the budget costs less");
    table_add_column(t, COLUMN_INTEGER, "optimal", "", "1: proven");
    table_add_column(t, COLUMN_INTEGER, "clamped", "", "negative costs taken as 0");
    table_add_column(t, COLUMN_NUMBER, "expected_regret", "", "loss to expect from the errors of the coefficients, relative: 1/2 of their weighted variance");
    table_add_column(t, COLUMN_NUMBER, "regret", "", "the same over resamples of the windows, mean");
    table_add_column(t, COLUMN_NUMBER, "regret_high", "", "95 % quantile over resamples");
    table_add_column(t, COLUMN_NUMBER, "kept", "", "share of the weights whose choice resamples keep, mean");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    return t;
}

static int is_inside(double x, Interval interval) { return x >= interval.low && x <= interval.high; }

static void set_predicted(Table *t, int64_t row, const Dynamic *d, const Whole *m)
{
    const double kl = measured_mean(d, m->kl).value;
    const Interval linear = predicted_interval(d, m, false);
    set_interval(t, row, "predicted", linear);
    table_set_integer(t, row, "inside", is_inside(kl, linear));
    if (m->curved) {
        const Interval curved = predicted_interval(d, m, true);
        set_interval(t, row, "curved", curved);
        table_set_integer(t, row, "curved_inside", is_inside(kl, curved));
    }
    set_interval(t, row, "predicted_ppl", predicted_ppl(d, m));
    const EqualSize uniform = equal_size(d, m);
    table_set_number(t, row, "uniform_kl", uniform.kl);
    set_estimate(t, row, "gain", (Mean){ 1 - uniform.ratio.value, uniform.ratio.se });
    table_set_number(t, row, "predicted_gain", 1 - linear.value / uniform.predicted);
}

static void add_model_row(Table *t, const Dynamic *d, const Whole *m)
{
    const int64_t row = table_add_row(t);
    table_set_text(t, row, "model", m->kind);
    table_set_text(t, row, "label", m->label);
    const struct { const char *name; double value; } cell[] = {
        { "budget", m->budget }, { "bits", m->bits }, { "code_bits", m->code_bits }, { "cost", m->cost }, { "lower_bound", m->lower_bound },
        { "expected_regret", m->expected_regret }, { "regret", m->regret }, { "regret_high", m->regret_high }, { "kept", m->kept },
    };
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(t, row, cell[i].name, cell[i].value);
    table_set_integer(t, row, "optimal", m->optimal);
    table_set_integer(t, row, "clamped", m->clamped);
    set_model_losses(t, row, &(Losses){ d->measured_text, d->n_measured, d->measured_tokens, m->kl, m->nll, d->clean, d->floor_kl });
    set_predicted(t, row, d, m);
}

void dynamic_tables(Dynamic *d)
{
    Table *choices = dynamic_choices(d), *allocations = allocation_table(), *models = model_table();
    for (int m = 0; m < d->n_models; m++) {
        add_model_row(models, d, &d->model[m]);
        if (strcmp(d->model[m].kind, "uniform")) add_allocation(allocations, d, &d->model[m]);
    }
    run_say_accuracies(d->run, models, "label");
    run_emit(d->run, choices);
    run_emit(d->run, allocations);
    run_emit(d->run, models);
}
