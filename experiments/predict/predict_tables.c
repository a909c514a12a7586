/*
 * predict_tables.c - the tables of the experiment `predict`
 */
#include "experiments/predict/predict.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

Table *choice_table(const Prediction *p)
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
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: the layer never rose above 20 times the noise floor, its cost is an upper bound");
    for (int i = 0; i < p->n_layers; i++)
        for (int c = 0; c < p->n_choices; c++) {
            int64_t row = table_add_row(t);
            table_set_text(t, row, "layer", layer_of(p, i)->name);
            table_set_integer(t, row, "block", layer_of(p, i)->block);
            table_set_text(t, row, "type", layer_type_name[layer_of(p, i)->type]);
            table_set_integer(t, row, "weights", p->weights[i]);
            table_set_text(t, row, "choice", choice_of(p, c)->name);
            table_set_number(t, row, "bits", p->bits[prediction_at(p, i, c)]);
            table_set_number(t, row, "t2", p->t2[prediction_at(p, i, c)]);
            table_set_number(t, row, "kappa", p->kappa[prediction_at(p, i, c)]);
            table_set_number(t, row, "cost", cost_of(p, i, c));
            table_set_integer(t, row, "near_floor", p->bound[i]);
        }
    return t;
}

Table *allocation_table(void)
{
    Table *t = table_new("allocations", "the best choice per layer at each budget");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "average allowed");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_TEXT, "choice", "", "what it gets");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of this layer");
    table_add_column(t, COLUMN_NUMBER, "cost", "nats/token", "predicted KL of this layer, as allocated by: alpha t2, or 0 where alpha is negative");
    table_add_column(t, COLUMN_INTEGER, "clamped", "", "1: alpha <= 0, so any error in this layer was taken to be free");
    table_add_column(t, COLUMN_INTEGER, "optimal", "", "1: no cheaper allocation fits this budget (proven)");
    return t;
}

