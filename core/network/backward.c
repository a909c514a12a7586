#include "core/network/backward.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/network/internal.h"

/* One pass at work.  The gradient runs through dx; what follows it is scratch of a block. */
typedef struct {
    Network *net;
    const BackwardPlan *plan;
    const Patch *patch;
    const GradientVisitor *visitor;
    int first_segment;
    Chunk chunk;
    float *x, *dx;                          /* [rows][width] */
    float *dnormed;                         /* [rows][width] */
    float *dq, *dattended, *dk, *dv;
    float *dhidden, *dup;
    float *logits, *dhead;                  /* [head_rows of the back end][vocabulary], [..][width] */
    float *minus_sine;                      /* the rotation backwards */
    Activations *kept;                      /* [n_blocks]; without the keep of the plan only input is there  */
    Activations at_work;                    /* scratch that all blocks share, and one block's activations if not kept */
} Pass;

static int64_t q_floats(const ModelShape *m) { return (int64_t)m->n_heads * m->head_dim; }
static int64_t kv_floats(const ModelShape *m) { return (int64_t)m->n_kv_heads * m->head_dim; }

/* Floats a row of kept activations takes in one block (models with per-head norms take all of them, others less). */
static int64_t kept_floats(const ModelShape *m)
{
    return 2 * (int64_t)m->width + 3 * q_floats(m) + 3 * kv_floats(m) + 2 * (int64_t)m->feed_forward;
}

int64_t backward_bytes(const ModelShape *m, const Kernels *kernels, const BackwardPlan *plan, int longest)
{
    int64_t rows = plan->rows > longest ? plan->rows : longest;
    int64_t scratch = 6 * (int64_t)m->width + 4 * q_floats(m) + 2 * kv_floats(m) + 3 * (int64_t)m->feed_forward;     /* the attention's own included */
    int64_t kept = plan->keep && !kernels_have_parts(kernels) ? m->n_blocks * kept_floats(m) : (int64_t)m->n_blocks * m->width + kept_floats(m);
    int64_t head = (int64_t)kernels->head_rows * (m->vocabulary + m->width);
    return (rows * (scratch + kept) + head + (int64_t)longest * m->head_dim / 2) * (int64_t)sizeof(float);
}

int backward_segments(const Layout *layout, int first, const BackwardPlan *plan)
{
    int64_t rows = 0;
    int n = 0;
    while (first + n < layout->n && n < PATCH_BATCH && (n == 0 || rows + layout->length[first + n] <= plan->rows)) rows += layout->length[first + n++];
    return n;
}

double backward_flops(const ModelShape *shape, int64_t tokens, double length, int64_t scored, bool keep)
{
    double blocks = network_flops(shape, tokens, length, 0, 0), head = network_flops(shape, 0, length, 0, scored);
    return (keep ? 3 : 4) * blocks + 2 * head;         /* the head's weights have no gradient here */
}

/* ---- memory ---- */

static Activations kept_activations(const Pass *p, int64_t rows)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    Activations a = p->at_work;             /* what a block leaves to no one stays shared */
    a.middle = k->alloc(rows * m->width);
    a.q = k->alloc(rows * q_floats(m)), a.attended = k->alloc(rows * q_floats(m));
    a.k = k->alloc(rows * kv_floats(m)), a.v = k->alloc(rows * kv_floats(m));
    a.gate = k->alloc(rows * m->feed_forward), a.up = k->alloc(rows * m->feed_forward);
    if (p->net->weight[0][WEIGHT_Q_NORM]) a.raw_q = k->alloc(rows * q_floats(m));
    if (p->net->weight[0][WEIGHT_K_NORM]) a.raw_k = k->alloc(rows * kv_floats(m));
    return a;
}

static void release_kept(const Kernels *k, const Activations *a)
{
    float *all[] = { a->middle, a->q, a->attended, a->k, a->v, a->gate, a->up, a->raw_q, a->raw_k };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) k->release(all[i]);
}

static void pass_init(Pass *p)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    const int64_t rows = p->chunk.rows, half = (int64_t)p->net->positions * m->head_dim / 2;
    p->x = k->alloc(rows * m->width), p->dx = k->alloc(rows * m->width), p->dnormed = k->alloc(rows * m->width);
    p->dq = k->alloc(rows * q_floats(m)), p->dattended = k->alloc(rows * q_floats(m));
    p->dk = k->alloc(rows * kv_floats(m)), p->dv = k->alloc(rows * kv_floats(m));
    p->dhidden = k->alloc(rows * m->feed_forward), p->dup = k->alloc(rows * m->feed_forward);
    p->logits = k->alloc((int64_t)k->head_rows * m->vocabulary), p->dhead = k->alloc((int64_t)k->head_rows * m->width);
    p->minus_sine = k->alloc(half);
    float *host = xmalloc(sizeof *host * (size_t)(half ? half : 1));
    k->download(host, p->net->sine, half);
    for (int64_t i = 0; i < half; i++) host[i] = -host[i];
    k->upload(p->minus_sine, host, half);
    free(host);
    p->at_work = (Activations){ .normed = k->alloc(rows * m->width), .added = k->alloc(rows * m->width), .hidden = k->alloc(rows * m->feed_forward) };
    p->kept = xcalloc((size_t)m->n_blocks, sizeof *p->kept);
    if (!p->plan->keep) p->at_work = kept_activations(p, rows);
    for (int b = 0; b < m->n_blocks; b++) {
        if (p->plan->keep) p->kept[b] = kept_activations(p, rows);
        p->kept[b].input = k->alloc(rows * m->width);
    }
}

