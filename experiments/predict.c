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
#include "experiments/sensitivity.h"

/* Everything the tables are made from. */
typedef struct {
    Run *run;
    Responses responses;
    int n_layers, n_choices;
    int64_t *weights;               /* [n_layers]                                    */
    double *a_kl, *a_nll;           /* [n_layers][n_windows]                         */
    double *v_kl, *v_nll;           /* [n_layers] variance of one draw               */
    double *alpha;                  /* [n_layers] mean of a_kl                       */
    double *t2, *bits, *kappa;      /* [n_layers][n_choices]                         */
    Table *predictions, *allocations;
    int inside, compared, better, budgets;
} Prediction;

static int64_t at(const Prediction *p, int layer, int choice) { return (int64_t)layer * p->n_choices + choice; }
static const Choice *choice_of(const Prediction *p, int choice) { return &p->run->config->choice[choice]; }
static const Layer *layer_of(const Prediction *p, int i) { return model_layer(study_model(p->run->study), p->run->layer[i]); }

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
        p->t2[at(p, i, c)] = error.t2, p->bits[at(p, i, c)] = error.bits, p->kappa[at(p, i, c)] = error.kappa;
    }
    free(w);
    free(out);
    return status;
}

static void emit_choices(const Prediction *p)
{
    Table *t = table_new("choices", "what each choice costs in bits and is predicted to cost in loss, layer by layer");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_INTEGER, "weights", "", "number of weights");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "all scales and zero points counted");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error");
    table_add_column(t, COLUMN_NUMBER, "kappa", "", "shrinkage, -<error, W>/||W||^2");
    table_add_column(t, COLUMN_NUMBER, "cost", "nats/token", "predicted KL, alpha t2");
    for (int i = 0; i < p->n_layers; i++)
        for (int c = 0; c < p->n_choices; c++) {
            int64_t row = table_add_row(t);
            table_set_text(t, row, "layer", layer_of(p, i)->name);
            table_set_integer(t, row, "block", layer_of(p, i)->block);
            table_set_text(t, row, "type", layer_type_name[layer_of(p, i)->type]);
            table_set_integer(t, row, "weights", p->weights[i]);
            table_set_text(t, row, "choice", choice_of(p, c)->name);
            table_set_number(t, row, "bits", p->bits[at(p, i, c)]);
            table_set_number(t, row, "t2", p->t2[at(p, i, c)]);
            table_set_number(t, row, "kappa", p->kappa[at(p, i, c)]);
            table_set_number(t, row, "cost", p->alpha[i] * p->t2[at(p, i, c)]);
        }
    run_emit(p->run, t);
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

/* ---- one whole model: predicted, measured, tabulated ---- */

