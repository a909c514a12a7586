/*
 * predict.c - does the law predict quantized models, and does allocating by it help?
 *
 *     predicted KL = sum_l a_l t_l^2 [nats/token]
 *
 * From the coefficients of `sensitivity` (measured or found in the store) and t_l^2 of every choice:
 * the best choice per layer at each budget by exact dynamic programming, and the uniform model of each
 * choice; then all of them are measured on the same text and set beside their predictions.
 * Cost: one pass per choice and per budget.  Feeds the rows "allocation" of paper-repro.md.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"
#include "experiments/predict.h"

/* ---- what the choices do to the weights ---- */

static int apply_choices(Prediction *p, int i)
{
    const Layer *layer = layer_of(p, i);
    int64_t n = layer->rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n), *out = xmalloc(sizeof *out * (size_t)n);
    LayerWeights weights = { w, layer->rows, layer->cols, p->run->layer[i] };
    int status = model_read(w, study_model(p->run->study), layer->type, layer->block, 0, layer->rows);
    for (int c = 0; c < p->n_choices && status == OK; c++) {
        const Choice *choice = choice_of(p, c);
        PerturbationError error;
        status = perturbation_apply(out, &error, choice->perturbation, &weights, choice->options, NULL, (Draw){ study_seed(p->run->study), 0, 0 });
        if (status != OK) err_context(status, "%s", layer->name);
        p->t2[prediction_at(p, i, c)] = error.t2, p->bits[prediction_at(p, i, c)] = error.bits, p->kappa[prediction_at(p, i, c)] = error.kappa;
    }
    free(w);
    free(out);
    return status;
}

/* ---- coefficients by window ---- */

static int coefficients(Prediction *p)
{
    int windows = p->responses.n_windows;
    for (int i = 0; i < p->n_layers; i++) {
        const LayerResponse *r = &p->responses.layer[i];
        if (response_levels(r) == 0)
            FAIL(ERR_ARGUMENT, "%s: every KL is within 20 times the noise floor, so there is no coefficient to predict from; raise noise.t2 or use more text", layer_of(p, i)->name);
        response_coefficients(p->a_kl + (int64_t)i * windows, r, NULL);
        response_coefficients(p->a_nll + (int64_t)i * windows, r, p->responses.clean.nll);
        double se;
        weighted_mean(&p->alpha[i], &se, p->a_kl + (int64_t)i * windows, p->responses.clean.tokens, windows);
        p->weights[i] = layer_of(p, i)->rows * layer_of(p, i)->cols;
    }
    WindowCoefficients kl = { p->n_layers, windows, p->a_kl, p->responses.clean.tokens }, nll = kl;
    nll.a = p->a_nll;
    draw_variance(p->v_kl, &kl);
    draw_variance(p->v_nll, &nll);
    return OK;
}

/* entry[i]: layer i of those under study takes choice[i]. */
static void choose(MapEntry *entry, const Run *run, const int *choice)
{
    for (int i = 0; i < run->n_layers; i++) {
        const Choice *c = &run->config->choice[choice[i]];
        entry[i] = (MapEntry){ run->layer[i], c->perturbation, c->options };
    }
}

Table *allocation_table(void)
{
    Table *t = table_new("allocations", "the best choice per layer at each budget");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "average allowed");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_TEXT, "choice", "", "what it gets");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of this layer");
    table_add_column(t, COLUMN_NUMBER, "cost", "nats/token", "predicted KL of this layer");
    table_add_column(t, COLUMN_INTEGER, "optimal", "", "1: no cheaper allocation fits this budget (proven)");
    return t;
}

/* Measures the model that takes choice[i] in layer i. */
static int measure_model(Prediction *p, const int *choice, const char *model, const char *name, double budget)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)p->n_layers);
    double *t2 = xmalloc(sizeof *t2 * (size_t)p->n_layers), bits = 0, weights = 0;
    choose(entry, p->run, choice);
    for (int i = 0; i < p->n_layers; i++) {
        t2[i] = p->t2[prediction_at(p, i, choice[i])];
        bits += p->bits[prediction_at(p, i, choice[i])] * (double)p->weights[i];
        weights += (double)p->weights[i];
    }
    char *label = xformat("%s %s", model, name);
    LayerMap map = { .n = p->n_layers, .entry = entry, .label = label };
    Measurement m;
    int status = run_measure(&m, p->run, &map);
    if (status == OK) {
        add_prediction(p, model, strcmp(model, "uniform") ? "" : name, isnan(budget) ? bits / weights : budget, bits / weights, t2, &m);
        measurement_free(&m);
    }
    free(label);
    free(entry);
    free(t2);
    return status;
}

/* ---- budgets ---- */