static void pass_free(Pass *p)
{
    const Kernels *k = p->net->kernels;
    for (int b = 0; b < p->net->shape->n_blocks; b++) {
        if (p->plan->keep) release_kept(k, &p->kept[b]);
        k->release(p->kept[b].input);
    }
    if (!p->plan->keep) release_kept(k, &p->at_work);
    float *all[] = { p->at_work.normed, p->at_work.added, p->at_work.hidden, p->x, p->dx, p->dnormed, p->dq, p->dattended, p->dk, p->dv,
                     p->dhidden, p->dup, p->logits, p->dhead, p->minus_sine };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) k->release(all[i]);
    free(p->kept);
}

/* Where block b leaves its activations: its own, or those at work with its own input. */
static Activations activations_of(const Pass *p, int b)
{
    if (p->plan->keep) return p->kept[b];
    Activations a = p->at_work;
    a.input = p->kept[b].input;
    return a;
}

/* ---- the pass ---- */

static int forward(Pass *p)
{
    for (int b = 0; b < p->net->shape->n_blocks; b++) {
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        Activations a = activations_of(p, b);
        TRY(block_weights(p->net, b, p->patch));
        if (takes_parts(p->net)) {          /* what is inside a part comes with the way back */
            p->net->kernels->copy(a.input, p->x, p->chunk.rows * p->net->shape->width);
            TRY(block_parts(p->net, p->x, &p->chunk, b, p->patch));
        } else {
            TRY(block_forward(p->net, p->x, &p->chunk, b, p->patch, &a));
        }
        weights_ahead(p->net, b + 1);
    }
    return OK;
}

/* dx of n rows from `row` on, which lie in one segment from its row `first` on. */
static int head_rows(Pass *p, int segment, int first, int64_t row, int n)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    const float *x = p->x + row * m->width;
    int64_t zero = 0;
    Ragged one = { 1, &n, &zero };
    TRY(network_logits(p->net, p->logits, x, n));
    TRY(p->visitor->loss(p->visitor->context, p->logits, segment, first, n));
    k->matmul_backward(p->dhead, p->logits, p->net->head, 0, &one, m->width, m->vocabulary, 0);
    k->rms_norm_backward(p->dx + row * m->width, p->dhead, x, p->net->final_norm, n, m->width, m->norm_epsilon);
    return OK;
}

static int head(Pass *p, const Corpus *corpus)
{
    const int width = p->net->shape->width, most = p->net->kernels->head_rows;
    float *zeros = xcalloc((size_t)(p->chunk.rows * width), sizeof *zeros);     /* rows whose logits are not asked for */
    p->net->kernels->upload(p->dx, zeros, p->chunk.rows * width);
    free(zeros);
    for (int i = 0; i < p->chunk.batch.n; i++) {
        const Segment *segment = &corpus->segment[p->first_segment + i];
        for (int first = segment->first_scored; first < segment->length; first += most) {
            int n = segment->length - first < most ? segment->length - first : most;
            TRY(head_rows(p, p->first_segment + i, first, p->chunk.batch.offset[i] + first, n));
        }
    }
    return OK;
}

/* Hands dy and x of a layer to the visitor, and adds to or sets the gradient by x (dinput NULL: nobody asks for it). */
static int layer_backward(Pass *p, float *dinput, const float *dy, const float *x, int block, WeightKind type, int add)
{
    Network *net = p->net;
    LayerGradient g = { .layer = model_layer_index(block, type), .first_segment = p->first_segment, .batch = p->chunk.batch, .dy = dy, .x = x };
    g.clean = clean_weights(net, block, type);
    layer_size(&g.rows, &g.cols, net->shape, type);
    TRY(layer_weights(&g.w, &g.w_stride, net, &p->chunk, 0, p->chunk.batch.n, block, type, p->patch));
    TRY(p->visitor->layer(p->visitor->context, &g));
    if (dinput) net->kernels->matmul_backward(dinput, dy, g.w, g.w_stride, &p->chunk.batch, (int)g.cols, (int)g.rows, add);
    return OK;
}

/* dx: gradient by what an rms_norm and the layers behind it add to; dnormed: by the norm's output. */
static void norm_backward(Pass *p, const float *x, const float *gain)
{
    const ModelShape *m = p->net->shape;
    p->net->kernels->rms_norm_backward(p->dnormed, p->dnormed, x, gain, p->chunk.rows, m->width, m->norm_epsilon);
    p->net->kernels->add(p->dx, p->dnormed, p->chunk.rows * m->width);
}

