/*
 * inject.c - coefficients from noise injected into one layer at a time, fresh in every window
 *
 *     kl           a = KL / t^2                                     no first order in the error: the least noise
 *     nll-pair     a = [(NLL+ + NLL-) / 2 - NLL] / t^2              errors of both signs: first order cancels
 *     nll-control  a = (NLL+ - NLL - g . delta) / t^2               first order taken off, g from one backward pass
 *
 * at the first level of noise.t2, whose curvature they contain.  Cost: .6 passes per layer (pairs: 1.2), from the
 * clean states before the layer's block.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/estimators/estimator.h"

typedef enum { KL, NLL_PAIR, NLL_CONTROL } Way;

typedef struct {
    const Estimator *estimator;
    Way way;
    Run *run;
    const Perturbation *law;
    Options *options;
    int *layer, n_layers, n_draws;
} Injection;

static int injection_init(Injection *in, const Estimator *estimator, Way way, Run *run)
{
    *in = (Injection){ .estimator = estimator, .way = way, .run = run, .law = noise_law(run), .n_draws = (int)options_integer(run->options, "noise.draws") };
    if (!in->law) return ERR_ARGUMENT;
    if (way == NLL_CONTROL && in->n_draws > MOST_ERRORS)
        FAIL(ERR_ARGUMENT, "the estimator nll-control takes at most %d draws (noise.draws is %d)", MOST_ERRORS, in->n_draws);
    in->options = noise_at(run, in->law, options_number_at(run->options, "noise.t2", 0), NULL, "sequence");
    if (!in->options) return ERR_ARGUMENT;
    int status = estimator_layers(&in->layer, &in->n_layers, estimator, run);
    if (status != OK) options_free(in->options);
    return status;
}

static void injection_free(Injection *in)
{
    options_free(in->options);
    free(in->layer);
}

/* One layer's noise: draw and sign. */
typedef struct { MapEntry entry; LayerMap map; char *label; } OneLayer;

static void one_layer(OneLayer *out, const Injection *in, int layer, int draw, bool mirrored)
{
    out->entry = (MapEntry){ layer, in->law, in->options };
    out->label = xformat("%s %s t2=%g draw %d%s", model_layer(study_model(in->run->study), layer)->name, in->law->name,
                         options_number(in->options, "t2"), draw, mirrored ? " mirrored" : "");
    out->map = (LayerMap){ .n = 1, .entry = &out->entry, .draw = draw, .mirrored = mirrored, .label = out->label };
}

/* g . delta of every layer and draw: all from one backward pass over the text's labels. */
static void first_order_request(GradientRequest *out, ErrorForm *error, char name[][24], const Injection *in)
{
    for (int d = 0; d < in->n_draws; d++) {
        snprintf(name[d], 24, "noise%d", d);
        error[d] = (ErrorForm){ name[d], in->law, in->options, d };
    }
    *out = (GradientRequest){ .probe = PROBE_LABELS, .group = (int)options_integer(in->run->options, "noise.group"), .n_layers = in->n_layers,
                              .layer = in->layer, .n_errors = in->n_draws, .error = error, .label = "gradient of the NLL" };
}

static int plan_injection(Plan *plan, Run *run, const Estimator *estimator, Way way)
{
    Injection in;
    TRY(injection_init(&in, estimator, way, run));
    if (way == NLL_CONTROL) {
        GradientRequest request;
        ErrorForm error[MOST_ERRORS];
        char name[MOST_ERRORS][24];
        first_order_request(&request, error, name, &in);
        plan_add_gradients(plan, &request);
    }
    for (int i = 0; i < in.n_layers; i++)
        for (int d = 0; d < in.n_draws; d++)
            for (int side = 0; side <= (way == NLL_PAIR); side++) {
                OneLayer one;
                one_layer(&one, &in, in.layer[i], d, side);
                plan_add(plan, &one.map);
                free(one.label);
            }
    injection_free(&in);
    return OK;
}

