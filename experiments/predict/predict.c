/*
 * predict.c - does the law predict quantized models, and does allocating by it help?
 *
 *     predicted KL = sum_l a_l t_l^2 [nats/token]
 *
 * From the coefficients of `sensitivity` (measured or found in the store) and t_l^2 of every choice:
 * the best choice per layer at each budget by exact dynamic programming, and the uniform model of each
 * choice; then all of them are measured on the same text and set beside their predictions.
 * Cost: one pass per choice and per budget.  Feeds table 2 of paper-repro.md.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/predict/predict.h"

static int check_choices(const Run *run)
{
    const Config *config = run->config;
    if (config->n_choices == 0) FAIL(ERR_ARGUMENT, "%s: the experiment predict needs choices, for example choices: [{rtn: {bits: [3, 4], group: 64}}]", config->path);
    return run_check_choices(run);
}

/* entry[i]: layer i of those under study takes choice[i]. */
static void choose(MapEntry *entry, const Run *run, const int *choice)
{
    for (int i = 0; i < run->n_layers; i++) {
        const Choice *c = &run->config->choice[choice[i]];
        entry[i] = (MapEntry){ run->layer[i], c->perturbation, c->options };
    }
}

/* Measures the model that takes choice[i] in layer i. */
static int measure_model(Prediction *p, const int *choice, const char *model, const char *name, double budget)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)p->n_layers);
    double *t2 = xmalloc(sizeof *t2 * (size_t)p->n_layers), bits = 0, weights = 0;
    bool stands = true;
    choose(entry, p->run, choice);
    for (int i = 0; i < p->n_layers; i++) {
        t2[i] = p->t2[prediction_at(p, i, choice[i])];
        bits += p->bits[prediction_at(p, i, choice[i])] * (double)p->weights[i];
        weights += (double)p->weights[i];
        stands &= noise_stands_for(p->run, choice_of(p, choice[i]));
    }
    char *label = xformat("%s %s", model, name);
    LayerMap map = { .n = p->n_layers, .entry = entry, .label = label };
    Measurement m;
    int status = run_measure(&m, p->run, &map);
    if (status == OK) {
        WholeModel whole = { model, strcmp(model, "uniform") ? "" : name, isnan(budget) ? bits / weights : budget, bits / weights, t2, stands };
        add_prediction(p, &whole, &m);
        measurement_free(&m);
    }
    free(label);
    free(entry);
    free(t2);
    return status;
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
    prediction_coefficients(p);
    for (int i = 0; i < p->n_layers; i++) TRY(apply_choices(p, i));
    run_emit(p->run, choice_table(p));
    TRY(measure_models(p));
    say_noise(p);
    say_predictions(p);
    run_emit(p->run, p->allocations);
    run_emit(p->run, p->predictions);
    p->allocations = p->predictions = NULL;
    return OK;
}

static void prediction_free(Prediction *p)
{
    responses_free(&p->responses);
    double *all[] = { p->kl.a, p->kl.by_draw, p->kl.v, p->nll.a, p->nll.by_draw, p->nll.v, p->alpha, p->t2_noise, p->t2, p->bits, p->kappa };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(p->weights);
    free(p->bound);
    if (p->predictions) table_free(p->predictions);
    if (p->allocations) table_free(p->allocations);
}

static void plan_uniform(Plan *out, const Run *run)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)run->n_layers);
    int *choice = xmalloc(sizeof *choice * (size_t)run->n_layers);
    for (int c = 0; c < run->config->n_choices; c++) {
        for (int i = 0; i < run->n_layers; i++) choice[i] = c;
        choose(entry, run, choice);
        plan_add(out, &(LayerMap){ .n = run->n_layers, .entry = entry, .label = run->config->choice[c].name });
    }
    free(entry);
    free(choice);
}

static int plan(Plan *out, int *later, Run *run)
{
    TRY(check_choices(run));
    TRY(run_check_budgets(run, false));
    TRY(responses_plan(out, run));
    plan_uniform(out, run);
    *later = options_count(run->options, "budgets");
    if (*later == 0 && run->config->n_choices > 2) *later = run->config->n_choices - 2;
    return OK;
}

static LossCoefficients loss_init(const Prediction *p)
{
    size_t layers = (size_t)p->n_layers;
    return (LossCoefficients){ xcalloc(layers * (size_t)p->responses.n_windows, sizeof(double)), xcalloc(layers * (size_t)p->n_draws, sizeof(double)),
                               xcalloc(layers, sizeof(double)) };
}

static void prediction_init(Prediction *p)
{
    size_t layers = (size_t)p->n_layers, rows = layers * (size_t)p->n_choices;
    p->weights = xcalloc(layers, sizeof *p->weights);
    p->bound = xcalloc(layers, sizeof *p->bound);
    p->kl = loss_init(p);
    p->nll = loss_init(p);
    p->alpha = xcalloc(layers, sizeof(double)), p->t2_noise = xcalloc(layers, sizeof(double));
    p->t2 = xcalloc(rows, sizeof(double)), p->bits = xcalloc(rows, sizeof(double)), p->kappa = xcalloc(rows, sizeof(double));
    p->predictions = prediction_table();
    p->allocations = allocation_table();
}

static int run(Run *run)
{
    TRY(check_choices(run));
    Prediction p = { .run = run, .n_layers = run->n_layers, .n_choices = run->config->n_choices,
                     .n_draws = (int)options_integer(run->options, "noise.draws"), .shared = !strcmp(options_text(run->options, "noise.fresh"), "shared") };
    if (uses_fisher(run)) p.n_draws = (int)options_integer(run->options, "probes"), p.shared = false;
    TRY(responses_measure(&p.responses, run));
    prediction_init(&p);
    int status = run_all(&p);
    prediction_free(&p);
    return status;
}

const Experiment experiment_predict = {
    .name = "predict", .summary = "allocate bits by the coefficients, measure the models, compare with the prediction",
    .plan = plan, .run = run,
};