Table *prediction_table(void)
{
    Table *t = table_new("predictions", "whole models: loss predicted from single layers, and measured");
    table_add_column(t, COLUMN_TEXT, "model", "", "uniform: one choice for all layers; allocated: the best choices for the budget");
    table_add_column(t, COLUMN_TEXT, "choice", "", "of a uniform model");
    table_add_column(t, COLUMN_NUMBER, "budget", "bits/weight", "asked for");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average over the layers under study, all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "predicted_kl", "nats/token", "sum of alpha t2, alpha from the levels that all layers have (noise.t2); of one level, KL/t2 there with its curvature");
    table_add_column(t, COLUMN_NUMBER, "predicted_low", "nats/token", 
                     "95 % acceptance interval for the measured KL on the same text; its width uses the scatter of measured - predicted over windows");
    table_add_column(t, COLUMN_NUMBER, "predicted_high", "nats/token", "its upper end");
    table_add_column(t, COLUMN_NUMBER, "kl", "nats/token", "measured");
    table_add_column(t, COLUMN_NUMBER, "kl_se", "nats/token", "standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "kl_ratio", "", "measured / predicted");
    table_add_column(t, COLUMN_NUMBER, "kl_ratio_se", "", "its standard error over windows, both on the same text");
    table_add_column(t, COLUMN_INTEGER, "inside", "", "1: the measured KL lies in the interval; 0: it does not, or there is no interval (see note)");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll", "nats/token", "sum of the NLL's coefficients x t2");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll_low", "nats/token", "95 % acceptance interval for the measured one, as for KL");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_nll_high", "nats/token", "its upper end");
    table_add_column(t, COLUMN_NUMBER, "delta_nll", "nats/token", "measured");
    table_add_column(t, COLUMN_NUMBER, "delta_nll_se", "nats/token", "standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "clean_ppl", "", "perplexity of the clean model");
    table_add_column(t, COLUMN_NUMBER, "ppl", "", "measured perplexity");
    table_add_column(t, COLUMN_NUMBER, "predicted_delta_ppl", "", "clean_ppl (exp(predicted_delta_nll) - 1)");
    table_add_column(t, COLUMN_NUMBER, "delta_ppl", "", "measured");
    table_add_column(t, COLUMN_NUMBER, "delta_ppl_se", "", "standard error over windows, of which both perplexities are functions");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    table_add_column(t, COLUMN_TEXT, "note", "", "what to know about this row");
    return t;
}

typedef struct { double kl, kl_se, delta, delta_se, clean_ppl, ppl, delta_ppl_se; } Measured;

/* exp(mean nll) - exp(mean clean) to first order in the windows: the influence of window w is
 * ppl (nll_w - nll) - clean_ppl (clean_w - clean). */
static double delta_ppl_se(double ppl, double clean_ppl, const double *nll, const double *clean, const int64_t *tokens, int n)
{
    double *influence = xmalloc(sizeof *influence * (size_t)n), mean, se;
    for (int w = 0; w < n; w++) influence[w] = ppl * nll[w] - clean_ppl * clean[w];
    weighted_mean(&mean, &se, influence, tokens, n);
    free(influence);
    return se;
}

static Measured measured_losses(const Measurement *m, const double *clean_nll, const double *delta)
{
    Measured got;
    double clean, unused;
    weighted_mean(&got.kl, &got.kl_se, m->kl, m->tokens, m->n_windows);
    weighted_mean(&got.delta, &got.delta_se, delta, m->tokens, m->n_windows);
    weighted_mean(&clean, &unused, clean_nll, m->tokens, m->n_windows);
    got.clean_ppl = exp(clean);
    got.ppl = exp(clean + got.delta);
    got.delta_ppl_se = delta_ppl_se(got.ppl, got.clean_ppl, m->nll, clean_nll, m->tokens, m->n_windows);
    return got;
}

static int any_bound(const Prediction *p)
{
    int bounds = 0;
    for (int i = 0; i < p->n_layers; i++) bounds += p->bound[i];
    return bounds;
}

/* The caller frees. */
static char *objection(const Prediction *p, bool near_floor, bool known, bool inside)
{
    int bounds = any_bound(p);
    if (near_floor) return xstrdup("near the noise floor");
    if (!known) return xstrdup(p->responses.n_windows < 2 ? "one window: no interval" : "noise.fresh: shared with one draw: no interval");
    if (bounds) return xformat("%salpha is an upper bound in %d layers, too near the noise floor for the NLL", inside ? "" : "outside: ", bounds);
    return xstrdup(inside ? "" : "outside: additivity, or the noise that stands for the quantizer, fails here");
}

static void set_notes(const Prediction *p, int64_t row, const WholeModel *model, const Measured *got, const Interval *kl)
{
    bool inside = got->kl >= kl->low && got->kl <= kl->high, near_floor = !(got->kl >= FLOOR_FACTOR * p->responses.floor_kl);
    char *first = objection(p, near_floor, isfinite(kl->low), inside);
    const char *second = model->stands ? "" : "the noise was not scaled as the choice scales its error";
    char *note = xformat("%s%s%s", first, *first && *second ? "; " : "", second);
    table_set_integer(p->predictions, row, "inside", inside);
    table_set_integer(p->predictions, row, "near_floor", near_floor);
    table_set_text(p->predictions, row, "note", note);
    free(first);
    free(note);
}

void add_prediction(Prediction *p, const WholeModel *model, const Measurement *m)
{
    double *delta = window_difference(m->nll, p->responses.clean.nll, m->n_windows), ratio_se;
    WindowCoefficients for_kl = kl_coefficients(p), for_nll = nll_coefficients(p);
    Interval kl = predict_loss(&for_kl, model->t2, p->kl.v, m->kl), nll = predict_loss(&for_nll, model->t2, p->nll.v, delta);
    if (any_bound(p)) nll = (Interval){ NAN, NAN, NAN };        /* rounding divided by t^2: no bound on a difference of either sign */
    double ratio = predict_ratio(&ratio_se, &for_kl, model->t2, m->kl);
    Measured got = measured_losses(m, p->responses.clean.nll, delta);
    free(delta);
    const struct { const char *name; double value; } cell[] = {
        { "budget", model->budget }, { "bits", model->bits }, { "predicted_kl", kl.value }, { "predicted_low", kl.low }, { "predicted_high", kl.high },
        { "kl", got.kl }, { "kl_se", got.kl_se }, { "kl_ratio", ratio }, { "kl_ratio_se", ratio_se }, { "predicted_delta_nll", nll.value },
        { "predicted_delta_nll_low", nll.low }, { "predicted_delta_nll_high", nll.high }, { "delta_nll", got.delta }, { "delta_nll_se", got.delta_se },
        { "clean_ppl", got.clean_ppl }, { "ppl", got.ppl }, { "predicted_delta_ppl", got.clean_ppl * expm1(nll.value) },
        { "delta_ppl", got.ppl - got.clean_ppl }, { "delta_ppl_se", got.delta_ppl_se },
    };
    int64_t row = table_add_row(p->predictions);
    table_set_text(p->predictions, row, "model", model->kind);
    table_set_text(p->predictions, row, "choice", model->choice);
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(p->predictions, row, cell[i].name, cell[i].value);
    set_notes(p, row, model, &got, &kl);
}