/* Adds what one measurement says of the layer to its row of windows. */
static void add_response(Coefficients *out, const Injection *in, int place, const Measurement *m, const Measurement *clean, const double *first_order)
{
    double *a = out->a + (int64_t)place * out->n_windows;
    const double share = 1.0 / in->n_draws / (in->way == NLL_PAIR ? 2 : 1);
    for (int w = 0; w < out->n_windows && m->t2[0] > 0; w++) {
        double loss = in->way == KL ? m->kl[w] : m->nll[w] - clean->nll[w];
        if (first_order) loss -= first_order[w];
        a[w] += share * loss / m->t2[0];
    }
    out->seconds += m->seconds;
}

static int add_layer(Coefficients *out, const Injection *in, int place, const Measurement *clean, const Measurement *gradient)
{
    for (int d = 0; d < in->n_draws; d++)
        for (int side = 0; side <= (in->way == NLL_PAIR); side++) {
            OneLayer one;
            Measurement m;
            one_layer(&one, in, in->layer[place], d, side);
            int status = run_measure(&m, in->run, &one.map);
            out->passes += measure_cost(in->run->study, &one.map);
            free(one.label);
            TRY(status);
            char name[32];
            snprintf(name, sizeof name, "noise%d.dot", d);
            add_response(out, in, place, &m, clean, gradient ? measurement_form(gradient, name) + (int64_t)place * out->n_windows : NULL);
            measurement_free(&m);
        }
    return OK;
}

static int first_order(Measurement *out, Coefficients *cost, const Injection *in)
{
    GradientRequest request;
    ErrorForm error[MOST_ERRORS];
    char name[MOST_ERRORS][24];
    first_order_request(&request, error, name, in);
    TRY(run_gradients(out, in->run, &request));
    cost->passes += gradients_cost(in->run->study, &request);
    cost->seconds += out->seconds;
    return OK;
}

static int run_injection(Coefficients *out, Run *run, const Estimator *estimator, Way way)
{
    Injection in;
    Measurement clean, gradient = { 0 };
    TRY(injection_init(&in, estimator, way, run));
    coefficients_init(out, estimator, run, in.layer, in.n_layers);
    int status = study_clean(&clean, run->study);
    if (status == OK) {
        if (way == NLL_CONTROL) status = first_order(&gradient, out, &in);
        const double once = out->passes;
        for (int i = 0; i < in.n_layers && status == OK; i++) status = add_layer(out, &in, i, &clean, way == NLL_CONTROL ? &gradient : NULL);
        out->passes_all = once + (out->passes - once) * estimator_extrapolation(run, in.layer, in.n_layers);
        measurement_free(&gradient);
        measurement_free(&clean);
    }
    injection_free(&in);
    if (status != OK) coefficients_free(out);
    return status;
}

static int plan_kl(Plan *p, Run *run) { return plan_injection(p, run, &estimator_kl, KL); }
static int plan_pair(Plan *p, Run *run) { return plan_injection(p, run, &estimator_nll_pair, NLL_PAIR); }
static int plan_control(Plan *p, Run *run) { return plan_injection(p, run, &estimator_nll_control, NLL_CONTROL); }
static int run_kl(Coefficients *out, Run *run) { return run_injection(out, run, &estimator_kl, KL); }
static int run_pair(Coefficients *out, Run *run) { return run_injection(out, run, &estimator_nll_pair, NLL_PAIR); }
static int run_control(Coefficients *out, Run *run) { return run_injection(out, run, &estimator_nll_control, NLL_CONTROL); }

const Estimator estimator_kl = {
    .name = "kl", .summary = "KL under noise in one layer at a time", .metric = "nats/token (KL)", .caveat = "holds the curvature up to its level",
    .one_by_one = true, .plan = plan_kl, .run = run_kl,
};

const Estimator estimator_nll_pair = {
    .name = "nll-pair", .summary = "NLL under noise of both signs in one layer at a time", .metric = "nats/token (NLL)",
    .caveat = "of the NLL; holds the curvature up to its level", .one_by_one = true, .plan = plan_pair, .run = run_pair,
};

const Estimator estimator_nll_control = {
    .name = "nll-control", .summary = "NLL under noise minus its first order by the gradient", .metric = "nats/token (NLL)",
    .caveat = "of the NLL; holds the curvature up to its level", .one_by_one = true, .plan = plan_control, .run = run_control,
};
