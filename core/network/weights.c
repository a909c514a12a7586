/*
 * weights.c - the weights that a block works with: its own, or those that a patch puts in their place
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/network/internal.h"

void layer_size(int64_t *rows, int64_t *cols, const ModelShape *s, WeightKind type)
{
    int64_t q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    *rows = type == WEIGHT_Q ? q : type == WEIGHT_K || type == WEIGHT_V ? kv
          : type == WEIGHT_GATE || type == WEIGHT_UP ? s->feed_forward : s->width;
    *cols = type == WEIGHT_O ? q : type == WEIGHT_DOWN ? s->feed_forward : s->width;
}

int64_t layer_floats(const ModelShape *shape, WeightKind type)
{
    int64_t rows, cols;
    layer_size(&rows, &cols, shape, type);
    return rows * cols;
}

const float *layer_bias(const Network *net, int block, WeightKind type)
{
    static const int bias_of[LAYER_TYPES] = { [WEIGHT_Q] = WEIGHT_Q_BIAS, [WEIGHT_K] = WEIGHT_K_BIAS,
                                              [WEIGHT_V] = WEIGHT_V_BIAS, [WEIGHT_O] = WEIGHT_O_BIAS };
    return bias_of[type] ? net->weight[block][bias_of[type]] : NULL;
}

int streamed_sets(const Kernels *kernels) { return kernels->ahead ? STREAMED_SETS : 1; }

/* Neighbouring blocks are in different sets. */
static int set_of(const Network *net, int block) { return block % streamed_sets(net->kernels); }

const float *clean_weights(const Network *net, int block, WeightKind type)
{
    return net->plan.resident ? net->weight[block][type] : net->streamed[set_of(net, block)].layer[type];
}

static int stream_block(Network *net, int block)
{
    const int set = set_of(net, block);
    if (net->streamed[set].block == block) return OK;
    net->streamed[set].block = -1;
    for (int type = 0; type < LAYER_TYPES; type++) {
        int64_t rows, cols;
        layer_size(&rows, &cols, net->shape, type);
        TRY(upload_rows(net->streamed[set].layer[type], net, type, block, rows, cols));
        kernels_settle(net->kernels, net->streamed[set].layer[type], rows * cols);
    }
    net->streamed[set].block = block;
    return OK;
}

/* From here on the other set is not asked for. */
static int stream_weights(Network *net, int block)
{
    if (net->plan.resident) return OK;
    TRY(stream_block(net, block));
    if (net->kernels->ahead) net->kernels->mark();
    return OK;
}

/* What fails here is asked for again when it is needed, and fails there. */
void weights_ahead(Network *net, int block)
{
    if (net->plan.resident || !net->kernels->ahead || block < 0 || block >= net->shape->n_blocks) return;
    if (net->streamed[set_of(net, block)].block == block) return;
    net->kernels->ahead(1);
    stream_block(net, block);
    net->kernels->ahead(0);
}

PatchMode patch_mode(const Patch *patch, int block, WeightKind type)
{
    return patch ? patch->mode(patch->context, model_layer_index(block, type)) : PATCH_NONE;
}

/* Host copies while a patch is made: only a network that is patched there pays for them. */
static int read_clean(Network *net, int block, WeightKind type)
{
    int64_t rows, cols;
    layer_size(&rows, &cols, net->shape, type);
    if (!net->patched_host) net->patched_host = xmalloc(sizeof(float) * (size_t)(PATCH_BATCH * net->largest));
    return read_rows(net->clean, net->model, type, block, 0, rows, cols);
}

/* Where the patch can make the weights from the clean ones in the back end's memory, nothing passes the host. */
static int make_on_device(bool *made, float *out, const Network *net, int block, WeightKind type, const Patch *patch, int window)
{
    *made = false;
    if (!patch->device_weights) return OK;
    return patch->device_weights(patch->context, made, out, clean_weights(net, block, type), model_layer_index(block, type), window);
}

