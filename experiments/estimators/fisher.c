/*
 * fisher.c - all coefficients from one backward pass per window
 *
 *     a_l = E sum_rg rms(w_rg)^2 ||G_rg||^2 / (2 T)      (protocol.md eq. 8; gradients.h)
 *
 * G the gradient of a random loss whose covariance is the Fisher matrix: random signs on the logits, or labels drawn
 * from the model.  With the text's own labels the mean is another one (the empirical Fisher), shown to say by how much.
 * Cost: about three forward passes of the text for each probe, whatever the number of layers.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/estimators/estimator.h"

static GradientRequest request_of(const Run *run, Probe probe, int draw, const char *label)
{
    return (GradientRequest){ .probe = probe, .draw = draw, .group = (int)options_integer(run->options, "noise.group"), .n_layers = run->n_layers,
                              .layer = run->layer, .label = label };
}

/* The text has one label for each position, however often it is asked. */
static int probes_of(const Run *run, Probe probe) { return probe == PROBE_LABELS ? 1 : (int)options_integer(run->options, "probes"); }

static void add_form(double *sum, const Measurement *m, const char *name, double share)
{
    const double *form = measurement_form(m, name);
    for (int64_t i = 0; i < (int64_t)m->n_layers * m->n_windows; i++) sum[i] += share * form[i];
}

static int add_probe(Coefficients *out, Run *run, Probe probe, int draw)
{
    GradientRequest request = request_of(run, probe, draw, out->estimator->name);
    const double share = 1.0 / probes_of(run, probe);
    Measurement m;
    TRY(run_gradients(&m, run, &request));
    add_form(out->a, &m, !strcmp(out->scale, "group") ? "group" : "sigma", share);
    add_form(out->sigma, &m, "sigma", share);
    add_form(out->rho, &m, "rho", share);
    out->passes += gradients_cost(run->study, &request);
    out->seconds += m.seconds;
    measurement_free(&m);
    return OK;
}

static int estimate(Coefficients *out, Run *run, const Estimator *estimator, Probe probe)
{
    coefficients_init(out, estimator, run, run->layer, run->n_layers);
    const size_t n = (size_t)out->n_layers * (size_t)out->n_windows;
    out->n_draws = probes_of(run, probe);
    out->sigma = xcalloc(n, sizeof *out->sigma);
    out->rho = xcalloc(n, sizeof *out->rho);
    int status = OK;
    for (int draw = 0; draw < probes_of(run, probe) && status == OK; draw++) status = add_probe(out, run, probe, draw);
    out->passes_all = out->passes;
    if (status != OK) coefficients_free(out);
    return status;
}

static int plan(Plan *plan, Run *run, Probe probe, const char *label)
{
    for (int draw = 0; draw < probes_of(run, probe); draw++) {
        GradientRequest request = request_of(run, probe, draw, label);
        plan_add_gradients(plan, &request);
    }
    return OK;
}

static int plan_signs(Plan *p, Run *run) { return plan(p, run, PROBE_SIGNS, estimator_fisher.name); }
static int plan_sampled(Plan *p, Run *run) { return plan(p, run, PROBE_SAMPLED, estimator_fisher_sampled.name); }
static int plan_labels(Plan *p, Run *run) { return plan(p, run, PROBE_LABELS, estimator_fisher_labels.name); }
static int run_signs(Coefficients *out, Run *run) { return estimate(out, run, &estimator_fisher, PROBE_SIGNS); }
static int run_sampled(Coefficients *out, Run *run) { return estimate(out, run, &estimator_fisher_sampled, PROBE_SAMPLED); }
static int run_labels(Coefficients *out, Run *run) { return estimate(out, run, &estimator_fisher_labels, PROBE_LABELS); }

const Estimator estimator_fisher = {
    .name = "fisher", .summary = "one backward pass, random signs on the logits: all layers at once", .metric = "nats/token (KL)", .caveat = "",
    .plan = plan_signs, .run = run_signs,
};

const Estimator estimator_fisher_sampled = {
    .name = "fisher-sampled", .summary = "the same with labels drawn from the model's predictions", .metric = "nats/token (KL)", .caveat = "",
    .plan = plan_sampled, .run = run_sampled,
};

const Estimator estimator_fisher_labels = {
    .name = "fisher-labels", .summary = "the same with the text's own labels (empirical Fisher)", .metric = "nats/token (KL)",
    .caveat = "biased: too large where the model is not calibrated on the text", .plan = plan_labels, .run = run_labels,
};
