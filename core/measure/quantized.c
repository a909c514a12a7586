#include "core/measure/quantized.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static void forget_layers(QuantizedModel *model, int n_layers)
{
    for (int l = 0; l < n_layers; l++) packed_free(&model->layer[l]);
    model->bytes = 0;
}

void quantized_free(QuantizedModels *models)
{
    for (int i = 0; i < models->n; i++) {
        forget_layers(&models->model[i], models->n_layers);
        free(models->model[i].layer);
        free(models->model[i].text);
    }
    free(models->model);
    *models = (QuantizedModels){ 0 };
}

static QuantizedModel *model_of(const QuantizedModels *models, const char *text)
{
    for (int i = 0; i < models->n; i++)
        if (!strcmp(models->model[i].text, text)) return &models->model[i];
    return NULL;
}

const Packed *quantized_find(const QuantizedModels *models, const char *text, int layer)
{
    const QuantizedModel *model = model_of(models, text);
    return model && model->layer[layer].n ? &model->layer[layer] : NULL;
}

StageCost quantized_cost(const QuantizedModels *models, const char *text)
{
    const QuantizedModel *model = model_of(models, text);
    return model ? model->cost : (StageCost){ 0 };
}

static QuantizedModel *add_model(QuantizedModels *models, const char *text)
{
    models->model = xrealloc(models->model, sizeof *models->model * (size_t)(models->n + 1));
    models->model[models->n] = (QuantizedModel){ .text = xstrdup(text), .layer = xcalloc((size_t)models->n_layers, sizeof(Packed)) };
    return &models->model[models->n++];
}

static int64_t bytes_of_all(const QuantizedModels *models)
{
    int64_t bytes = 0;
    for (int i = 0; i < models->n; i++) bytes += models->model[i].bytes;
    return bytes;
}

void quantized_keep(QuantizedModels *models, const char *text, int layer, Packed *packed, const StageCost *cost)
{
    QuantizedModel *model = model_of(models, text);
    if (!model) model = add_model(models, text);
    const int64_t bytes = (packed_bits(packed) + 7) / 8;
    stage_cost_add(&model->cost, cost);
    for (int i = 0; i < models->n && bytes_of_all(models) + bytes > models->room; i++)
        if (&models->model[i] != model) forget_layers(&models->model[i], models->n_layers);
    if (bytes_of_all(models) + bytes > models->room) {
        packed_free(packed);
        return;
    }
    model->layer[layer] = *packed;
    model->bytes += bytes;
    *packed = (Packed){ 0 };
}
