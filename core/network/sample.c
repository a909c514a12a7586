/*
 * sample.c - text sampled from the model itself, SAMPLE_GROUP windows at a time, one token a step
 *
 * The group is always full (idle rows repeat the first window), so the shapes of all products, and
 * with them every bit of a window, do not depend on how many windows are asked for.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/rng.h"
#include "core/network/internal.h"

typedef struct {
    Network *net;
    float **keys, **values;         /* [n_blocks] of [SAMPLE_GROUP][length][n_kv_heads * head_dim] */
    int length;
    float *x, *logits;              /* [SAMPLE_GROUP][width], [SAMPLE_GROUP][vocabulary] */
    float *host;                    /* logits on the host                  */
} Sampler;

static void sampler_init(Sampler *s, Network *net, int length)
{
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    int64_t cache = (int64_t)SAMPLE_GROUP * length * m->n_kv_heads * m->head_dim;
    *s = (Sampler){ .net = net, .length = length };
    s->keys = xmalloc(sizeof *s->keys * (size_t)m->n_blocks);
    s->values = xmalloc(sizeof *s->values * (size_t)m->n_blocks);
    for (int b = 0; b < m->n_blocks; b++) {
        s->keys[b] = k->alloc(cache);
        s->values[b] = k->alloc(cache);
    }
    s->x = k->alloc((int64_t)SAMPLE_GROUP * m->width);
    s->logits = k->alloc((int64_t)SAMPLE_GROUP * m->vocabulary);
    s->host = xmalloc(sizeof *s->host * SAMPLE_GROUP * (size_t)m->vocabulary);
}

static void sampler_free(Sampler *s)
{
    const Kernels *k = s->net->kernels;
    for (int b = 0; b < s->net->shape->n_blocks; b++) {
        k->release(s->keys[b]);
        k->release(s->values[b]);
    }
    free(s->keys);
    free(s->values);
    k->release(s->x);
    k->release(s->logits);
    free(s->host);
}

/* The keys and values of this step join the caches at row t of each window. */
static void remember(Sampler *s, int block, int t)
{
    const ModelShape *m = s->net->shape;
    int64_t row = (int64_t)m->n_kv_heads * m->head_dim;
    for (int g = 0; g < SAMPLE_GROUP; g++) {
        s->net->kernels->copy(s->keys[block] + (g * (int64_t)s->length + t) * row, s->net->scratch.k + g * row, row);
        s->net->kernels->copy(s->values[block] + (g * (int64_t)s->length + t) * row, s->net->scratch.v + g * row, row);
    }
}

/* One linear layer for the SAMPLE_GROUP rows, taken as one sequence: the weights are shared. */
static void project(Network *net, float *out, const float *x, int block, WeightKind type)
{
    static const int bias_of[LAYER_TYPES] = { [WEIGHT_Q] = WEIGHT_Q_BIAS, [WEIGHT_K] = WEIGHT_K_BIAS,
                                              [WEIGHT_V] = WEIGHT_V_BIAS, [WEIGHT_O] = WEIGHT_O_BIAS };
    int64_t rows, cols, zero = 0;
    int group = SAMPLE_GROUP;
    Ragged one = { 1, &group, &zero };
    layer_size(&rows, &cols, net->shape, type);
    net->kernels->matmul(out, rows, x, layer_weights(net, block, type), 0,
                         bias_of[type] ? net->weight[block][bias_of[type]] : NULL, &one, (int)cols, (int)rows);
}

static void step_attention(Sampler *s, int block, int t)
{
    Network *net = s->net;
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    Scratch *a = &net->scratch;
    float **w = net->weight[block];
    int one[SAMPLE_GROUP], past[SAMPLE_GROUP], seen[SAMPLE_GROUP];
    int64_t row[SAMPLE_GROUP], cache[SAMPLE_GROUP];
    for (int g = 0; g < SAMPLE_GROUP; g++) {
        one[g] = 1, past[g] = t, seen[g] = t + 1;
        row[g] = g, cache[g] = (int64_t)g * s->length;
    }
    Ragged queries = { SAMPLE_GROUP, one, row }, keys = { SAMPLE_GROUP, seen, cache };
    k->rms_norm(a->normed, s->x, w[WEIGHT_ATTENTION_NORM], SAMPLE_GROUP, m->width, m->norm_epsilon);
    project(net, a->q, a->normed, block, WEIGHT_Q);
    project(net, a->k, a->normed, block, WEIGHT_K);
    project(net, a->v, a->normed, block, WEIGHT_V);
    if (w[WEIGHT_Q_NORM]) k->rms_norm(a->q, a->q, w[WEIGHT_Q_NORM], SAMPLE_GROUP * m->n_heads, m->head_dim, m->norm_epsilon);
    if (w[WEIGHT_K_NORM]) k->rms_norm(a->k, a->k, w[WEIGHT_K_NORM], SAMPLE_GROUP * m->n_kv_heads, m->head_dim, m->norm_epsilon);
    k->rotate(a->q, net->cosine, net->sine, &queries, past, m->n_heads, m->head_dim);
    k->rotate(a->k, net->cosine, net->sine, &queries, past, m->n_kv_heads, m->head_dim);
    remember(s, block, t);
    k->attention(a->attended, a->q, s->keys[block], s->values[block], &queries, &keys, m->n_heads, m->n_kv_heads, m->head_dim);
    project(net, a->added, a->attended, block, WEIGHT_O);
    k->add(s->x, a->added, SAMPLE_GROUP * (int64_t)m->width);
}