static void prediction_columns(Table *t)
{
    table_add_column(t, COLUMN_TEXT, "model", "", "uniform: one choice for all layers; allocated: the best choices for the budget");
    table_add_column(t, COLUMN_TEXT, "choice", "", "of a uniform model");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "asked for");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average over the layers under study, all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "predicted_kl", "nats/token", "sum of alpha t2");
    table_add_column(t, COLUMN_NUMBER, "predicted_low", "nats/token", "95 % interval for the measured KL if the law holds");
    table_add_column(t, COLUMN_NUMBER, "predicted_high", "nats/token", "95 % interval, upper end");
    table_add_column(t, COLUMN_NUMBER, "kl", "nats/token", "measured");
    table_add_column(t, COLUMN_NUMBER, "kl_se", "nats/token", "standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "kl_ratio", "", "measured / predicted");
    table_add_column(t, COLUMN_INTEGER, "inside", "", "1: the measured KL lies in the interval");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll", "nats/token", "sum of the NLL's coefficients x t2");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll_low", "nats/token", "95 % interval");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll_high", "nats/token", "95 % interval");
    table_add_column(t, COLUMN_NUMBER, "delta_nll", "nats/token", "measured");
    table_add_column(t, COLUMN_NUMBER, "delta_nll_se", "nats/token", "standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "clean_ppl", "", "perplexity of the clean model");
    table_add_column(t, COLUMN_NUMBER, "ppl", "", "measured perplexity");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_ppl", "", "clean_ppl (exp(predicted_delta_nll) - 1)");
    table_add_column(t, COLUMN_NUMBER, "delta_ppl", "", "measured");
    table_add_column(t, COLUMN_NUMBER, "delta_ppl_se", "", "standard error over windows");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    table_add_column(t, COLUMN_TEXT, "note", "", "what to know about this row");
}

typedef struct { double kl, kl_se, delta, delta_se, clean_nll; } Measured;

static void measured_losses(Measured *out, const Prediction *p, const Measurement *m)
{
    int n = m->n_windows;
    double *delta = xmalloc(sizeof *delta * (size_t)n), unused;
    for (int w = 0; w < n; w++) delta[w] = m->nll[w] - p->responses.clean.nll[w];
    weighted_mean(&out->kl, &out->kl_se, m->kl, m->tokens, n);
    weighted_mean(&out->delta, &out->delta_se, delta, m->tokens, n);
    weighted_mean(&out->clean_nll, &unused, p->responses.clean.nll, m->tokens, n);
    free(delta);
}

static Interval predicted_delta(const Prediction *p, const double *t2, const Measurement *m)
{
    WindowCoefficients nll = { p->n_layers, p->responses.n_windows, p->a_nll, p->responses.clean.tokens };
    double *delta = xmalloc(sizeof *delta * (size_t)m->n_windows);
    for (int w = 0; w < m->n_windows; w++) delta[w] = m->nll[w] - p->responses.clean.nll[w];
    Interval interval = predict_loss(&nll, t2, p->v_nll, delta);
    free(delta);
    return interval;
}

static void add_prediction(Prediction *p, const char *model, const char *choice, double budget, double bits, const double *t2, const Measurement *m)
{
    WindowCoefficients c = { p->n_layers, p->responses.n_windows, p->a_kl, p->responses.clean.tokens };
    Interval kl = predict_loss(&c, t2, p->v_kl, m->kl), nll = predicted_delta(p, t2, m);
    Measured got;
    measured_losses(&got, p, m);
    double clean = exp(got.clean_nll), ppl = exp(got.clean_nll + got.delta);
    bool inside = got.kl >= kl.low && got.kl <= kl.high, near_floor = !(got.kl >= 20 * p->responses.floor_kl);
    const struct { const char *name; double value; } cell[] = {
        { "budget", budget }, { "bits", bits }, { "predicted_kl", kl.value }, { "predicted_low", kl.low }, { "predicted_high", kl.high },
        { "kl", got.kl }, { "kl_se", got.kl_se }, { "kl_ratio", got.kl / kl.value }, { "predicted_delta_nll", nll.value },
        { "predicted_delta_nll_low", nll.low }, { "predicted_delta_nll_high", nll.high }, { "delta_nll", got.delta }, { "delta_nll_se", got.delta_se },
        { "clean_ppl", clean }, { "ppl", ppl }, { "predicted_delta_ppl", clean * expm1(nll.value) }, { "delta_ppl", ppl - clean }, { "delta_ppl_se", ppl * got.delta_se },
    };
    Table *t = p->predictions;
    int64_t row = table_add_row(t);
    table_set_text(t, row, "model", model);
    table_set_text(t, row, "choice", choice);
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(t, row, cell[i].name, cell[i].value);
    table_set_integer(t, row, "inside", inside);
    table_set_integer(t, row, "near_floor", near_floor);
    table_set_text(t, row, "note", near_floor ? "near the noise floor" : inside ? "" : isfinite(kl.low) ? "outside the interval: the linear law has ended here" : "one window: no interval");
    p->compared++, p->inside += inside;
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
    choose(entry, p->run, choice);
    for (int i = 0; i < p->n_layers; i++) {
        t2[i] = p->t2[at(p, i, choice[i])];
        bits += p->bits[at(p, i, choice[i])] * (double)p->weights[i];
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
            row_layer[at(p, i, c)] = i;
            name[at(p, i, c)] = choice_of(p, c)->name;
            cost[at(p, i, c)] = p->alpha[i] * p->t2[at(p, i, c)];
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

static void allocation_columns(Table *t)
{
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "average allowed");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_TEXT, "choice", "", "what it gets");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of this layer");
    table_add_column(t, COLUMN_NUMBER, "cost", "nats/token", "predicted KL of this layer");
    table_add_column(t, COLUMN_INTEGER, "optimal", "", "1: no cheaper allocation fits this budget (proven)");
}

static int measure_models(Prediction *p)
{
    int *choice = xcalloc((size_t)p->n_layers, sizeof *choice), status = OK;
    for (int c = 0; c < p->n_choices && status == OK; c++) {
        for (int i = 0; i < p->n_layers; i++) choice[i] = c;
        status = measure_model(p, choice, "uniform", choice_of(p, c)->name, NAN);
    }
    const Options *options = p->run->options;
    for (int b = 0; b < options_count(options, "budgets") && status == OK; b++) {
        double budget = options_number_at(options, "budgets", b);
        char *name = xformat("%g bits", budget);
        status = allocate_budget(p, choice, budget);
        if (status == OK) status = measure_model(p, choice, "allocated", name, budget);
        free(name);
    }
    free(choice);
    return status;
}

/* For each budget the uniform model of the same size, where there is one, side by side. */
static void say_predictions(Prediction *p)
{
    const Table *t = p->predictions;
    run_say(p->run, "Whole models, predicted by adding up single layers and then measured: %d of %d measured values lie in their 95 %% interval.", p->inside, p->compared);
    for (int64_t a = 0; a < t->n_rows; a++) {
        if (strcmp(table_text(t, a, "model"), "allocated")) continue;
        double bits = table_number(t, a, "budget"), kl = table_number(t, a, "kl");
        int64_t same = -1;
        for (int64_t u = 0; u < t->n_rows; u++)
            if (!strcmp(table_text(t, u, "model"), "uniform") && fabs(table_number(t, u, "bits") - bits) < 1e-6) same = u;
        char *uniform = same < 0 ? xstrdup("")
            : xformat("; uniform %s of the same size: %.4g, so %.0f %% less (predicted %.0f %%)", table_text(t, same, "choice"), table_number(t, same, "kl"),
                      100 * (1 - kl / table_number(t, same, "kl")), 100 * (1 - table_number(t, a, "predicted_kl") / table_number(t, same, "predicted_kl")));
        run_say(p->run, "%.4g bits/weight allocated: KL %.4g +- %.2g (predicted %.4g%s)%s.", bits, kl, table_number(t, a, "kl_se"),
                table_number(t, a, "predicted_kl"), table_integer(t, a, "inside") ? "" : ", interval missed", uniform);
        free(uniform);
    }
}

static int run_all(Prediction *p)
{
    TRY(coefficients(p));
    for (int i = 0; i < p->n_layers; i++) TRY(apply_choices(p, i));
    emit_choices(p);
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
    *later = options_count(run->options, "budgets");
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
    p.predictions = table_new("predictions", "whole models: loss predicted from single layers, and measured");
    p.allocations = table_new("allocations", "the best choice per layer at each budget");
    prediction_columns(p.predictions);
    allocation_columns(p.allocations);
    int status = run_all(&p);
    prediction_free(&p);
    return status;
}

const Experiment experiment_predict = {
    .name = "predict", .summary = "allocate bits by the coefficients, measure the models, compare with the prediction",
    .plan = plan, .run = run,
};
