/*
 * hutchinson.c - the trace of the NLL's Hessian from differences of gradients
 *
 *     a_l = E <G(W + d)_l - G(W - d)_l, d_l> / (4 t^2 T),    d small noise of relative size t^2 in all layers at once
 *
 * (HAWQ-V2, arXiv 1911.03852.)  The labels are the text's, so this is the coefficient of the NLL and not of the KL.  One probe disturbs all
 * layers together: what each does to the others' gradients is noise here, and most of it.
 * Cost: two backward passes.
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/estimators/estimator.h"

static const double SMALL = 1e-5;       /* t^2: far below curvature, far above the rounding of gradients */

typedef struct { Options *options; MapEntry *entry; LayerMap map; GradientRequest request; } Side;

static int probe_init(Side *p, const Run *run, bool mirrored)
{
    const Perturbation *law = noise_law(run);
    *p = (Side){ .options = law ? noise_at(run, law, SMALL, NULL, "sequence") : NULL };
    if (!p->options) return ERR_ARGUMENT;
    p->entry = xmalloc(sizeof *p->entry * (size_t)run->n_layers);
    for (int i = 0; i < run->n_layers; i++) p->entry[i] = (MapEntry){ run->layer[i], law, p->options };
    p->map = (LayerMap){ .n = run->n_layers, .entry = p->entry, .mirrored = mirrored, .label = "all layers" };
    p->request = (GradientRequest){ .probe = PROBE_LABELS, .group = (int)options_integer(run->options, "noise.group"), .n_layers = run->n_layers,
                                    .layer = run->layer, .point = &p->map, .label = mirrored ? "hutchinson -" : "hutchinson +" };
    return OK;
}

static void probe_free(Side *p)
{
    options_free(p->options);
    free(p->entry);
}

static int plan(Plan *plan, Run *run)
{
    for (int side = 0; side < 2; side++) {
        Side p;
        TRY(probe_init(&p, run, side));
        plan_add_gradients(plan, &p.request);
        probe_free(&p);
    }
    return OK;
}

static int add_side(Coefficients *out, Run *run, bool mirrored)
{
    Side p;
    Measurement m;
    TRY(probe_init(&p, run, mirrored));
    int status = run_gradients(&m, run, &p.request);
    out->passes += gradients_cost(run->study, &p.request);
    probe_free(&p);
    TRY(status);
    const double *dot = measurement_form(&m, "dot"), *t2 = measurement_form(&m, "t2");
    for (int64_t i = 0; i < (int64_t)out->n_layers * out->n_windows; i++) out->a[i] += t2[i] > 0 ? dot[i] / (2 * t2[i]) / 2 : 0;
    out->seconds += m.seconds;
    measurement_free(&m);
    return OK;
}

static int run(Coefficients *out, Run *run)
{
    coefficients_init(out, &estimator_hutchinson, run, run->layer, run->n_layers);
    int status = add_side(out, run, false);
    if (status == OK) status = add_side(out, run, true);
    out->passes_all = out->passes;
    if (status != OK) coefficients_free(out);
    return status;
}

const Estimator estimator_hutchinson = {
    .name = "hutchinson", .summary = "differences of the NLL's gradients at small noise in all layers", .metric = "nats/token (NLL)",
    .caveat = "of the NLL, which the text's labels decide", .plan = plan, .run = run,
};
