/*
 * block.c - one transformer block over all segments, operation by operation
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/internal.h"

void multiply(const Network *net, float *out, const float *x, const float *w, int64_t w_stride, const float *bias,
              const Ragged *batch, int64_t cols, int64_t rows)
{
    (net->other_rounding ? net->kernels->matmul_halves : net->kernels->matmul)(out, rows, x, w, w_stride, bias, batch, (int)cols, (int)rows);
}

/* out = W x (+ bias) with the clean, the shared patched or each window's own W. */
static int linear(Network *net, float *out, const float *x, const Chunk *chunk, int block, WeightKind type, const Patch *patch)
{
    const float *bias = layer_bias(net, block, type);
    int64_t rows, cols, stride;
    const float *w;
    layer_size(&rows, &cols, net->shape, type);
    if (patch_mode(patch, block, type) != PATCH_PER_WINDOW) {
        TRY(layer_weights(&w, &stride, net, chunk, 0, 0, block, type, patch));
        multiply(net, out, x, w, 0, bias, &chunk->products, cols, rows);
        return OK;
    }
    for (int first = 0; first < chunk->batch.n; first += PATCH_BATCH) {
        int n = chunk->batch.n - first < PATCH_BATCH ? chunk->batch.n - first : PATCH_BATCH;
        TRY(layer_weights(&w, &stride, net, chunk, first, n, block, type, patch));
        Ragged part = { n, chunk->batch.length + first, chunk->batch.offset + first };
        multiply(net, out, x, w, stride, bias, &part, cols, rows);
    }
    return OK;
}

/* The keys and values of this step join the cache, and the queries see all of it. */
static void attend_cache(Network *net, const Chunk *chunk, int block, Activations *a)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    const Cache *cache = chunk->cache;
    int64_t row = (int64_t)m->n_kv_heads * m->head_dim, start[SAMPLE_GROUP];
    int seen[SAMPLE_GROUP];
    for (int i = 0; i < chunk->batch.n; i++) {
        start[i] = (int64_t)i * cache->length;
        seen[i] = chunk->past[i] + 1;
        int64_t to = (start[i] + chunk->past[i]) * row;
        k->copy(cache->keys[block] + to, a->k + i * row, row);
        k->copy(cache->values[block] + to, a->v + i * row, row);
    }
    Ragged keys = { chunk->batch.n, seen, start };
    k->attention(a->attended, a->q, cache->keys[block], cache->values[block], &chunk->batch, &keys, m->n_heads, m->n_kv_heads, m->head_dim);
}

static void norm_heads(Network *net, float *x, float *raw, const float *gain, int64_t rows, int heads)
{
    const ModelShape *m = net->shape;
    if (!gain) return;
    if (raw) net->kernels->copy(raw, x, rows * heads * m->head_dim);
    net->kernels->rms_norm(x, x, gain, rows * heads, m->head_dim, m->norm_epsilon);
}

static int attend(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, Activations *a)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    float **w = net->weight[block];
    if (a->input) k->copy(a->input, x, chunk->rows * m->width);
    k->rms_norm(a->normed, x, w[WEIGHT_ATTENTION_NORM], chunk->rows, m->width, m->norm_epsilon);
    TRY(linear(net, a->q, a->normed, chunk, block, WEIGHT_Q, patch));
    TRY(linear(net, a->k, a->normed, chunk, block, WEIGHT_K, patch));
    TRY(linear(net, a->v, a->normed, chunk, block, WEIGHT_V, patch));
    norm_heads(net, a->q, a->raw_q, w[WEIGHT_Q_NORM], chunk->rows, m->n_heads);
    norm_heads(net, a->k, a->raw_k, w[WEIGHT_K_NORM], chunk->rows, m->n_kv_heads);
    k->rotate(a->q, net->cosine, net->sine, &chunk->batch, chunk->past, m->n_heads, m->head_dim);
    k->rotate(a->k, net->cosine, net->sine, &chunk->batch, chunk->past, m->n_kv_heads, m->head_dim);
    if (chunk->cache) attend_cache(net, chunk, block, a);
    else k->attention(a->attended, a->q, a->k, a->v, &chunk->batch, &chunk->batch, m->n_heads, m->n_kv_heads, m->head_dim);
    TRY(linear(net, a->added, a->attended, chunk, block, WEIGHT_O, patch));
    k->add(x, a->added, chunk->rows * m->width);
    return OK;
}

int block_activations(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, Activations *a)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    TRY(attend(net, x, chunk, block, patch, a));
    if (a->middle) k->copy(a->middle, x, chunk->rows * m->width);
    k->rms_norm(a->normed, x, net->weight[block][WEIGHT_FEED_FORWARD_NORM], chunk->rows, m->width, m->norm_epsilon);
    TRY(linear(net, a->gate, a->normed, chunk, block, WEIGHT_GATE, patch));
    return linear(net, a->up, a->normed, chunk, block, WEIGHT_UP, patch);
}

int block_forward(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, Activations *a)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    TRY(block_activations(net, x, chunk, block, patch, a));
    float *hidden = a->hidden ? a->hidden : a->gate;
    k->swiglu(hidden, a->gate, a->up, chunk->rows * m->feed_forward);
    TRY(linear(net, a->added, hidden, chunk, block, WEIGHT_DOWN, patch));
    k->add(x, a->added, chunk->rows * m->width);
    return OK;
}

Chunk chunk_from(const Layout *layout, int first, int64_t limit, int64_t *offset)
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
    TRY(block_weights(net, block, patch));
    int64_t *offset = xmalloc(sizeof *offset * (size_t)layout->n);
    int status = OK;
    for (int first = 0; first < layout->n && status == OK;) {
        Chunk chunk = chunk_from(layout, first, net->plan.chunk_rows, offset);
        float *rows = x + layout->offset[first] * net->shape->width;
        status = takes_parts(net) ? block_parts(net, rows, &chunk, block, patch) : block_forward(net, rows, &chunk, block, patch, &net->scratch);
        first += chunk.batch.n;
    }
    free(offset);
    if (status == OK) weights_ahead(net, block + 1);
    return kernels_status_after(net->kernels, status);
}
