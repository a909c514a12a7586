/*
 * dynamic_point.c - slopes of the loss where all layers have the error of an allocation (protocol.md P5)
 *
 *     slope_l = <G_l, delta_l> / (2 T t_l^2),    KL ~ sum_l (a_l + slope_l) t_l^2 / 2       (trapezoid along the ray)
 *
 * with group-scaled noise of the same t_l^2 in place of the quantizer's error, both signs, fresh for each window.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/predict.h"
#include "experiments/dynamic/dynamic.h"
#include "experiments/estimators/slope_ratios.h"

static const double LEAST_FACTOR = .5, MOST_FACTOR = 4;

static void entries_free(MapEntry *entry, int n)
{
    for (int i = 0; i < n; i++) options_free((Options *)entry[i].options);
    free(entry);
}

/* Noise with the model's t2 in every layer; NULL with the failure recorded. */
static MapEntry *noise_like(const Dynamic *d, const Whole *model)
{
    const Perturbation *law = noise_law(d->run);
    MapEntry *entry = xcalloc((size_t)d->n_layers, sizeof *entry);
    for (int i = 0; i < d->n_layers; i++) {
        Options *options = law ? noise_at(d->run, law, fmax(d->t2[row_of(d, i, model->choice[i])], 1e-12), NULL, NULL) : NULL;
        if (!options) {
            entries_free(entry, i);
            return NULL;
        }
        entry[i] = (MapEntry){ d->run->layer[i], law, options };
    }
    return entry;
}

static int add_sign(OperatingPoint *point, Dynamic *d, const LayerMap *map)
{
    const GradientRequest request = { .probe = PROBE_KL, .group = (int)options_integer(d->run->options, "noise.group"), .n_layers = d->n_layers,
                                      .layer = d->run->layer, .point = map, .label = map->label };
    Measurement m;
    TRY(run_gradients_of(&m, d->run, &request, d->n_slopes));
    const double *dot = measurement_form(&m, "dot"), *t2 = measurement_form(&m, "t2");
    for (int i = 0; i < d->n_layers; i++)
        for (int w = 0; w < d->n_slopes; w++) {
            const int64_t at = (int64_t)i * d->n_slopes + w;
            point->slope[at] += t2[at] > 0 ? d->calm[(int64_t)i * d->n_windows + w] * dot[at] / (2 * t2[at]) / 2 : 0;
        }
    for (int w = 0; w < d->n_slopes; w++) point->kl[w] += m.kl[w] / 2, point->delta[w] += (m.nll[w] - d->other_clean[w]) / 2;
    measurement_free(&m);
    return OK;
}

static int measure_point(OperatingPoint *point, Dynamic *d, const Whole *model)
{
    MapEntry *entry = noise_like(d, model);
    if (!entry) return ERR_ARGUMENT;
    int status = OK;
    for (int sign = 0; sign < 2 && status == OK; sign++) {
        char *where = isnan(model->budget) ? xstrdup(model->label) : xformat("%s %g bits", model->label, model->budget);
        char *label = xformat("slopes at %s%s", where, sign ? " mirrored" : "");
        status = add_sign(point, d, &(LayerMap){ .n = d->n_layers, .entry = entry, .mirrored = sign, .label = label });
        free(label);
        free(where);
    }
    entries_free(entry, d->n_layers);
    return status;
}

/* Slope over coefficient of each layer, shrunken and kept within bounds. */
static void slope_factors(double *factor, const Dynamic *d, const OperatingPoint *point)
{
    Mean *ratio = xmalloc(sizeof *ratio * (size_t)d->n_layers), *shrunk = xmalloc(sizeof *shrunk * (size_t)d->n_layers);
    for (int i = 0; i < d->n_layers; i++) {
        const double *slope = point->slope + (int64_t)i * d->n_slopes, *a = d->fisher.a + (int64_t)i * d->n_windows;
        ratio[i].value = paired_ratio(&ratio[i].se, slope, a, d->tokens, d->n_slopes);
    }
    shrink_slope_ratios(shrunk, ratio, d->run);
    for (int i = 0; i < d->n_layers; i++)
        factor[i] = isfinite(shrunk[i].value) ? fmin(fmax(shrunk[i].value, LEAST_FACTOR), MOST_FACTOR) : 1;
    free(ratio);
    free(shrunk);
}

/* (1 + R) / 2, R: sum of the slopes times t2 over that of the coefficients, both of noise and of the windows that have slopes; what
 * other predictor the costs come from, they bend alike. */
static void set_bend(Whole *model, const Dynamic *d, const OperatingPoint *point)
{
    double *bent = xcalloc((size_t)d->n_slopes, sizeof *bent), *straight = xcalloc((size_t)d->n_slopes, sizeof *straight);
    for (int i = 0; i < d->n_layers; i++) {
        const int row = row_of(d, i, model->choice[i]);
        for (int w = 0; w < d->n_slopes; w++) {
            bent[w] += point->slope[(int64_t)i * d->n_slopes + w] * d->t2[row];
            straight[w] += d->fisher.a[(int64_t)i * d->n_windows + w] * d->t2[row];
        }
    }
    const double ratio = paired_ratio(&model->bend.se, bent, straight, d->tokens, d->n_slopes);
    model->curved = true, model->bend = (Mean){ (1 + ratio) / 2, model->bend.se / 2 };
    free(bent);
    free(straight);
}

int operating_point(double *factor, Dynamic *d, Whole *model, bool first)
{
    d->point = xrealloc(d->point, sizeof *d->point * (size_t)(d->n_points + 1));
    OperatingPoint *point = &d->point[d->n_points++];
    *point = (OperatingPoint){ first, xcalloc((size_t)d->n_layers * (size_t)d->n_slopes, sizeof(double)), xcalloc((size_t)d->n_slopes, sizeof(double)),
                               xcalloc((size_t)d->n_slopes, sizeof(double)) };
    const int before = d->run->measured + d->run->found, steps = 2 * d->n_slopes;
    run_turn(d->run);
    int status = measure_point(point, d, model);
    run_turn(d->run);
    if (status != OK) return status;
    for (int i = 0; i < steps && d->run->measured + d->run->found == before; i++)      /* the same allocation as another's */
        progress_skip(d->run->progress, passes_of_point(d) / steps);
    slope_factors(factor, d, point);
    set_bend(model, d, point);
    return OK;
}
