#include "experiments/allocate/elsewhere.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/model/model.h"

static bool has_block(WeightKind kind) { return kind < WEIGHT_EMBEDDING; }

static int64_t tensor_bytes(const Model *model, WeightKind kind, int block)
{
    const Tensor *tensor = model_tensor(model, kind, block);
    return tensor ? (int64_t)tensor->n_bytes : 0;
}

/* A file as it is; of a directory, its tensors. */
static int whole_bytes(int64_t *bytes, const Model *model)
{
    struct stat file;
    if (stat(model_path(model), &file) != 0) FAIL(ERR_FILE, "%s: %s", model_path(model), strerror(errno));
    *bytes = S_ISDIR(file.st_mode) ? 0 : (int64_t)file.st_size;
    if (*bytes > 0) return OK;
    for (WeightKind kind = 0; kind < WEIGHT_COUNT; kind++)
        for (int block = 0; block < (has_block(kind) ? model_shape(model)->n_blocks : 1); block++) *bytes += tensor_bytes(model, kind, block);
    return OK;
}

static int unknown_layer(const Model *model, const char *layer)
{
    const int n = model_layer_count(model);
    const char **name = xmalloc(((size_t)n + 1) * sizeof *name);
    for (int i = 0; i < n; i++) name[i] = model_layer(model, i)->name;
    const char *nearest = err_nearest(layer, name, n);
    if (nearest) err_set(ERR_ARGUMENT, "%s has no layer '%s'; did you mean '%s'?", model_path(model), layer, nearest);
    else err_set(ERR_ARGUMENT, "%s has no layer '%s'; names are such as '%s'", model_path(model), layer, n ? name[0] : "");
    free(name);
    return ERR_ARGUMENT;
}

static int take_layer(int64_t *bytes, const Model *model, const char *name, int64_t weights)
{
    for (int i = 0; i < model_layer_count(model); i++) {
        const Layer *layer = model_layer(model, i);
        if (strcmp(layer->name, name)) continue;
        if (layer->rows * layer->cols != weights)
            FAIL(ERR_ARGUMENT, "layer '%s' has %lld weights in the table and %lld in %s", name, (long long)weights,
                 (long long)(layer->rows * layer->cols), model_path(model));
        *bytes -= tensor_bytes(model, layer->type, layer->block);
        return OK;
    }
    return unknown_layer(model, name);
}

int bytes_elsewhere(int64_t *bytes, const char *path, const ChoiceTable *table, const Constraints *constraints)
{
    Model *model = NULL;
    TRY(model_open(&model, path));
    int status = whole_bytes(bytes, model);
    for (int l = 0; l < table->n_layers && status == OK; l++)
        if (!constraints->excluded[l]) status = take_layer(bytes, model, table->layer[l], table->weights[l]);
    model_close(&model);
    return status;
}