static int allocate_budget(Prediction *p, int *choice, double budget)
{
    int n = p->n_layers * p->n_choices;
    const char **layer = xmalloc(sizeof *layer * (size_t)p->n_layers), **name = xmalloc(sizeof *name * (size_t)n);
    int *row_layer = xmalloc(sizeof *row_layer * (size_t)n);
    double *cost = xmalloc(sizeof *cost * (size_t)n);
    for (int i = 0; i < p->n_layers; i++) {
        layer[i] = layer_of(p, i)->name;
        for (int c = 0; c < p->n_choices; c++) {
            row_layer[prediction_at(p, i, c)] = i;
            name[prediction_at(p, i, c)] = choice_of(p, c)->name;
            cost[prediction_at(p, i, c)] = p->alpha[i] * p->t2[prediction_at(p, i, c)];
        }
    }
    ChoiceTable table = { p->n_layers, layer, p->weights, n, row_layer, name, p->bits, cost };
    Allocation best;
    int status = allocate(&best, &table, budget);
    for (int i = 0; i < p->n_layers && status == OK; i++) {
        choice[i] = best.row[i] % p->n_choices;
        int64_t row = table_add_row(p->allocations);
        table_set_number(p->allocations, row, "budget", budget);
        table_set_text(p->allocations, row, "layer", layer[i]);
        table_set_text(p->allocations, row, "choice", name[best.row[i]]);
        table_set_number(p->allocations, row, "bits", p->bits[best.row[i]]);
        table_set_number(p->allocations, row, "cost", cost[best.row[i]]);
        table_set_integer(p->allocations, row, "optimal", best.optimal);
    }
    if (status == OK) allocation_free(&best);
    free(layer);
    free(name);
    free(row_layer);
    free(cost);
    return status;
}

static double uniform_bits(const Prediction *p, int choice)
{
    double bits = 0, weights = 0;
    for (int i = 0; i < p->n_layers; i++) {
        bits += p->bits[prediction_at(p, i, choice)] * (double)p->weights[i];
        weights += (double)p->weights[i];
    }
    return bits / weights;
}

static double *given_budgets(const Run *run, int *n)
{
    *n = options_count(run->options, "budgets");
    double *budget = xmalloc(sizeof *budget * (size_t)(*n + run->config->n_choices));
    for (int b = 0; b < *n; b++) budget[b] = options_number_at(run->options, "budgets", b);
    return budget;
}

/* The budgets of the config; without any, the sizes of the uniform models, so that each has its match,
 * but for the smallest and the largest, which leave nothing to choose. */
static double *all_budgets(const Prediction *p, int *n)
{
    double *budget = given_budgets(p->run, n), least = INFINITY, most = 0;
    if (*n) return budget;
    for (int c = 0; c < p->n_choices; c++) least = fmin(least, uniform_bits(p, c)), most = fmax(most, uniform_bits(p, c));
    for (int c = 0; c < p->n_choices; c++)
        if (uniform_bits(p, c) > least && uniform_bits(p, c) < most) budget[(*n)++] = uniform_bits(p, c);
    return budget;
}

static int measure_models(Prediction *p)
{
    int *choice = xcalloc((size_t)p->n_layers, sizeof *choice), n, status = OK;
    double *budget = all_budgets(p, &n);
    for (int c = 0; c < p->n_choices && status == OK; c++) {
        for (int i = 0; i < p->n_layers; i++) choice[i] = c;
        status = measure_model(p, choice, "uniform", choice_of(p, c)->name, NAN);
    }
    for (int b = 0; b < n && status == OK; b++) {
        char *name = xformat("%g bits", budget[b]);
        int before = p->run->measured + p->run->found;
        status = allocate_budget(p, choice, budget[b]);
        if (status == OK) status = measure_model(p, choice, "allocated", name, budget[b]);
        if (status == OK && p->run->measured + p->run->found == before) progress_skip(p->run->progress, 1);     /* a uniform model again */
        free(name);
    }
    free(choice);
    free(budget);
    return status;
}

static int run_all(Prediction *p)
{
    TRY(coefficients(p));
    for (int i = 0; i < p->n_layers; i++) TRY(apply_choices(p, i));
    run_emit(p->run, choice_table(p));
    TRY(measure_models(p));
    say_predictions(p);
    run_emit(p->run, p->allocations);
    run_emit(p->run, p->predictions);
    p->allocations = p->predictions = NULL;
    return OK;
}

static void prediction_free(Prediction *p)
{
    responses_free(&p->responses);
    double *all[] = { p->a_kl, p->a_nll, p->v_kl, p->v_nll, p->alpha, p->t2, p->bits, p->kappa };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(p->weights);
    if (p->predictions) table_free(p->predictions);
    if (p->allocations) table_free(p->allocations);
}

