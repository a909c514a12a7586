/*
 * predict_coefficients.c - the coefficients that the experiment `predict` predicts from
 *
 * All from the levels that every layer has (noise.t2): further levels in some layers (check.t2) would
 * make their coefficients intercepts and leave the others with curvature in them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/estimate/influence.h"
#include "experiments/predict/predict.h"

/* take[n_points]: common levels above the floor.  Where there are none, the largest common level: its KL
 * is noise and rounding together, an upper bound, and the least such one.  Returns whether it is that. */
static bool take_points(bool *take, const LayerResponse *r)
{
    double largest = 0;
    bool any = false;
    for (int j = 0; j < r->n_points; j++) {
        take[j] = r->used[j] && r->common[j];
        any |= take[j];
        if (r->common[j]) largest = fmax(largest, r->t2_asked[j]);
    }
    for (int j = 0; j < r->n_points && !any; j++) take[j] = r->common[j] && r->t2_asked[j] == largest;
    return !any;
}

static void loss_coefficients(LossCoefficients *out, const Prediction *p, int i, const bool *take, const double *clean_nll)
{
    const LayerResponse *r = &p->responses.layer[i];
    response_coefficients(out->a + (int64_t)i * r->n_windows, r, take, clean_nll);
    response_by_draw(out->by_draw + (int64_t)i * p->n_draws, p->n_draws, r, take, clean_nll, p->responses.clean.tokens);
}

static WindowCoefficients window_coefficients(const Prediction *p, const LossCoefficients *loss, const double *t2_noise)
{
    return (WindowCoefficients){ .n_layers = p->n_layers, .n_windows = p->responses.n_windows, .n_draws = p->n_draws, .a = loss->a,
                                 .tokens = p->responses.clean.tokens, .shared = p->shared, .by_draw = loss->by_draw, .t2_noise = t2_noise };
}

WindowCoefficients kl_coefficients(const Prediction *p) { return window_coefficients(p, &p->kl, NULL); }
WindowCoefficients nll_coefficients(const Prediction *p) { return window_coefficients(p, &p->nll, p->t2_noise); }

static void from_response(Prediction *p, int i)
{
    const LayerResponse *r = &p->responses.layer[i];
    bool *take = xmalloc(sizeof *take * (size_t)r->n_points);
    p->bound[i] = take_points(take, r);
    loss_coefficients(&p->kl, p, i, take, NULL);
    loss_coefficients(&p->nll, p, i, take, p->responses.clean.nll);
    p->t2_noise[i] = response_noise_level(r, take);
    free(take);
}

/* A backward pass knows the KL alone. */
static void from_fisher(Prediction *p)
{
    const Coefficients *c = &p->responses.fisher;
    int *capped = xmalloc(sizeof *capped * (size_t)c->n_layers);
    const bool robust = options_flag(p->run->options, "robust");
    influence_cap(p->kl.a, capped, c->a, c->n_layers, c->n_windows, robust ? ROBUST_CAP : INFINITY);
    for (int64_t i = 0; i < (int64_t)c->n_layers * c->n_windows; i++) p->nll.a[i] = NAN;
    for (int i = 0; i < c->n_layers; i++) p->t2_noise[i] = NAN;
    free(capped);
}

void prediction_coefficients(Prediction *p)
{
    if (uses_fisher(p->run)) from_fisher(p);
    for (int i = 0; i < p->n_layers; i++) {
        if (!uses_fisher(p->run)) from_response(p, i);
        double se;
        weighted_mean(&p->alpha[i], &se, p->kl.a + (int64_t)i * p->responses.n_windows, p->responses.clean.tokens, p->responses.n_windows);
        p->weights[i] = layer_of(p, i)->rows * layer_of(p, i)->cols;
    }
    WindowCoefficients kl = kl_coefficients(p), nll = nll_coefficients(p);
    draw_variance(p->kl.v, &kl);
    draw_variance(p->nll.v, &nll);
}

static bool has_option(const Options *options, const char *name)
{
    for (const Option *o = options_table(options); o->name; o++)
        if (!strcmp(o->name, name)) return options_is_set(options, name);
    return false;
}

bool noise_stands_for(const Run *run, const Choice *choice)
{
    if (!strcmp(options_text(run->options, "noise.scale"), "matrix")) return false;
    return !has_option(choice->options, "group") || options_integer(choice->options, "group") == options_integer(run->options, "noise.group");
}
