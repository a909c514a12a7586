/*
 * dynamic_measure.c - all models measured, and set beside what was predicted and beside uniform models of the same size
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/conversion.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"
#include "experiments/dynamic/dynamic.h"

/* Of delta-NLL between draws of a quantizer's error where the KL is 1 nat/token: how 21 of them scatter about the curve on
 * SmolLM2-135M (conversion.h). */
static const double ONE_DRAW = .055;

/* ---- measured ---- */

static void choose(MapEntry *entry, const Dynamic *d, const int *choice)
{
    for (int i = 0; i < d->n_layers; i++) {
        const Choice *c = dynamic_choice(d, choice[i]);
        entry[i] = (MapEntry){ d->run->layer[i], c->perturbation, c->options };
    }
}

void uniform_plan(Plan *out, Dynamic *d)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)d->n_layers);
    int *choice = xmalloc(sizeof *choice * (size_t)d->n_layers);
    for (int c = 0; c < d->n_choices; c++) {
        for (int i = 0; i < d->n_layers; i++) choice[i] = c;
        choose(entry, d, choice);
        plan_add(out, &(LayerMap){ .n = d->n_layers, .entry = entry, .label = dynamic_choice(d, c)->name });
    }
    free(entry);
    free(choice);
}

static int measure_model(Dynamic *d, Whole *model, MapEntry *entry)
{
    choose(entry, d, model->choice);
    char *label = isnan(model->budget) ? xstrdup(model->label) : xformat("%s%s%s %g bits", model->kind, *model->label ? " " : "", model->label, model->budget);
    const int before = d->run->measured + d->run->found;
    Measurement m;
    int status = run_measure(&m, d->run, &(LayerMap){ .n = d->n_layers, .entry = entry, .label = label });
    free(label);
    TRY(status);
    if (d->run->measured + d->run->found == before) progress_skip(d->run->progress, 1);         /* the same choices as another's */
    model->kl = xmalloc(sizeof *model->kl * (size_t)d->n_measured), model->nll = xmalloc(sizeof *model->nll * (size_t)d->n_measured);
    memcpy(model->kl, m.kl, sizeof *model->kl * (size_t)d->n_measured);
    memcpy(model->nll, m.nll, sizeof *model->nll * (size_t)d->n_measured);
    model->seconds = m.seconds;
    measurement_free(&m);
    return OK;
}

int models_measure(Dynamic *d)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)d->n_layers);
    int status = OK;
    for (int m = 0; m < d->n_models && status == OK; m++) status = measure_model(d, &d->model[m], entry);
    free(entry);
    return status;
}

double passes_of_point(const Dynamic *d)
{
    const GradientRequest request = { .probe = PROBE_KL, .group = 64, .n_layers = d->n_layers, .layer = d->run->layer, .label = "" };
    const double share = (double)study_corpus(d->run->coefficients)->n_inputs / (double)study_corpus(d->run->study)->n_inputs;
    return 2 * share * d->n_slopes / d->n_windows * gradients_cost(d->run->coefficients, &request);
}

/* ---- intervals ---- */

static double student(int n) { return n > 1 ? student_quantile(.95, n - 1) : NAN; }

static double total(const int64_t *tokens, int n)
{
    double sum = 0;
    for (int w = 0; w < n; w++) sum += (double)tokens[w];
    return sum;
}

/* Variance of what is measured about `factor` times the sum, as windows scatter: on the same text of the difference. */
static double variance_over_windows(const Dynamic *d, const Whole *model, double factor)
{
    if (!d->same_text) {
        const double se = factor * coefficient_mean(d, model->predicted).se;
        return se * se * (1 + total(d->tokens, d->n_windows) / total(d->measured_tokens, d->n_measured));
    }
    double *difference = xmalloc(sizeof *difference * (size_t)d->n_windows);
    for (int w = 0; w < d->n_windows; w++) difference[w] = model->kl[w] - factor * model->predicted[w];
    const double se = coefficient_mean(d, difference).se;
    free(difference);
    return se * se;
}

/* t^4 times the variance of a between draws: a quantizer's error is one draw, where the coefficient is a mean over draws (predict.h).
 * Costs that are of this very error know their draw. */
static bool of_own_error(const CostKind *cost) { return cost->measured || (!cost->scaled && cost->predictor == PREDICTOR_SQUARE); }

static double variance_of_draw(const Dynamic *d, const Whole *model, double factor)
{
    double variance = 0;
    for (int i = 0; i < d->n_layers && !of_own_error(model->by); i++) {
        const double t2 = factor * d->t2[row_of(d, i, model->choice[i])];
        variance += t2 * t2 * d->v[i];
    }
    return variance;
}