static int check_choices(const Run *run)
{
    const Config *config = run->config;
    if (config->n_choices == 0) FAIL(ERR_ARGUMENT, "%s: the experiment predict needs choices, for example choices: [{rtn: {bits: [3, 4], group: 64}}]", config->path);
    for (int c = 0; c < config->n_choices; c++) {
        const Choice *choice = &config->choice[c];
        if (choice->perturbation->random)
            FAIL(ERR_ARGUMENT, "%s: '%s' is noise and has no size in bits, so it cannot be a choice", config->path, choice->perturbation->name);
        for (int i = 0; i < run->n_layers && choice->perturbation->check; i++) {
            const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
            int status = choice->perturbation->check(layer->rows, layer->cols, choice->options);
            if (status != OK) return err_context(status, "choice %s, %s", choice->name, layer->name);
        }
    }
    return OK;
}

/* The bits of one choice in one layer, from a few rows: enough to tell a hopeless budget before hours
 * of measuring, not to allocate by. */
static int first_bits(double *bits, const Run *run, int i, const Choice *choice)
{
    enum { ROWS = 16 };
    const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
    int64_t rows = layer->rows < ROWS ? layer->rows : ROWS, n = rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n), *out = xmalloc(sizeof *out * (size_t)n);
    LayerWeights weights = { w, rows, layer->cols, run->layer[i] };
    PerturbationError error;
    int status = model_read(w, study_model(run->study), layer->type, layer->block, 0, rows);
    if (status == OK) status = perturbation_apply(out, &error, choice->perturbation, &weights, choice->options, NULL, (Draw){ study_seed(run->study), 0, 0 });
    if (status == OK) *bits = error.bits;
    free(w);
    free(out);
    return status == OK ? OK : err_context(status, "choice %s, %s", choice->name, layer->name);
}

static int check_budgets(const Run *run)
{
    double least = 0, weights = 0;
    for (int i = 0; i < run->n_layers; i++) {
        const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
        double fewest = INFINITY, bits = 0;
        for (int c = 0; c < run->config->n_choices; c++) {
            TRY(first_bits(&bits, run, i, &run->config->choice[c]));
            fewest = fmin(fewest, bits);
        }
        least += fewest * (double)(layer->rows * layer->cols);
        weights += (double)(layer->rows * layer->cols);
    }
    for (int b = 0; b < options_count(run->options, "budgets"); b++)
        if (options_number_at(run->options, "budgets", b) * weights < least * (1 - 1e-9))
            FAIL(ERR_BUDGET, "%s: no allocation fits the budget of %g bits per weight; the smallest choices need %.6f (group sizes and scales count)",
                 run->config->path, options_number_at(run->options, "budgets", b), least / weights);
    return OK;
}

static void plan_uniform(Plan *out, const Run *run)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)run->n_layers);
    int *choice = xmalloc(sizeof *choice * (size_t)run->n_layers);
    for (int c = 0; c < run->config->n_choices; c++) {
        for (int i = 0; i < run->n_layers; i++) choice[i] = c;
        choose(entry, run, choice);
        plan_add(out, entry, run->n_layers, 0, run->config->choice[c].name);
    }
    free(entry);
    free(choice);
}

static int plan(Plan *out, int *later, Run *run)
{
    TRY(check_choices(run));
    TRY(check_budgets(run));
    TRY(responses_plan(out, run));
    plan_uniform(out, run);
    free(given_budgets(run, later));
    if (*later == 0 && run->config->n_choices > 2) *later = run->config->n_choices - 2;
    return OK;
}

static int run(Run *run)
{
    TRY(check_choices(run));
    Prediction p = { .run = run, .n_layers = run->n_layers, .n_choices = run->config->n_choices };
    TRY(responses_measure(&p.responses, run));
    size_t layers = (size_t)p.n_layers, windows = layers * (size_t)p.responses.n_windows, rows = layers * (size_t)p.n_choices;
    p.weights = xcalloc(layers, sizeof *p.weights);
    p.a_kl = xcalloc(windows, sizeof(double)), p.a_nll = xcalloc(windows, sizeof(double));
    p.v_kl = xcalloc(layers, sizeof(double)), p.v_nll = xcalloc(layers, sizeof(double)), p.alpha = xcalloc(layers, sizeof(double));
    p.t2 = xcalloc(rows, sizeof(double)), p.bits = xcalloc(rows, sizeof(double)), p.kappa = xcalloc(rows, sizeof(double));
    p.predictions = prediction_table();
    p.allocations = allocation_table();
    int status = run_all(&p);
    prediction_free(&p);
    return status;
}

const Experiment experiment_predict = {
    .name = "predict", .summary = "allocate bits by the coefficients, measure the models, compare with the prediction",
    .plan = plan, .run = run,
};