static int feed_forward_backward(Pass *p, int b, const Activations *a)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    const int64_t rows = p->chunk.rows;
    const float *gain = p->net->weight[b][WEIGHT_FEED_FORWARD_NORM];
    k->swiglu(a->hidden, a->gate, a->up, rows * m->feed_forward);
    TRY(layer_backward(p, p->dhidden, p->dx, a->hidden, b, WEIGHT_DOWN, 0));
    k->swiglu_backward(p->dhidden, p->dup, p->dhidden, a->gate, a->up, rows * m->feed_forward);
    k->rms_norm(a->normed, a->middle, gain, rows, m->width, m->norm_epsilon);
    TRY(layer_backward(p, p->dnormed, p->dhidden, a->normed, b, WEIGHT_GATE, 0));
    TRY(layer_backward(p, p->dnormed, p->dup, a->normed, b, WEIGHT_UP, 1));
    norm_backward(p, a->middle, gain);
    return OK;
}

static void heads_backward(Pass *p, float *dx, const float *raw, const float *gain, int heads)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    k->rotate(dx, p->net->cosine, p->minus_sine, &p->chunk.batch, NULL, heads, m->head_dim);
    if (gain) k->rms_norm_backward(dx, dx, raw, gain, p->chunk.rows * heads, m->head_dim, m->norm_epsilon);
}

static int attention_part_backward(Pass *p, int b, const Activations *a, bool lowest)
{
    const ModelShape *m = p->net->shape;
    const Kernels *k = p->net->kernels;
    float **w = p->net->weight[b], *dinput = lowest ? NULL : p->dnormed;
    TRY(layer_backward(p, p->dattended, p->dx, a->attended, b, WEIGHT_O, 0));
    k->attention_backward(p->dq, p->dk, p->dv, p->dattended, a->q, a->k, a->v, &p->chunk.batch, m->n_heads, m->n_kv_heads, m->head_dim);
    heads_backward(p, p->dq, a->raw_q, w[WEIGHT_Q_NORM], m->n_heads);
    heads_backward(p, p->dk, a->raw_k, w[WEIGHT_K_NORM], m->n_kv_heads);
    k->rms_norm(a->normed, a->input, w[WEIGHT_ATTENTION_NORM], p->chunk.rows, m->width, m->norm_epsilon);
    TRY(layer_backward(p, dinput, p->dq, a->normed, b, WEIGHT_Q, 0));
    TRY(layer_backward(p, dinput, p->dk, a->normed, b, WEIGHT_K, 1));
    TRY(layer_backward(p, dinput, p->dv, a->normed, b, WEIGHT_V, 1));
    if (dinput) norm_backward(p, a->input, w[WEIGHT_ATTENTION_NORM]);
    return OK;
}

/* The block's activations again, from its kept input: to the same bits, or those of the single operations where the forward pass
 * went through parts. */
static int recompute(Pass *p, int b, Activations *a)
{
    const float *input = a->input;
    a->input = NULL;                        /* it is there already */
    p->net->kernels->copy(p->x, input, p->chunk.rows * p->net->shape->width);
    int status = block_activations(p->net, p->x, &p->chunk, b, p->patch, a);
    a->input = (float *)input;
    return status;
}

static int backward(Pass *p)
{
    for (int b = p->net->shape->n_blocks - 1; b >= p->visitor->lowest_block; b--) {
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        Activations a = activations_of(p, b);
        TRY(block_weights(p->net, b, p->patch));
        if (!p->plan->keep) TRY(recompute(p, b, &a));
        TRY(feed_forward_backward(p, b, &a));
        TRY(attention_part_backward(p, b, &a, b == p->visitor->lowest_block));
        if (b > p->visitor->lowest_block) weights_ahead(p->net, b - 1);
    }
    return OK;
}

int network_backward(Network *net, const Corpus *corpus, const Layout *layout, int first, int n, const BackwardPlan *plan,
                     const Patch *patch, const GradientVisitor *visitor)
{
    int64_t *offset = xmalloc(sizeof *offset * (size_t)(layout->n - first));
    const BackwardPlan own = { plan->keep && !kernels_have_parts(net->kernels), plan->rows };
    Pass p = { .net = net, .plan = &own, .patch = patch, .visitor = visitor, .first_segment = first };
    Layout part = { .n = n, .length = layout->length + first, .window = layout->window + first };
    p.chunk = chunk_from(&part, 0, INT64_MAX, offset);
    part.offset = offset;
    part.rows = p.chunk.rows;
    pass_init(&p);
    Corpus these = *corpus;
    these.segment += first;
    int status = network_embed(net, p.x, &part, &these);
    if (status == OK) status = forward(&p);
    if (status == OK) status = head(&p, corpus);
    if (status == OK) status = backward(&p);
    pass_free(&p);
    free(offset);
    return kernels_status_after(net->kernels, status);
}
