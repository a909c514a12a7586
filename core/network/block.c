/*
 * block.c - one transformer block over all segments, with patched weights where asked
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

void multiply(const Network *net, float *out, const float *x, const float *w, int64_t w_stride, const float *bias,
              const Ragged *batch, int64_t cols, int64_t rows)
{
    (net->other_rounding ? net->kernels->matmul_halves : net->kernels->matmul)(out, rows, x, w, w_stride, bias, batch, (int)cols, (int)rows);
}

int block_weights(Network *net, int block)
{
    if (net->plan.resident || net->streamed_block == block) return OK;
    net->streamed_block = -1;
    for (int type = 0; type < LAYER_TYPES; type++) {
        int64_t rows, cols;
        layer_size(&rows, &cols, net->shape, type);
        TRY(upload_rows(net->streamed[type], net, type, block, rows, cols));
    }
    net->streamed_block = block;
    return OK;
}

static const float *layer_weights(const Network *net, int block, WeightKind type)
{
    return net->plan.resident ? net->weight[block][type] : net->streamed[type];
}

static PatchMode patch_mode(const Patch *patch, int block, WeightKind type)
{
    return patch ? patch->mode(patch->context, model_layer_index(block, type)) : PATCH_NONE;
}

/* Host copies while a patch is made: only a network that is patched pays for them. */
static void make_room(Network *net)
{
    if (net->patched_host) return;
    net->patched_host = xmalloc(sizeof(float) * (size_t)(PATCH_BATCH * net->largest));
}

/* Weights that all windows share are made once, before the chunks. */
static int make_shared(Network *net, int block, const Patch *patch)
{
    for (int type = 0; type < LAYER_TYPES; type++) {
        if (patch_mode(patch, block, type) != PATCH_SHARED) continue;
        int64_t rows, cols;
        layer_size(&rows, &cols, net->shape, type);
        make_room(net);
        TRY(read_rows(net->clean, net->model, type, block, 0, rows, cols));
        TRY(patch->weights(patch->context, net->patched_host, net->clean, model_layer_index(block, type), 0));
        if (!net->shared[type]) net->shared[type] = net->kernels->alloc(rows * cols);
        net->kernels->upload(net->shared[type], net->patched_host, rows * cols);
    }
    return OK;
}

/* Makes the weights of segments [first, first + n) of the chunk side by side, a window a thread: of neighbours from
 * one window the first makes them and the others copy. */
static int make_per_window(Network *net, const Chunk *chunk, int first, int n, int layer, int64_t floats, const Patch *patch)
{
    const int *window = chunk->window + first;
    int status = OK;
    char *sentence = NULL;
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int i = 0; i < n; i++) {
        if (i > 0 && window[i] == window[i - 1]) continue;
        int code = patch->weights(patch->context, net->patched_host + i * floats, net->clean, layer, window[i]);
        if (code == OK) continue;
#pragma omp critical
        if (!sentence) {
            sentence = xstrdup(err_last());
            status = code;
        }
    }
    if (sentence) err_set(status, "%s", sentence);
    free(sentence);
    for (int i = 1; i < n && status == OK; i++)
        if (window[i] == window[i - 1])
            memcpy(net->patched_host + i * floats, net->patched_host + (i - 1) * floats, sizeof(float) * (size_t)floats);
    return status;
}

static int matmul_per_window(Network *net, float *out, const float *x, const float *bias, const Chunk *chunk,
                             int block, WeightKind type, const Patch *patch)
{
    int64_t rows, cols;
    layer_size(&rows, &cols, net->shape, type);
    make_room(net);
    TRY(read_rows(net->clean, net->model, type, block, 0, rows, cols));
    if (!net->per_window) net->per_window = net->kernels->alloc(PATCH_BATCH * net->largest);
    for (int first = 0; first < chunk->batch.n; first += PATCH_BATCH) {
        int n = chunk->batch.n - first < PATCH_BATCH ? chunk->batch.n - first : PATCH_BATCH;
        TRY(make_per_window(net, chunk, first, n, model_layer_index(block, type), rows * cols, patch));
        net->kernels->upload(net->per_window, net->patched_host, n * rows * cols);
        Ragged part = { n, chunk->batch.length + first, chunk->batch.offset + first };
        multiply(net, out, x, net->per_window, rows * cols, bias, &part, cols, rows);
    }
    return OK;
}

/* out = W x (+ bias) with the clean, the shared patched or each window's own W. */
static int linear(Network *net, float *out, const float *x, const Chunk *chunk, int block, WeightKind type, const Patch *patch)
{
    static const int bias_of[LAYER_TYPES] = { [WEIGHT_Q] = WEIGHT_Q_BIAS, [WEIGHT_K] = WEIGHT_K_BIAS,
                                              [WEIGHT_V] = WEIGHT_V_BIAS, [WEIGHT_O] = WEIGHT_O_BIAS };
    const float *bias = bias_of[type] ? net->weight[block][bias_of[type]] : NULL;
    PatchMode mode = patch_mode(patch, block, type);
    if (mode == PATCH_PER_WINDOW) return matmul_per_window(net, out, x, bias, chunk, block, type, patch);
    const float *w = mode == PATCH_SHARED ? net->shared[type] : layer_weights(net, block, type);
    int64_t rows, cols;
    layer_size(&rows, &cols, net->shape, type);
    multiply(net, out, x, w, 0, bias, &chunk->products, cols, rows);
    return OK;
}

