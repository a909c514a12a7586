/*
 * predict_tables.c - the tables of the experiment `predict`, and what it says at the end
 */
#include "experiments/predict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"

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
            table_set_number(t, row, "cost", p->alpha[i] * p->t2[prediction_at(p, i, c)]);
        }
    return t;
}

Table *prediction_table(void)
{
    Table *t = table_new("predictions", "whole models: loss predicted from single layers, and measured");
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
    return t;
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

void add_prediction(Prediction *p, const char *model, const char *choice, double budget, double bits, const double *t2, const Measurement *m)
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

/* For each budget the uniform model of the same size, where there is one, side by side. */
void say_predictions(Prediction *p)
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
