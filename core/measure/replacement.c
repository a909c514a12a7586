#include "core/measure/replacement.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/measure/device_noise.h"
#include "core/measure/device_quantize.h"
#include "core/measure/internal.h"

bool replacement_per_window(const MapEntry *entry)
{
    return entry->perturbation->per_sequence && entry->perturbation->per_sequence(entry->options);
}

double replacement_factor(const LayerMap *map) { return (map->mirrored ? -1 : 1) * (map->scale ? map->scale : 1); }

static PatchMode mode(void *context, int layer)
{
    const MapEntry *entry = ((const Replacement *)context)->of_layer[layer];
    if (!entry) return PATCH_NONE;
    return replacement_per_window(entry) ? PATCH_PER_WINDOW : PATCH_SHARED;
}

/* In double, so that the mirror image of an error is exact before it is rounded. */
static void scale_error(float *out, const float *clean, int64_t n, double factor)
{
#pragma omp parallel for schedule(static) if (n >= PARALLEL_WEIGHTS)
    for (int64_t i = 0; i < n; i++) out[i] = (float)(clean[i] + factor * ((double)out[i] - clean[i]));
}

static bool is_sequential(const MapEntry *entry) { return entry->perturbation->sequential && entry->perturbation->sequential(entry->options); }

static bool any_sequential(const Replacement *r)
{
    bool any = false;
    for (int i = 0; i < r->map->n; i++) any |= is_sequential(&r->map->entry[i]);
    return any;
}

/* Once the first weights are made, so that a replacement whose weights nobody asks for costs nothing. */
static int open_sequential(Replacement *r)
{
    if (!any_sequential(r) || r->sequential || !r->study->evidence) return OK;
    return evidence_sequential(&r->sequential, r->study->evidence);
}

static PerturbationError *error_of(const Replacement *r, const MapEntry *entry, int window)
{
    return &r->error[(entry - r->map->entry) * r->study->corpus->n_windows + window];
}

static int weights(void *context, float *out, const float *clean, int layer, int window)
{
    Replacement *r = context;
    const MapEntry *entry = r->of_layer[layer];
    const Layer *shape = model_layer(r->study->model, layer);
    LayerWeights w = { clean, shape->rows, shape->cols, layer };
    Draw draw = { r->study->seed, r->map->draw, window };
    PerturbationError *error = error_of(r, entry, window);
    int status = open_sequential(r);
    if (status == OK) status = evidence_apply(out, error, r->study->evidence, entry, &w, draw, is_sequential(entry) ? r->sequential : NULL);
    if (status != OK) return err_context(status, "%s", shape->name);
    if (replacement_factor(r->map) != 1) {
        scale_error(out, clean, shape->rows * shape->cols, replacement_factor(r->map));
        perturbation_measure(error, out, clean, shape->rows * shape->cols);
    }
    if (!r->sequential || replacement_per_window(entry)) return OK;        /* noise is not the quantized model's */
    return calibration_replace(r->sequential, layer, out);
}

/* Shared noise that the inputs of later layers see has to be on the host too. */
static int device_weights(void *context, bool *made, float *out, const float *clean, int layer, int window)
{
    Replacement *r = context;
    const MapEntry *entry = r->of_layer[layer];
    const Draw draw = { r->study->seed, r->map->draw, window };
    *made = false;
    if (!replacement_per_window(entry) && any_sequential(r)) return OK;
    const Layer *shape = model_layer(r->study->model, layer);
    const LayerWeights w = { clean, shape->rows, shape->cols, layer };
    int status = device_noise(made, out, error_of(r, entry, window), r->study, entry, clean, draw, replacement_factor(r->map));
    if (status == OK && !*made && replacement_factor(r->map) == 1)
        status = device_quantize(made, out, error_of(r, entry, window), r->study->kernels, entry->perturbation, &w, entry->options, draw);
    return status == OK ? OK : err_context(status, "%s", shape->name);
}

void replacement_init(Replacement *out, Study *study, const LayerMap *map)
{
    *out = (Replacement){ .study = study, .map = map };
    out->of_layer = xcalloc((size_t)model_layer_count(study->model), sizeof *out->of_layer);
    out->error = xcalloc((size_t)(map->n * study->corpus->n_windows), sizeof *out->error);
    for (int i = 0; i < map->n; i++) out->of_layer[map->entry[i].layer] = &map->entry[i];
    out->patch = (Patch){ out, mode, weights, device_weights };
}

void replacement_free(Replacement *r)
{
    calibration_close(&r->sequential);
    free(r->of_layer);
    free(r->error);
}

const PerturbationError *replacement_error(const Replacement *r, int entry, int window)
{
    if (!replacement_per_window(&r->map->entry[entry])) window = 0;
    return &r->error[(int64_t)entry * r->study->corpus->n_windows + window];
}

char *perturbation_text(const Study *study, const Perturbation *p, const Options *options, int draw)
{
    char *values = options_canonical(options), *seed = xstrdup(""), *inputs = xstrdup("");
    if (perturbation_is_random(p, options)) {
        free(seed);
        seed = xformat(" seed %llu draw %d", (unsigned long long)study->seed, draw);
    }
    if (p->needs && study->evidence) {
        char *text = calibration_text(evidence_corpus(study->evidence));
        free(inputs);
        inputs = xformat(" %s", text);
        free(text);
    }
    char *text = xformat("%s{version=%d,%s}%s%s", p->name, p->version, values, seed, inputs);
    free(values);
    free(seed);
    free(inputs);
    return text;
}

char *replacement_text(const Study *study, const MapEntry *entry, const LayerMap *map)
{
    char *size = fabs(replacement_factor(map)) == 1 ? xstrdup("") : xformat(" scale %.17g", map->scale);
    char *what = perturbation_text(study, entry->perturbation, entry->options, map->draw);
    char *text = xformat("%s=%s%s%s\n", model_layer(study->model, entry->layer)->name, what, size, map->mirrored ? " mirrored" : "");
    free(size);
    free(what);
    return text;
}