static void step_feed_forward(Sampler *s, int block)
{
    Network *net = s->net;
    const ModelShape *m = net->shape;
    const Kernels *k = net->kernels;
    Scratch *a = &net->scratch;
    k->rms_norm(a->normed, s->x, net->weight[block][WEIGHT_FEED_FORWARD_NORM], SAMPLE_GROUP, m->width, m->norm_epsilon);
    project(net, a->gate, a->normed, block, WEIGHT_GATE);
    project(net, a->up, a->normed, block, WEIGHT_UP);
    k->swiglu(a->gate, a->gate, a->up, SAMPLE_GROUP * (int64_t)m->feed_forward);
    project(net, a->added, a->gate, block, WEIGHT_DOWN);
    k->add(s->x, a->added, SAMPLE_GROUP * (int64_t)m->width);
}

/* The id whose cumulated probability first exceeds u. */
static int32_t draw(const float *logits, int V, double u)
{
    double largest = -INFINITY, total = 0, sum = 0;
    for (int i = 0; i < V; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (int i = 0; i < V; i++) total += exp(logits[i] - largest);
    for (int i = 0; i < V; i++) {
        sum += exp(logits[i] - largest);
        if (sum > u * total) return i;
    }
    return V - 1;
}

/* Feeds token t of each window of the group and draws token t + 1. */
static int step(Sampler *s, int32_t *out, int first, int windows, int t, uint64_t seed)
{
    Network *net = s->net;
    const ModelShape *m = net->shape;
    float *embedded = xmalloc(sizeof *embedded * SAMPLE_GROUP * (size_t)m->width);
    int status = OK;
    for (int g = 0; g < SAMPLE_GROUP && status == OK; g++) {
        int w = first + g < windows ? first + g : first;
        status = model_read(embedded + (int64_t)g * m->width, net->model, WEIGHT_EMBEDDING, 0, out[(int64_t)w * s->length + t], 1);
    }
    if (status == OK) net->kernels->upload(s->x, embedded, SAMPLE_GROUP * (int64_t)m->width);
    free(embedded);
    for (int b = 0; b < m->n_blocks && status == OK; b++) {
        status = block_weights(net, b);
        if (status != OK) break;
        step_attention(s, b, t);
        step_feed_forward(s, b);
    }
    if (status != OK) return status;
    network_logits(net, s->logits, s->x, SAMPLE_GROUP);
    net->kernels->download(s->host, s->logits, SAMPLE_GROUP * (int64_t)m->vocabulary);
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int g = 0; g < SAMPLE_GROUP; g++)
        if (first + g < windows)
            out[(int64_t)(first + g) * s->length + t + 1] =
                draw(s->host + (int64_t)g * m->vocabulary, m->vocabulary,
                     rng_uniform(seed, rng_stream(RNG_SAMPLE, 0, 0, first + g), (uint64_t)t));
    return OK;
}

int network_sample(int32_t *out, Network *net, const int32_t *first, int windows, int length, uint64_t seed)
{
    if (length > net->positions) FAIL(ERR_ARGUMENT, "sampled windows of %d tokens are longer than the network's %d positions", length, net->positions);
    Sampler sampler;
    sampler_init(&sampler, net, length);
    int status = OK;
    for (int w = 0; w < windows; w++) out[(int64_t)w * length] = first[w];
    for (int group = 0; group < windows && status == OK; group += SAMPLE_GROUP)
        for (int t = 0; t + 1 < length && status == OK; t++)
            status = interrupt_requested() ? err_set(ERR_INTERRUPTED, "interrupted") : step(&sampler, out, group, windows, t, seed);
    sampler_free(&sampler);
    return status;
}