Interval predicted_interval(const Dynamic *d, const Whole *model, bool curved)
{
    const double sum = coefficient_mean(d, model->predicted).value, factor = curved ? model->bend.value : 1, t = student(units_count(d->text));
    const double bend = curved ? student(d->n_slopes) * sum * model->bend.se : 0;
    const double half = sqrt(t * t * variance_over_windows(d, model, factor) + 1.96 * 1.96 * variance_of_draw(d, model, factor) + bend * bend);
    if (sum == 0) return (Interval){ 0, 0, 0 };         /* nothing was changed */
    const double value = factor * sum, relative = half / value;            /* KL is positive: low and high in the same ratio */
    return (Interval){ value, value * exp(-relative), value * exp(relative) };
}

/* ---- uniform models of the same size ---- */

static double size_of(const Dynamic *d, const Whole *m) { return d->size == d->bits ? m->bits : m->code_bits; }

static double uniform_cost(const Dynamic *d, const CostKind *cost, int choice)
{
    double sum = 0;
    for (int i = 0; i < d->n_layers; i++) sum += coefficient_mean(d, cost_windows(d, cost, row_of(d, i, choice))).value;
    return sum;
}

EqualSize equal_size(const Dynamic *d, const Whole *model)
{
    EqualSize best = { NAN, NAN, { NAN, NAN } };
    for (int i = 0; i < d->n_choices; i++)
        for (int j = 0; j < d->n_choices; j++) {
            const Whole *a = &d->model[i], *b = &d->model[j];
            const double share = share_between(size_of(d, a), size_of(d, b), size_of(d, model));
            if (share < 0) continue;
            const double kl = pow(measured_mean(d, a->kl).value, 1 - share) * pow(measured_mean(d, b->kl).value, share);
            if (!(kl > 0) || kl >= best.kl) continue;
            best.kl = kl;
            best.predicted = pow(uniform_cost(d, model->by, i), 1 - share) * pow(uniform_cost(d, model->by, j), share);
            best.ratio = corpus_ratio_to_path(d->measured_text, model->kl, a->kl, b->kl, share);
        }
    return best;
}

/* ---- perplexity ---- */

static double level_kl(const Dynamic *d, const OperatingPoint *point)
{
    double mean, se;
    weighted_mean(&mean, &se, point->kl, d->tokens, d->n_slopes);
    return mean;
}

/* Of one model, of the first round of each budget, above the noise floor, by rising KL; two of nearly one KL are one level. */
static int levels_of(const OperatingPoint **level, const Dynamic *d)
{
    const double apart = 1.05;
    int n = 0;
    for (;;) {
        const OperatingPoint *next = NULL;
        for (int p = 0; p < d->n_points; p++) {
            const OperatingPoint *point = &d->point[p];
            const double kl = level_kl(d, point);
            if (!point->first || !(kl > (n ? apart * level_kl(d, level[n - 1]) : FLOOR_FACTOR * d->floor_kl))) continue;
            if (!next || kl < level_kl(d, next)) next = point;
        }
        if (!next) return n;
        level[n++] = next;
    }
}

static int ratio_at(ConversionRatio *out, const Dynamic *d, double kl)
{
    const OperatingPoint **level = xmalloc(sizeof *level * (size_t)(d->n_points + 1));
    const int n = levels_of(level, d), windows = d->n_slopes;
    double *losses = xmalloc(sizeof *losses * 2 * (size_t)(n + 1) * (size_t)windows), *delta = losses + (int64_t)n * windows;
    for (int k = 0; k < n; k++) {
        memcpy(losses + (int64_t)k * windows, level[k]->kl, sizeof *losses * (size_t)windows);
        memcpy(delta + (int64_t)k * windows, level[k]->delta, sizeof *delta * (size_t)windows);
    }
    const Conversion c = { .n_levels = n, .n_windows = windows, .tokens = d->tokens, .kl = losses, .delta = delta };
    int status = n ? conversion_ratio(out, &c, kl, d->same_text ? 0 : d->n_measured) : ERR_ARGUMENT;
    free(losses);
    free(level);
    return status;
}

Interval predicted_ppl(const Dynamic *d, const Whole *model)
{
    const Interval kl = predicted_interval(d, model, model->curved);
    ConversionRatio ratio;
    if (d->n_slopes < 2 || ratio_at(&ratio, d, kl.value) != OK) return (Interval){ NAN, NAN, NAN };
    ratio = conversion_of_draw(ratio, kl.value, ONE_DRAW);
    const double log_ppl = measured_mean(d, d->clean).value + ratio.ratio * kl.value;
    const double of_kl = ratio.ratio * (kl.high - kl.low) / 2, of_ratio = kl.value * (ratio.high - ratio.low) / 2;
    const double half = sqrt(of_kl * of_kl + of_ratio * of_ratio);
    return (Interval){ exp(log_ppl), exp(log_ppl - half), exp(log_ppl + half) };
}