/* Weights that all windows share are made once, before the chunks. */
static int make_shared(Network *net, int block, WeightKind type, const Patch *patch)
{
    const int64_t floats = layer_floats(net->shape, type);
    bool made;
    if (!net->shared[type]) net->shared[type] = net->kernels->alloc(floats);
    TRY(make_on_device(&made, net->shared[type], net, block, type, patch, 0));
    if (!made) {
        TRY(read_clean(net, block, type));
        TRY(patch->weights(patch->context, net->patched_host, net->clean, model_layer_index(block, type), 0));
        net->kernels->upload(net->shared[type], net->patched_host, floats);
    }
    kernels_settle(net->kernels, net->shared[type], floats);
    return OK;
}

int block_weights(Network *net, int block, const Patch *patch)
{
    TRY(stream_weights(net, block));
    for (int type = 0; type < LAYER_TYPES; type++)
        if (patch_mode(patch, block, type) == PATCH_SHARED) TRY(make_shared(net, block, type, patch));
    return OK;
}

/* ---- weights of each window's own: segments [first, first + n) of a chunk ---- */

/* A part of a block that is one operation reads several such layers at once, so each has its own room there. */
static float *per_window_room(Network *net, WeightKind type, int windows)
{
    const bool own = kernels_have_parts(net->kernels);
    const int place = own ? (int)type : 0;
    if (net->windows[place] < windows) {
        net->kernels->release(net->per_window[place]);
        net->per_window[place] = net->kernels->alloc(windows * (own ? layer_floats(net->shape, type) : net->largest));
        net->windows[place] = windows;
    }
    return net->per_window[place];
}

/* Of neighbours from one window the first is made and the others copy; *made false: not here. */
static int per_window_on_device(bool *made, float *out, Network *net, const int *window, int n, int block, WeightKind type, const Patch *patch)
{
    const int64_t floats = layer_floats(net->shape, type);
    *made = false;
    for (int i = 0; i < n; i++) {
        if (i > 0 && window[i] == window[i - 1]) net->kernels->copy(out + i * floats, out + (i - 1) * floats, floats);
        else TRY(make_on_device(made, out + i * floats, net, block, type, patch, window[i]));
        if (!*made) return OK;
    }
    return OK;
}

/* Side by side on the host, a window a thread. */
static int per_window_on_host(Network *net, const int *window, int n, int layer, int64_t floats, const Patch *patch)
{
    Failure failure = { 0 };
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int i = 0; i < n; i++)
        if (i == 0 || window[i] != window[i - 1])
            failure_note(&failure, patch->weights(patch->context, net->patched_host + i * floats, net->clean, layer, window[i]));
    const int status = failure_status(&failure);
    for (int i = 1; i < n && status == OK; i++)
        if (window[i] == window[i - 1])
            memcpy(net->patched_host + i * floats, net->patched_host + (i - 1) * floats, sizeof(float) * (size_t)floats);
    return status;
}

static int make_per_window(const float **w, Network *net, const int *window, int n, int block, WeightKind type, const Patch *patch)
{
    const int64_t floats = layer_floats(net->shape, type);
    float *room = per_window_room(net, type, n);
    bool made;
    TRY(per_window_on_device(&made, room, net, window, n, block, type, patch));
    if (!made) {
        TRY(read_clean(net, block, type));
        TRY(per_window_on_host(net, window, n, model_layer_index(block, type), floats, patch));
        net->kernels->upload(room, net->patched_host, n * floats);
    }
    kernels_settle(net->kernels, room, n * floats);
    *w = room;
    return OK;
}

int layer_weights(const float **w, int64_t *stride, Network *net, const Chunk *chunk, int first, int n, int block, WeightKind type,
                  const Patch *patch)
{
    PatchMode mode = patch_mode(patch, block, type);
    *stride = mode == PATCH_PER_WINDOW ? layer_floats(net->shape, type) : 0;
    *w = mode == PATCH_SHARED ? net->shared[type] : clean_weights(net, block, type);
    return mode == PATCH_PER_WINDOW ? make_per_window(w, net, chunk->window + first, n, block, type, patch) : OK;
}
