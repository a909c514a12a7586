/*
 * alpha_measure.c - rounds of measuring until the coefficients are good enough, and what is made of them
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/estimate/contrast.h"
#include "core/estimate/fit.h"
#include "experiments/alpha/alpha.h"
#include "experiments/run/run.h"

enum { FIRST_ROUND = 8 };           /* windows; each round has twice as many as the one before */

/* ---- one round ---- */

static void close_round(Alpha *a)
{
    coefficients_free(&a->c);
    free(a->plain);
    free(a->run.layer);
    keys_free(&a->run.seen);
    study_close(&a->run.study);
    a->plain = NULL;
    a->run = (Run){ 0 };
}

static int begin_progress(Alpha *a)
{
    Plan plan = { 0 };
    double work = 0;
    TRY(a->estimator->plan(&plan, &a->run));
    for (int i = 0; i < plan.n; i++) work += measure_cost(a->run.study, &plan.map[i]);
    for (int i = 0; i < plan.n_gradients; i++) work += gradients_cost(a->run.study, &plan.gradient[i]);
    a->run.progress = progress_begin(plan.n + plan.n_gradients * a->windows.n_windows, work, a->is_fisher ? "windows" : "measurements", a->quiet);
    plan_free(&plan);
    return OK;
}

static void set_provenance(const Alpha *a)
{
    const Config none = { .path = (char *)"linearity alpha", .text = (char *)"" };
    Provenance provenance = { 0 };
    run_provenance(&provenance, &none, a->options, &a->plan, clock_seconds() - a->start);
    store_set_provenance(a->store, &provenance);
    provenance_free(&provenance);
}

static int open_round(Alpha *a, int windows)
{
    close_round(a);
    TRY(alpha_text_reach(a, windows));
    a->windows = alpha_text_first(&a->text, windows);
    TRY(study_plan(&a->plan, model_shape(a->model), &a->windows, a->kernels, a->memory));
    set_provenance(a);
    a->run = (Run){ .options = a->options, .quiet = a->quiet };
    TRY(study_open(&a->run.study, a->model, &a->windows, a->kernels, &a->plan, (uint64_t)options_integer(a->options, "seed"), a->store));
    return run_layers(&a->run.layer, &a->run.n_layers, a->model, a->options);
}

/* Heavy windows are cut where that is asked for; what was measured stays in plain. */
static void cap_windows(Alpha *a)
{
    Coefficients *c = &a->c;
    const size_t bytes = sizeof(double) * (size_t)c->n_layers * (size_t)c->n_windows;
    int *unused = xmalloc(sizeof *unused * (size_t)c->n_layers);
    a->plain = memcpy(xmalloc(bytes), c->a, bytes);
    if (a->robust) influence_cap(c->a, unused, a->plain, c->n_layers, c->n_windows, ROBUST_CAP);
    if (a->robust && c->sigma) {
        double *sigma = xmalloc(bytes);
        influence_cap(sigma, unused, c->sigma, c->n_layers, c->n_windows, ROBUST_CAP);
        free(c->sigma);
        c->sigma = sigma;
    }
    free(unused);
}

int64_t *alpha_weights(const Alpha *a)
{
    int64_t *weights = xmalloc(sizeof *weights * (size_t)a->c.n_layers);
    for (int i = 0; i < a->c.n_layers; i++) weights[i] = model_layer(a->model, a->c.layer[i])->rows * model_layer(a->model, a->c.layer[i])->cols;
    return weights;
}

/* Draws that all windows share are an error that windows do not show. */
static double expected_regret(const Alpha *a)
{
    int64_t *weights = alpha_weights(a);
    double regret = a->c.draws ? NAN : contrast_regret(a->c.a, a->c.tokens, weights, a->c.n_layers, a->c.n_windows);
    free(weights);
    return regret;
}

static int measure_round(Alpha *a, int windows)
{
    TRY(open_round(a, windows));
    TRY(begin_progress(a));
    int status = a->estimator->run(&a->c, &a->run);
    progress_end(a->run.progress);
    TRY(status);
    cap_windows(a);
    a->regret = expected_regret(a);
    return OK;
}

/* ---- the numbers of each layer ---- */

static const Estimate unknown = { NAN, NAN, NAN, NAN };

