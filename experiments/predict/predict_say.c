/*
 * predict_say.c - what the experiment `predict` says at the end
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/predict/predict.h"

static void say_scale(const Prediction *p)
{
    int other = 0;
    for (int c = 0; c < p->n_choices; c++) other += !noise_stands_for(p->run, choice_of(p, c));
    if (!other) return;
    if (!strcmp(options_text(p->run->options, "noise.scale"), "matrix"))
        run_say(p->run, "The noise had one size per matrix (noise.scale: matrix); quantizers follow groups of weights, so predictions may be off for that reason alone.");
    else
        run_say(p->run, "The noise followed groups of %lld weights, %d of %d choices have others; their predictions may be off for that reason alone.",
                (long long)options_integer(p->run->options, "noise.group"), other, p->n_choices);
}

void say_noise(const Prediction *p)
{
    int bounds = 0, free_layers = 0;
    for (int i = 0; i < p->n_layers; i++) bounds += p->bound[i], free_layers += !(p->alpha[i] > 0);
    if (bounds)
        run_say(p->run, "%d of %d layers did not rise above %d times the noise floor; an upper bound stands for their alpha (raise noise.t2 or use more text).", bounds,
                p->n_layers, FLOOR_FACTOR);
    if (free_layers) run_say(p->run, "%d of %d layers have alpha <= 0 and were treated as free.", free_layers, p->n_layers);
    say_scale(p);
}

static bool has_interval(const Table *t, int64_t row)
{
    return isfinite(table_number(t, row, "predicted_low")) && !table_integer(t, row, "near_floor");
}

static void say_count(const Prediction *p)
{
    const Table *t = p->predictions;
    int inside = 0, compared = 0, all = (int)t->n_rows;
    for (int64_t row = 0; row < t->n_rows; row++)
        if (has_interval(t, row)) compared++, inside += (int)table_integer(t, row, "inside");
    char *others = compared == all ? xstrdup("") : xformat(" (%d more are near the noise floor or have no interval: the column note says which)", all - compared);
    if (compared)
        run_say(p->run, "Whole models, predicted by adding up single layers and then measured: %d of %d measured values lie in their 95 %% interval%s.", inside, compared, others);
    else
        run_say(p->run, "Whole models were predicted by adding up single layers and then measured, without intervals: the column note of the table predictions says why.");
    free(others);
}

/* "12 % less" */
static char *saving(double value, double other)
{
    double percent = 100 * (1 - value / other);
    return isfinite(percent) ? xformat("%.0f %% %s", fabs(percent), percent < 0 ? "more" : "less") : xstrdup("no comparison");
}

static char *beside_uniform(const Table *t, int64_t row)
{
    int64_t same = -1;
    for (int64_t u = 0; u < t->n_rows; u++) {          /* of several of this size the best one */
        if (strcmp(table_text(t, u, "model"), "uniform") || !(fabs(table_number(t, u, "bits") - table_number(t, row, "budget")) < 1e-6)) continue;
        if (same < 0 || table_number(t, u, "kl") < table_number(t, same, "kl")) same = u;
    }
    if (same < 0) return xstrdup("");
    char *got = saving(table_number(t, row, "kl"), table_number(t, same, "kl"));
    char *predicted = saving(table_number(t, row, "predicted_kl"), table_number(t, same, "predicted_kl"));
    char *text = xformat("; uniform %s of the same size has %.4g, so %s (predicted: %s)", table_text(t, same, "choice"), table_number(t, same, "kl"), got, predicted);
    free(got);
    free(predicted);
    return text;
}

/* For each budget the uniform model of the same size, where there is one, side by side. */
static void say_budget(const Prediction *p, int64_t row)
{
    const Table *t = p->predictions;
    char *kl = with_error(table_number(t, row, "kl"), table_number(t, row, "kl_se")), *uniform = beside_uniform(t, row);
    char *ratio = with_error(table_number(t, row, "kl_ratio"), table_number(t, row, "kl_ratio_se"));
    char *beside = table_number(t, row, "predicted_kl") > 0 ? xformat("%s times the predicted %.4g", ratio, table_number(t, row, "predicted_kl")) : xstrdup("predicted to be 0");
    const char *missed = table_integer(t, row, "near_floor") ? ", near the noise floor" : has_interval(t, row) && !table_integer(t, row, "inside") ? ", outside the interval" : "";
    run_say(p->run, "%.4g bits/weight allocated: KL %s, %s%s%s.", table_number(t, row, "budget"), kl, beside, missed, uniform);
    free(kl);
    free(beside);
    free(ratio);
    free(uniform);
}

void say_predictions(const Prediction *p)
{
    say_count(p);
    for (int64_t row = 0; row < p->predictions->n_rows; row++)
        if (!strcmp(table_text(p->predictions, row, "model"), "allocated")) say_budget(p, row);
}
