/*
 * registry.c - all estimators (ESTIMATOR_LIST), and what they share
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/glob.h"
#include "core/estimate/crossed.h"
#include "core/estimate/fit.h"
#include "experiments/estimators/estimator.h"

#define X(name) &estimator_##name,
const Estimator *const estimators[] = { ESTIMATOR_LIST(X) NULL };
#undef X

enum { N_ESTIMATORS = sizeof estimators / sizeof *estimators - 1 };

int estimator_find(const Estimator **out, const char *name)
{
    const char *names[N_ESTIMATORS];
    for (int i = 0; i < N_ESTIMATORS; i++) {
        names[i] = estimators[i]->name;
        if (strcmp(names[i], name)) continue;
        *out = estimators[i];
        return OK;
    }
    const char *near = err_nearest(name, names, N_ESTIMATORS);
    if (near) FAIL(ERR_ARGUMENT, "there is no estimator '%s'; did you mean '%s'?", name, near);
    FAIL(ERR_ARGUMENT, "there is no estimator '%s'; linearity run --help lists them", name);
}

void coefficients_init(Coefficients *out, const Estimator *estimator, const Run *run, const int *layer, int n_layers)
{
    const Corpus *corpus = study_corpus(run->study);
    const size_t layers = (size_t)n_layers, windows = (size_t)corpus->n_windows;
    *out = (Coefficients){ .estimator = estimator, .scale = options_text(run->options, "noise.scale"), .n_layers = n_layers,
                           .n_windows = corpus->n_windows, .n_draws = 1 };
    out->layer = xmalloc(sizeof *out->layer * layers);
    memcpy(out->layer, layer, sizeof *layer * layers);
    out->tokens = xmalloc(sizeof *out->tokens * windows);
    memcpy(out->tokens, corpus->tokens, sizeof *out->tokens * windows);
    out->a = xcalloc(layers * windows, sizeof *out->a);
}

void coefficients_free(Coefficients *c)
{
    void *all[] = { c->layer, c->tokens, c->a, c->sigma, c->rho, c->draws };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    *c = (Coefficients){ 0 };
}

int coefficients_place(const Coefficients *c, int layer)
{
    for (int i = 0; i < c->n_layers; i++)
        if (c->layer[i] == layer) return i;
    return -1;
}

/* Draws shared by all windows are a second thing that a mean was taken over; windows do not show it. */
static void add_draws(Estimate *e, const Coefficients *c, int place)
{
    if (!(e->se > 0)) return;
    const double se = crossed_se(e->se * e->se, c->draws[place]), wider = se / e->se;
    e->low = e->value - (e->value - e->low) * wider;
    e->high = e->value + (e->high - e->value) * wider;
    e->se = se;
}

int coefficient_estimate(Estimate *out, const Coefficients *c, const double *by_window, int place, const Run *run)
{
    const double one = 1;
    ResponseFit fit;
    TRY(fit_response(&fit, by_window + (int64_t)place * c->n_windows, &one, c->tokens, 1, c->n_windows,
                     (int)options_integer(run->options, "bootstrap"), study_seed(run->study)));
    *out = (Estimate){ fit.a, fit.a_se, fit.a_low, fit.a_high };
    if (by_window == c->a && c->draws) add_draws(out, c, place);
    return OK;
}

static bool is_checked(const Run *run, int layer)
{
    const int n = options_count(run->options, "check.layers");
    for (int i = 0; i < n; i++)
        if (glob_match(options_text_at(run->options, "check.layers", i), model_layer(study_model(run->study), layer)->name)) return true;
    return n == 0;
}

int estimator_layers(int **out, int *n, const Estimator *estimator, const Run *run)
{
    int *layer = xmalloc(sizeof *layer * (size_t)run->n_layers);
    *n = 0;
    for (int i = 0; i < run->n_layers; i++)
        if (!estimator->one_by_one || is_checked(run, run->layer[i])) layer[(*n)++] = run->layer[i];
    *out = layer;
    if (*n) return OK;
    free(layer);
    FAIL(ERR_ARGUMENT, "check.layers: none of the layers under study (layers) is among them, so the estimator %s has nothing to do", estimator->name);
}

static double one_by_one(const Run *run, const int *layer, int n)
{
    double passes = 0;
    for (int i = 0; i < n; i++) {
        MapEntry entry = { .layer = layer[i] };
        passes += measure_cost(run->study, &(LayerMap){ .n = 1, .entry = &entry });
    }
    return passes;
}

double estimator_extrapolation(const Run *run, const int *layer, int n)
{
    return one_by_one(run, run->layer, run->n_layers) / one_by_one(run, layer, n);
}

const Perturbation *noise_law(const Run *run) { return perturbation_find(options_text(run->options, "noise.law")); }

Options *noise_at(const Run *run, const Perturbation *law, double t2, const char *scale, const char *fresh)
{
    Options *o = options_new(law->options);
    char *level = xformat("%.17g", t2), *group = xformat("%lld", (long long)options_integer(run->options, "noise.group"));
    int failed = options_set(o, "t2", level, "noise.t2") || options_set(o, "group", group, "noise.group")
              || options_set(o, "scale", scale ? scale : options_text(run->options, "noise.scale"), "noise.scale")
              || options_set(o, "fresh", fresh ? fresh : options_text(run->options, "noise.fresh"), "noise.fresh");
    free(level);
    free(group);
    if (!failed) return o;
    options_free(o);
    return NULL;
}
