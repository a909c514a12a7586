/*
 * sample.c - text sampled from the model itself, SAMPLE_GROUP windows at a time, one token a step
 *
 * The group is always full (idle rows repeat the first window), so the shapes of all products, and
 * with them every bit of a window, do not depend on how many windows are asked for.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/rng.h"
#include "core/network/internal.h"

typedef struct {
    Network *net;
    Cache cache;                    /* of SAMPLE_GROUP sequences */
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
    s->cache.length = length;
    s->cache.keys = xmalloc(sizeof *s->cache.keys * (size_t)m->n_blocks);
    s->cache.values = xmalloc(sizeof *s->cache.values * (size_t)m->n_blocks);
    for (int b = 0; b < m->n_blocks; b++) {
        s->cache.keys[b] = k->alloc(cache);
        s->cache.values[b] = k->alloc(cache);
    }
    s->x = k->alloc((int64_t)SAMPLE_GROUP * m->width);
    s->logits = k->alloc((int64_t)SAMPLE_GROUP * m->vocabulary);
    s->host = xmalloc(sizeof *s->host * SAMPLE_GROUP * (size_t)m->vocabulary);
}

int64_t network_sample_bytes(const ModelShape *m, int length)
{
    return 2 * (int64_t)m->n_blocks * SAMPLE_GROUP * length * m->n_kv_heads * m->head_dim * (int64_t)sizeof(float);
}

static void sampler_free(Sampler *s)
{
    const Kernels *k = s->net->kernels;
    for (int b = 0; b < s->net->shape->n_blocks; b++) {
        k->release(s->cache.keys[b]);
        k->release(s->cache.values[b]);
    }
    free(s->cache.keys);
    free(s->cache.values);
    k->release(s->x);
    k->release(s->logits);
    free(s->host);
}

/* All blocks for token t of each window.  The products take the rows as one sequence, since they share
 * the weights; attention takes them as the sequences that they are. */
static int step_blocks(Sampler *s, int t)
{
    int one[SAMPLE_GROUP], past[SAMPLE_GROUP], all = SAMPLE_GROUP;
    int64_t row[SAMPLE_GROUP], zero = 0;
    for (int g = 0; g < SAMPLE_GROUP; g++) one[g] = 1, past[g] = t, row[g] = g;
    Chunk chunk = { .batch = { SAMPLE_GROUP, one, row }, .products = { 1, &all, &zero }, .rows = SAMPLE_GROUP, .cache = &s->cache, .past = past };
    for (int b = 0; b < s->net->shape->n_blocks; b++) {
        TRY(block_weights(s->net, b, NULL));
        TRY(block_forward(s->net, s->x, &chunk, b, NULL, &s->net->scratch));
        weights_ahead(s->net, b + 1);
    }
    return OK;
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

/* Feeds token t of each window of the group and draws token t + 1; out begins with window number `window`. */
static int step(Sampler *s, int32_t *out, int first, int windows, int t, int window, uint64_t seed)
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
    if (status == OK) status = step_blocks(s, t);
    if (status != OK) return status;
    TRY(network_logits(net, s->logits, s->x, SAMPLE_GROUP));
    net->kernels->download(s->host, s->logits, SAMPLE_GROUP * (int64_t)m->vocabulary);
    TRY(kernels_status(net->kernels));
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int g = 0; g < SAMPLE_GROUP; g++)
        if (first + g < windows)
            out[(int64_t)(first + g) * s->length + t + 1] =
                draw(s->host + (int64_t)g * m->vocabulary, m->vocabulary,
                     rng_uniform(seed, rng_stream(RNG_SAMPLE, 0, 0, window + first + g), (uint64_t)t));
    return OK;
}

int network_sample(int32_t *out, Network *net, const int32_t *first, int window, int windows, int length, uint64_t seed)
{
    assert(window % SAMPLE_GROUP == 0);
    if (length > net->positions) FAIL(ERR_ARGUMENT, "sampled windows of %d tokens are longer than the network's %d positions", length, net->positions);
    Sampler sampler;
    sampler_init(&sampler, net, length);
    int status = OK;
    for (int w = 0; w < windows; w++) out[(int64_t)w * length] = first[w];
    for (int group = 0; group < windows && status == OK; group += SAMPLE_GROUP)
        for (int t = 0; t + 1 < length && status == OK; t++)
            status = interrupt_requested() ? err_set(ERR_INTERRUPTED, "interrupted") : step(&sampler, out, group, windows, t, window, seed);
    sampler_free(&sampler);
    return status;
}