/* The keys and values of this step join the cache, and the queries see all of it. */
static void attend_cache(Network *net, const Chunk *chunk, int block)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    Scratch *s = &net->scratch;
    const Cache *cache = chunk->cache;
    int64_t row = (int64_t)m->n_kv_heads * m->head_dim, start[SAMPLE_GROUP];
    int seen[SAMPLE_GROUP];
    for (int i = 0; i < chunk->batch.n; i++) {
        start[i] = (int64_t)i * cache->length;
        seen[i] = chunk->past[i] + 1;
        int64_t to = (start[i] + chunk->past[i]) * row;
        k->copy(cache->keys[block] + to, s->k + i * row, row);
        k->copy(cache->values[block] + to, s->v + i * row, row);
    }
    Ragged keys = { chunk->batch.n, seen, start };
    k->attention(s->attended, s->q, cache->keys[block], cache->values[block], &chunk->batch, &keys, m->n_heads, m->n_kv_heads, m->head_dim);
}

static int attend(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    Scratch *s = &net->scratch;
    float **w = net->weight[block];
    k->rms_norm(s->normed, x, w[WEIGHT_ATTENTION_NORM], chunk->rows, m->width, m->norm_epsilon);
    TRY(linear(net, s->q, s->normed, chunk, block, WEIGHT_Q, patch));
    TRY(linear(net, s->k, s->normed, chunk, block, WEIGHT_K, patch));
    TRY(linear(net, s->v, s->normed, chunk, block, WEIGHT_V, patch));
    if (w[WEIGHT_Q_NORM]) k->rms_norm(s->q, s->q, w[WEIGHT_Q_NORM], chunk->rows * m->n_heads, m->head_dim, m->norm_epsilon);
    if (w[WEIGHT_K_NORM]) k->rms_norm(s->k, s->k, w[WEIGHT_K_NORM], chunk->rows * m->n_kv_heads, m->head_dim, m->norm_epsilon);
    k->rotate(s->q, net->cosine, net->sine, &chunk->batch, chunk->past, m->n_heads, m->head_dim);
    k->rotate(s->k, net->cosine, net->sine, &chunk->batch, chunk->past, m->n_kv_heads, m->head_dim);
    if (chunk->cache) attend_cache(net, chunk, block);
    else k->attention(s->attended, s->q, s->k, s->v, &chunk->batch, &chunk->batch, m->n_heads, m->n_kv_heads, m->head_dim);
    TRY(linear(net, s->added, s->attended, chunk, block, WEIGHT_O, patch));
    k->add(x, s->added, chunk->rows * m->width);
    return OK;
}

static int feed_forward(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    Scratch *s = &net->scratch;
    k->rms_norm(s->normed, x, net->weight[block][WEIGHT_FEED_FORWARD_NORM], chunk->rows, m->width, m->norm_epsilon);
    TRY(linear(net, s->gate, s->normed, chunk, block, WEIGHT_GATE, patch));
    TRY(linear(net, s->up, s->normed, chunk, block, WEIGHT_UP, patch));
    k->swiglu(s->gate, s->gate, s->up, chunk->rows * m->feed_forward);
    TRY(linear(net, s->added, s->gate, chunk, block, WEIGHT_DOWN, patch));
    k->add(x, s->added, chunk->rows * m->width);
    return OK;
}

int block_forward(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch)
{
    TRY(attend(net, x, chunk, block, patch));
    return feed_forward(net, x, chunk, block, patch);
}

/* Whole segments from `first` on, as many as pass together; offset is scratch for their first rows. */
static Chunk chunk_from(const Layout *layout, int first, int64_t limit, int64_t *offset)
{
    Chunk c = { .window = layout->window + first };
    int n = 0;
    while (first + n < layout->n && (n == 0 || c.rows + layout->length[first + n] <= limit)) {
        offset[n] = c.rows;
        c.rows += layout->length[first + n++];
    }
    c.batch = c.products = (Ragged){ n, layout->length + first, offset };
    return c;
}

int network_block(Network *net, float *x, const Layout *layout, int block, const Patch *patch)
{
    TRY(block_weights(net, block));
    TRY(make_shared(net, block, patch));
    int64_t *offset = xmalloc(sizeof *offset * (size_t)layout->n);
    int status = OK;
    for (int first = 0; first < layout->n && status == OK;) {
        Chunk chunk = chunk_from(layout, first, net->plan.chunk_rows, offset);
        status = block_forward(net, x + layout->offset[first] * net->shape->width, &chunk, block, patch);
        first += chunk.batch.n;
    }
    free(offset);
    return status;
}