static int layer_estimates(AlphaLayer *out, const Alpha *a, int i)
{
    const Coefficients *c = &a->c;
    double unused;
    out->layer = model_layer(a->model, c->layer[i]);
    TRY(coefficient_estimate(&out->alpha, c, c->a, i, &a->run));
    out->sigma = strcmp(c->scale, "matrix") ? unknown : out->alpha;
    if (c->sigma) TRY(coefficient_estimate(&out->sigma, c, c->sigma, i, &a->run));
    out->rho = out->rho_se = NAN;
    if (c->rho) weighted_mean(&out->rho, &out->rho_se, c->rho + (int64_t)i * c->n_windows, c->tokens, c->n_windows);
    weighted_mean(&out->plain, &unused, a->plain + (int64_t)i * c->n_windows, c->tokens, c->n_windows);
    out->top = influence_largest(a->plain + (int64_t)i * c->n_windows, c->tokens, c->n_windows);
    return OK;
}

static int finish_layers(Alpha *a)
{
    const Coefficients *c = &a->c;
    const size_t n = (size_t)c->n_layers;
    double *robust = xmalloc(sizeof *robust * n), *se = xmalloc(sizeof *se * n), *contrast = xmalloc(sizeof *contrast * n);
    int *capped = xmalloc(sizeof *capped * n), status = OK;
    int64_t *weights = alpha_weights(a);
    a->layer = xcalloc(n, sizeof *a->layer);
    influence_robust_mean(robust, se, capped, a->plain, c->tokens, c->n_layers, c->n_windows, ROBUST_CAP);
    contrast_errors(contrast, c->a, c->tokens, weights, c->n_layers, c->n_windows);
    for (int i = 0; i < c->n_layers && status == OK; i++) {
        AlphaLayer *l = &a->layer[i];
        status = layer_estimates(l, a, i);
        const bool shared = c->draws != NULL;          /* windows share their draws: their scatter says nothing of one window */
        l->robust = shared ? NAN : robust[i], l->robust_se = shared ? NAN : se[i], l->contrast_se = shared ? NAN : contrast[i];
        l->capped = shared ? 0 : capped[i];
    }
    free(robust);
    free(se);
    free(contrast);
    free(capped);
    free(weights);
    return status;
}

/* Would a round of n windows fit?  What is measured is not given up for one that does not. */
static int look_ahead(Alpha *a, int n)
{
    TRY(alpha_text_reach(a, n));
    StudyPlan plan;
    const Corpus more = alpha_text_first(&a->text, n);
    int status = study_plan(&plan, model_shape(a->model), &more, a->kernels, a->memory);
    a->short_of_memory = status == ERR_MEMORY;
    return a->short_of_memory ? OK : status;
}

int alpha_measure(Alpha *a)
{
    const int most = a->text.most;
    int n = a->target > 0 && FIRST_ROUND < most ? FIRST_ROUND : most;
    a->start = clock_seconds();
    TRY(measure_round(a, n));
    while (n < most && !(a->regret <= a->target)) {
        n = n <= most / 2 ? 2 * n : most;
        TRY(look_ahead(a, n));
        if (a->short_of_memory) break;
        TRY(measure_round(a, n));
    }
    set_provenance(a);
    return finish_layers(a);
}

static void add_row(double *sum, const double *row, int n)
{
    for (int i = 0; i < n; i++) sum[i] += row[i];
}

int alpha_sum(Estimate *out, const Alpha *a, int type)
{
    const Coefficients *c = &a->c;
    Coefficients sum = *c;
    sum.n_layers = 1;
    sum.a = xcalloc((size_t)c->n_windows, sizeof *sum.a);
    double draws = 0;
    if (c->draws) sum.draws = &draws;
    for (int i = 0; i < c->n_layers; i++) {
        if (type >= 0 && (int)model_layer(a->model, c->layer[i])->type != type) continue;
        add_row(sum.a, c->a + (int64_t)i * c->n_windows, c->n_windows);
        if (c->draws) draws += c->draws[i];
    }
    int status = coefficient_estimate(out, &sum, sum.a, 0, &a->run);
    free(sum.a);
    return status;
}

void alpha_free(Alpha *a)
{
    close_round(a);
    free(a->layer);
    a->layer = NULL;
    alpha_text_free(&a->text);
    options_free(a->options);
    a->options = NULL;
}
