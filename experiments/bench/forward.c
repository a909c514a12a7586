/*
 * forward.c - the whole forward pass: embeddings, blocks, head and NLL
 */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/network/device.h"
#include "core/network/network.h"
#include "experiments/bench/bench.h"

typedef struct {
    Bench *bench;
    Network *net;
    Layout layout;
    float *start, *x, *logits;
    double *log_sum, *target_logit;
    int32_t *top;
} Pass;

static int embed(void *context)
{
    Pass *p = context;
    TRY(network_embed(p->net, p->start, &p->layout, p->bench->corpus));
    if (p->bench->kernels->finish) p->bench->kernels->finish();
    return kernels_status(p->bench->kernels);
}

static int losses(Pass *p)
{
    const Kernels *k = p->bench->kernels;
    const ModelShape *s = model_shape(p->bench->model);
    for (int i = 0; i < p->bench->corpus->n_segments; i++) {
        const Segment *segment = &p->bench->corpus->segment[i];
        for (int first = segment->first_scored; first < segment->length; first += k->head_rows) {
            const int n = segment->length - first < k->head_rows ? segment->length - first : k->head_rows;
            TRY(network_logits(p->net, p->logits, p->x + (p->layout.offset[i] + first) * s->width, n));
            k->log_sum_exp(p->log_sum, p->top, p->target_logit, p->logits, segment->targets + first, n, s->vocabulary);
        }
    }
    return kernels_status(k);
}

static int forward(void *context)
{
    Pass *p = context;
    const ModelShape *s = model_shape(p->bench->model);
    p->bench->kernels->copy(p->x, p->start, p->layout.rows * s->width);
    for (int b = 0; b < s->n_blocks; b++) TRY(network_block(p->net, p->x, &p->layout, b, NULL));
    TRY(losses(p));
    if (p->bench->kernels->finish) p->bench->kernels->finish();
    return kernels_status(p->bench->kernels);
}

static int profile(Pass *p)
{
    Bench *b = p->bench;
    if (!b->kernels->profile) return OK;
    b->kernels->profile(1);
    int status = forward(p);
    b->kernels->profile(0);
    b->n_operations = b->kernels->profiled(b->operation, MOST_OPERATIONS);
    return status;
}

static int open_pass(Pass *p, Bench *b)
{
    const ModelShape *s = model_shape(b->model);
    const Kernels *k = b->kernels;
    StudyPlan plan;
    TRY(study_plan(&plan, s, b->corpus, k, b->memory));
    const double start = clock_seconds();
    TRY(network_open(&p->net, b->model, k, &plan.network, b->corpus->longest));
    if (k->finish) k->finish();
    b->open_seconds = clock_seconds() - start;
    p->start = k->alloc(p->layout.rows * s->width);
    p->x = k->alloc(p->layout.rows * s->width);
    p->logits = k->alloc((int64_t)k->head_rows * s->vocabulary);
    return kernels_status(k);
}

int bench_forward(Bench *b)
{
    const Kernels *k = b->kernels;
    const Corpus *c = b->corpus;
    const size_t rows = (size_t)k->head_rows;
    Pass p = { .bench = b, .log_sum = xmalloc(sizeof(double) * rows), .target_logit = xmalloc(sizeof(double) * rows), .top = xmalloc(sizeof(int32_t) * rows) };
    layout_init(&p.layout, c);
    int status = open_pass(&p, b);
    if (status == OK) status = bench_time(&b->embed, b->repeats, embed, &p);
    if (status == OK) status = bench_time(&b->forward, b->repeats, forward, &p);
    if (status == OK) status = profile(&p);
    b->forward_flops = network_flops(model_shape(b->model), c->n_inputs, (double)c->n_inputs / c->n_segments, 0, c->n_scored);
    k->release(p.start), k->release(p.x), k->release(p.logits);
    network_close(&p.net);
    layout_free(&p.layout);
    free(p.log_sum), free(p.target_logit), free(p.top);
    return status;
}
