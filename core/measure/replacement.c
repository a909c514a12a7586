#include "core/measure/replacement.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
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

static int weights(void *context, float *out, const float *clean, int layer, int window)
{
    const Replacement *r = context;
    const MapEntry *entry = r->of_layer[layer];
    const Layer *shape = model_layer(r->study->model, layer);
    LayerWeights w = { clean, shape->rows, shape->cols, layer };
    Draw draw = { r->study->seed, r->map->draw, window };
    PerturbationError *error = &r->error[(entry - r->map->entry) * r->study->corpus->n_windows + window];
    int status = perturbation_apply(out, error, entry->perturbation, &w, entry->options, NULL, draw);
    if (status != OK) return err_context(status, "%s", shape->name);
    if (replacement_factor(r->map) == 1) return OK;
    scale_error(out, clean, shape->rows * shape->cols, replacement_factor(r->map));
    perturbation_measure(error, out, clean, shape->rows * shape->cols);
    return OK;
}

void replacement_init(Replacement *out, const Study *study, const LayerMap *map)
{
    *out = (Replacement){ .study = study, .map = map };
    out->of_layer = xcalloc((size_t)model_layer_count(study->model), sizeof *out->of_layer);
    out->error = xcalloc((size_t)(map->n * study->corpus->n_windows), sizeof *out->error);
    for (int i = 0; i < map->n; i++) out->of_layer[map->entry[i].layer] = &map->entry[i];
    out->patch = (Patch){ out, mode, weights };
}

void replacement_free(Replacement *r)
{
    free(r->of_layer);
    free(r->error);
}

const PerturbationError *replacement_error(const Replacement *r, int entry, int window)
{
    if (!replacement_per_window(&r->map->entry[entry])) window = 0;
    return &r->error[(int64_t)entry * r->study->corpus->n_windows + window];
}

char *replacement_text(const Study *study, const MapEntry *entry, const LayerMap *map)
{
    const Perturbation *p = entry->perturbation;
    char *options = options_canonical(entry->options), *text, *size = fabs(replacement_factor(map)) == 1 ? xstrdup("") : xformat(" scale %.17g", map->scale);
    const char *layer = model_layer(study->model, entry->layer)->name, *sign = map->mirrored ? " mirrored" : "";
    if (p->random)
        text = xformat("%s=%s{version=%d,%s} seed %llu draw %d%s%s\n", layer, p->name, p->version, options, (unsigned long long)study->seed, map->draw, size, sign);
    else
        text = xformat("%s=%s{version=%d,%s}%s%s\n", layer, p->name, p->version, options, size, sign);
    free(options);
    free(size);
    return text;
}
