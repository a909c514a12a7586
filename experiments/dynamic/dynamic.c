/*
 * dynamic.c - how much does it help to allocate bits by the law, and how far can its promise be trusted?
 *
 *     minimise sum_l cost_l(j_l)   subject to   sum_l bits_l(j_l) d_l <= B sum_l d_l
 *
 * with costs from one text (coefficients.from), and everything measured on another: uniform models, exact allocations by each kind
 * of cost, the same weighed by the slopes where the model will be, and simple rules, all at the same sizes; predicted against
 * measured, with intervals, and how often each layer would get the same choice from other windows of text.
 * Cost: a forward pass for each choice, and for each budget as many as there are costs, rounds and rules; a backward pass over the
 * text of the coefficients, and for each budget two more over some of its windows (dynamic.windows) for each of rounds + 1 models; for the cost
 * `measured` .6 of a forward pass for each layer and choice that it looks at.  Feeds tables 10 to 13 of paper-repro.md.
 */
#include "experiments/dynamic/dynamic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

Mean measured_mean(const Dynamic *d, const double *by_window) { return corpus_mean(d->measured_text, by_window); }

Mean coefficient_mean(const Dynamic *d, const double *by_window) { return corpus_mean(d->text, by_window); }

void dynamic_close(Dynamic *d)
{
    for (int k = 0; d->cost && k < d->n_costs; k++) {
        free(d->cost[k].name);
        free(d->cost[k].by_window);
    }
    for (int p = 0; p < d->n_points; p++) {
        free(d->point[p].slope);
        free(d->point[p].kl);
        free(d->point[p].delta);
    }
    for (int m = 0; m < d->n_models; m++) {
        Whole *w = &d->model[m];
        void *all[] = { w->label, w->choice, w->predicted, w->kl, w->nll, w->keep };
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    coefficients_free(&d->fisher);
    void *all[] = { d->weights, d->t2, d->calm, d->v, d->cost, (void *)d->table.layer, (void *)d->table.row_layer, (void *)d->table.row_name, d->clean, d->other_clean,
                    d->point, d->model };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* Rows of the table of choices, layer by layer; costs are set where one is solved. */
static void table_init(Dynamic *d)
{
    const char **layer = xmalloc(sizeof *layer * (size_t)d->n_layers), **name = xmalloc(sizeof *name * (size_t)d->n_rows);
    int *row_layer = xmalloc(sizeof *row_layer * (size_t)d->n_rows);
    for (int i = 0; i < d->n_layers; i++) {
        layer[i] = dynamic_layer(d, i)->name;
        d->weights[i] = dynamic_layer(d, i)->rows * dynamic_layer(d, i)->cols;
        for (int c = 0; c < d->n_choices; c++) row_layer[row_of(d, i, c)] = i, name[row_of(d, i, c)] = dynamic_choice(d, c)->name;
    }
    d->table = (ChoiceTable){ d->n_layers, layer, d->weights, d->n_rows, row_layer, name, d->size, NULL };
}

static void numbers_init(Dynamic *d)
{
    const size_t rows = (size_t)d->n_rows;
    d->weights = xcalloc((size_t)d->n_layers, sizeof *d->weights);
    d->t2 = xcalloc(4 * rows, sizeof *d->t2), d->kappa = d->t2 + rows, d->bits = d->t2 + 2 * rows, d->code_bits = d->t2 + 3 * rows;
    d->size = !strcmp(options_text(d->run->options, "dynamic.bits"), "code") ? d->code_bits : d->bits;
    d->v = xcalloc((size_t)d->n_layers, sizeof *d->v);
    d->calm = xcalloc((size_t)d->n_layers * (size_t)d->n_windows, sizeof *d->calm);
    d->clean = xcalloc((size_t)d->n_measured, sizeof *d->clean), d->other_clean = xcalloc((size_t)d->n_windows, sizeof *d->other_clean);
}

static int check(const Run *run, const char *name)
{
    const AllocationRule *rule;
    if (run->config->n_choices < 2)
        FAIL(ERR_ARGUMENT, "%s: the experiment %s needs two choices or more, for example choices: [{higgs: {n: [16, 64, 256]}}, ch8]", run->config->path, name);
    if (!strcmp(options_text(run->options, "noise.scale"), "matrix"))
        FAIL(ERR_ARGUMENT, "%s: with noise.scale: matrix there are no coefficients by group; dynamic.costs: sigma allocates by one sigma per matrix", run->config->path);
    if (!strcmp(options_text(run->options, "estimator"), "inject"))
        FAIL(ERR_ARGUMENT, "%s: the experiment %s takes its coefficients from a backward pass (estimator: fisher)", run->config->path, name);
    for (int r = 0; r < options_count(run->options, "dynamic.rules"); r++) TRY(find_rule(&rule, options_text_at(run->options, "dynamic.rules", r)));
    return run_check_choices(run);
}

int dynamic_open(Dynamic *d, Run *run, const char *name)
{
    TRY(check(run, name));
    const Corpus *measured = study_corpus(run->study), *other = study_corpus(run->coefficients);
    const int slopes = (int)options_integer(run->options, "dynamic.windows");
    *d = (Dynamic){ .run = run, .n_layers = run->n_layers, .n_choices = run->config->n_choices, .n_rows = run->n_layers * run->config->n_choices,
                    .n_windows = other->n_windows, .n_slopes = slopes < other->n_windows ? slopes : other->n_windows, .n_measured = measured->n_windows, .text = other, .measured_text = measured,
                    .tokens = other->tokens, .measured_tokens = measured->tokens,
                    .same_text = run->coefficients == run->study };
    numbers_init(d);
    table_init(d);
    int status = costs_init(d);
    if (status != OK) dynamic_close(d);
    return status;
}

/* Budgets of the config; without any, whole and half bits between the sizes of the smallest and the largest uniform model. */
static double *all_budgets(const Dynamic *d, int *n)
{
    const Options *options = d->run->options;
    double least = INFINITY, most = 0;
    for (int m = 0; m < d->n_choices; m++) {
        const double bits = d->size == d->bits ? d->model[m].bits : d->model[m].code_bits;
        least = fmin(least, bits), most = fmax(most, bits);
    }
    double *budget = xmalloc(sizeof *budget * (size_t)(options_count(options, "budgets") + 130));
    for (*n = 0; *n < options_count(options, "budgets"); (*n)++) budget[*n] = options_number_at(options, "budgets", *n);
    if (*n == 0)
        for (double b = ceil(2 * least + 1e-9) / 2; b < most && *n < 128; b += .5) budget[(*n)++] = b;
    return budget;
}

static int plan(Plan *out, int *later, Run *run)
{
    Dynamic d;
    TRY(dynamic_open(&d, run, experiment_dynamic.name));
    int status = run_check_budgets(run, d.size == d.code_bits);
    plan_add_null(out);
    uniform_plan(out, &d);
    out->study = run->coefficients;
    run_turn(run);
    costs_plan(out, &d);
    run_turn(run);
    const int budgets = options_count(run->options, "budgets") ? options_count(run->options, "budgets") : 8;
    const int rounds = (int)options_integer(run->options, "dynamic.rounds"), rules = options_count(run->options, "dynamic.rules");
    const int points = rounds ? budgets * (rounds + 1) : 0;
    *later = budgets * (d.n_costs + rounds + rules) + costs_singles(&d);
    out->later_windows = points * 2 * d.n_slopes;
    out->later_passes = points * passes_of_point(&d);
    dynamic_close(&d);
    return status;
}

int dynamic_clean(Dynamic *d)
{
    Measurement m;
    TRY(run_measure(&m, d->run, &(LayerMap){ .null_run = true, .label = "null run" }));
    d->floor_kl = measured_mean(d, m.kl).value;
    measurement_free(&m);
    TRY(study_clean(&m, d->run->study));
    memcpy(d->clean, m.nll, sizeof *d->clean * (size_t)d->n_measured);
    measurement_free(&m);
    TRY(study_clean(&m, d->run->coefficients));
    memcpy(d->other_clean, m.nll, sizeof *d->other_clean * (size_t)d->n_windows);
    measurement_free(&m);
    return OK;
}

static int measure_all(Dynamic *d)
{
    int n;
    TRY(dynamic_clean(d));
    run_turn(d->run);
    int status = costs_measure(d);
    run_turn(d->run);
    TRY(status);
    add_uniform(d);
    double *budget = all_budgets(d, &n);
    for (int b = 0; b < n && status == OK; b++) status = add_at_budget(d, budget[b]);
    free(budget);
    TRY(status);
    return models_measure(d);
}

static int run(Run *run)
{
    Dynamic d;
    TRY(dynamic_open(&d, run, experiment_dynamic.name));
    int status = measure_all(&d);
    if (status == OK) {
        dynamic_say(&d);
        dynamic_tables(&d);
    }
    dynamic_close(&d);
    return status;
}

const Experiment experiment_dynamic = {
    .name = "dynamic", .summary = "allocations against uniform models and simple rules of the same size, on other text",
    .other_text = true, .plan = plan, .run = run,
};
