/*
 * sensitivity.c - how much does the loss grow with error in one layer?
 *
 *     KL(t^2) = a t^2 + b t^4 [nats/token], noise of relative error t^2 in one matrix at a time
 *
 * a of all layers from one backward pass (estimators/fisher.c), with errors over windows.  For the layers of check.layers, or for all with
 * estimator: inject, noise in one layer at a time: a by least squares of KL/t^2 on (1, t^2), the curvature b
 * where there are several levels, the range of t^2 in which the law holds to 5 and 10 %; beside it the paper's fit on the same
 * data (Algorithm 3 of arXiv 2411.17525: PPL, through the origin; the estimator `paper` is the recipe in full).
 * Cost: about three passes of the model in all, and .6 passes per layer, level and draw checked.  Feeds table 1 of paper-repro.md.
 */
#include "experiments/sensitivity/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/glob.h"
#include "core/estimate/fit.h"
#include "core/store/table.h"

/* Adds the values of a list option that are not there yet. */
static int add_levels(double *level, int n, const Options *options, const char *name)
{
    for (int i = 0; i < options_count(options, name); i++) {
        double value = options_number_at(options, name, i);
        int known = 0;
        for (int j = 0; j < n; j++) known |= level[j] == value;
        if (!known) level[n++] = value;
    }
    return n;
}

static bool is_checked(const Run *run, int layer)
{
    for (int i = 0; i < options_count(run->options, "check.layers"); i++)
        if (glob_match(options_text_at(run->options, "check.layers", i), model_layer(study_model(run->study), layer)->name)) return true;
    return false;
}

bool uses_fisher(const Run *run) { return !strcmp(options_text(run->options, "estimator"), "fisher"); }

static int layer_levels(double *level, const Run *run, int layer)
{
    if (uses_fisher(run) && !is_checked(run, layer)) return 0;
    int n = add_levels(level, 0, run->options, "noise.t2");
    return is_checked(run, layer) ? add_levels(level, n, run->options, "check.t2") : n;
}

static int check_patterns(const Run *run)
{
    const Model *model = study_model(run->study);
    int n = model_layer_count(model), k = options_count(run->options, "check.layers"), status = OK;
    const char **names = xmalloc(sizeof *names * (size_t)n), **patterns = xmalloc(sizeof *patterns * (size_t)(k ? k : 1));
    bool *selected = xmalloc(sizeof *selected * (size_t)n);
    for (int l = 0; l < n; l++) names[l] = model_layer(model, l)->name;
    for (int i = 0; i < k; i++) patterns[i] = options_text_at(run->options, "check.layers", i);
    if (k) status = glob_select(selected, patterns, k, names, n, "check.layers: no layer") < 0 ? ERR_ARGUMENT : OK;
    free(names);
    free(patterns);
    free(selected);
    return status;
}

/* Every draw of one level of one layer. */
static int plan_level(Plan *out, const Run *run, const Perturbation *law, int layer, double t2)
{
    Options *options = noise_at(run, law, t2, NULL, NULL);
    if (!options) return ERR_ARGUMENT;
    MapEntry entry = { layer, law, options };
    for (int draw = 0; draw < options_integer(run->options, "noise.draws"); draw++) {
        char *label = xformat("%s %s t2=%g draw %d", model_layer(study_model(run->study), layer)->name, law->name, t2, draw);
        plan_add(out, &(LayerMap){ .n = 1, .entry = &entry, .draw = draw, .label = label });
        free(label);
    }
    options_free(options);
    return OK;
}

int responses_plan(Plan *out, Run *run)
{
    TRY(check_patterns(run));
    const Perturbation *law = noise_law(run);
    if (!law) return ERR_ARGUMENT;
    if (uses_fisher(run)) TRY(estimator_fisher.plan(out, run));
    plan_add_null(out);
    double *level = xmalloc(sizeof *level * (size_t)(options_count(run->options, "noise.t2") + options_count(run->options, "check.t2")));
    int status = OK;
    for (int i = 0; i < run->n_layers && status == OK; i++) {
        int n = layer_levels(level, run, run->layer[i]);
        for (int j = 0; j < n && status == OK; j++) status = plan_level(out, run, law, run->layer[i], level[j]);
    }
    free(level);
    return status;
}

/* ---- collecting ---- */

/* Levels of noise.t2 are those that every layer has. */
static void mark_common(LayerResponse *r, const Run *run)
{
    for (int j = 0; j < r->n_points; j++) {
        r->common[j] = false;
        for (int i = 0; i < options_count(run->options, "noise.t2"); i++)
            r->common[j] |= r->t2_asked[j] == options_number_at(run->options, "noise.t2", i);
    }
}

static int measure_layer(LayerResponse *out, Run *run, const LayerMap *map, int n)
{
    response_init(out, map[0].entry[0].layer, n, study_corpus(run->study)->n_windows);
    for (int j = 0; j < n; j++) {
        Measurement m;
        TRY(run_measure(&m, run, &map[j]));
        response_set(out, j, &m, map[j].draw);
        measurement_free(&m);
    }
    mark_common(out, run);
    return OK;
}

static int measure_all(Responses *r, Run *run, const Plan *maps)
{
    TRY(study_clean(&r->clean, run->study));
    TRY(run_measure(&r->null_run, run, &maps->map[0]));
    double se;
    weighted_mean(&r->floor_kl, &se, r->null_run.kl, r->clean.tokens, r->n_windows);
    for (int at = 1; at < maps->n;) {
        int n = 1, layer = maps->map[at].entry[0].layer;
        while (at + n < maps->n && maps->map[at + n].entry[0].layer == layer) n++;
        r->n_layers++;
        TRY(measure_layer(&r->layer[r->n_layers - 1], run, &maps->map[at], n));
        at += n;
    }
    for (int i = 0; i < r->n_layers; i++) response_use_above(&r->layer[i], FLOOR_FACTOR * r->floor_kl, r->clean.tokens);
    return OK;
}

int responses_measure(Responses *out, Run *run)
{
    Plan maps = { 0 };
    Responses r = { .n_windows = study_corpus(run->study)->n_windows, .layer = xcalloc((size_t)run->n_layers, sizeof *r.layer) };
    int status = responses_plan(&maps, run);
    if (status == OK && uses_fisher(run)) status = estimator_fisher.run(&r.fisher, run);
    if (status == OK) status = measure_all(&r, run, &maps);
    plan_free(&maps);
    if (status != OK) responses_free(&r);
    else *out = r;
    return status;
}

void responses_free(Responses *r)
{
    for (int i = 0; i < r->n_layers; i++) response_free(&r->layer[i]);
    free(r->layer);
    coefficients_free(&r->fisher);
    measurement_free(&r->clean);
    measurement_free(&r->null_run);
    *r = (Responses){ 0 };
}

static int plan(Plan *out, int *later, Run *run)
{
    *later = 0;
    return responses_plan(out, run);
}

static void emit_fisher(Run *run, const Responses *r)
{
    Table *checks = check_table(run, r);
    say_fisher(run, &r->fisher);
    run_emit(run, window_table(run, &r->fisher));
    run_emit(run, covariance_table(run, &r->fisher));
    if (!checks) return;
    say_checks(run, checks);
    run_emit(run, checks);
}

static int run(Run *run)
{
    Responses r;
    Table *coefficients = NULL;
    TRY(responses_measure(&r, run));
    int status = coefficient_table(&coefficients, run, &r);
    if (status == OK) {
        run_say(run, "Noise floor: a null run (nothing perturbed, other rounding) gives KL %.1e nats/token; smaller differences mean nothing.", r.floor_kl);
        say_coefficients(run, coefficients);
        if (uses_fisher(run)) emit_fisher(run, &r);
        run_emit(run, floor_table(&r));
        if (r.n_layers) run_emit(run, response_table(run, &r));
        run_emit(run, coefficients);
    }
    responses_free(&r);
    return status;
}

const Experiment experiment_sensitivity = {
    .name = "sensitivity", .summary = "the coefficients alpha of all layers, their errors, the range of the law where single layers are checked",
    .plan = plan, .run = run,
};
