#include "core/measure/calibration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"

/* Evidence of one input of a block; NULL where it was not collected. */
typedef struct { float *hessian; double *mean; } InputEvidence;

struct Calibration {
    const Model *model;
    const Corpus *corpus;
    const Kernels *kernels;
    const ModelShape *shape;
    bool sequential;
    int64_t keep;                           /* bytes left for evidence of blocks passed */
    Network *net;                           /* NULL until something is asked for        */
    Layout layout;
    float *x;                               /* [rows][width] the stream before block `at` */
    float *ahead;                           /* sequential: a copy that runs through it  */
    int at;
    InputEvidence (*block)[INPUTS];         /* [n_blocks]                               */
    int loose;                              /* block whose evidence goes when another comes; -1: none */
    float *replaced[LAYER_TYPES];           /* of block `at`, on the host; NULL: the model's own */
    bool wanted[INPUTS];                    /* of the pass at work                      */
    int collecting;                         /* its block                                */
    float *sum;                             /* [cols][cols] in the back end's memory    */
};

static int64_t evidence_bytes(const ModelShape *shape)
{
    int64_t bytes = 0;
    for (InputKind k = 0; k < INPUTS; k++) {
        const int64_t cols = input_width(shape, k);
        bytes += cols * cols * (int64_t)sizeof(float) + cols * (int64_t)sizeof(double);
    }
    return bytes;
}

static NetworkPlan network_plan(const Corpus *corpus)
{
    return (NetworkPlan){ .headless = true, .chunk_rows = corpus->longest > 2048 ? corpus->longest : 2048 };
}

int64_t calibration_evidence_bytes(const ModelShape *shape) { return shape->n_blocks * evidence_bytes(shape); }

int64_t calibration_bytes(const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, bool sequential)
{
    const NetworkPlan plan = network_plan(corpus);
    const int64_t widest = input_width(shape, INPUT_DOWN) > shape->width ? input_width(shape, INPUT_DOWN) : shape->width;
    const int64_t stream = corpus->n_inputs * shape->width * (int64_t)sizeof(float);
    const int64_t replaced = stream + 2 * network_patch_bytes(shape, kernels, 0);       /* the stream ahead; weights here and in the network */
    return network_bytes(shape, kernels, &plan, corpus->longest) + stream + evidence_bytes(shape) + (sequential ? replaced : 0)
         + (widest * widest + plan.chunk_rows * widest) * (int64_t)sizeof(float);
}

int calibration_open(Calibration **out, const Model *model, const Corpus *corpus, const Kernels *kernels, int64_t keep, bool sequential)
{
    Calibration *c = xcalloc(1, sizeof *c);
    *c = (Calibration){ .model = model, .corpus = corpus, .kernels = kernels, .shape = model_shape(model), .keep = keep,
                        .sequential = sequential, .loose = -1 };
    c->block = xcalloc((size_t)c->shape->n_blocks, sizeof *c->block);
    layout_init(&c->layout, corpus);
    *out = c;
    return OK;
}

static void release_block(Calibration *c, int block)
{
    for (InputKind k = 0; k < INPUTS; k++) {
        free(c->block[block][k].hessian);
        free(c->block[block][k].mean);
        c->block[block][k] = (InputEvidence){ 0 };
    }
}

static void forget_replaced(Calibration *c)
{
    for (int t = 0; t < LAYER_TYPES; t++) {
        free(c->replaced[t]);
        c->replaced[t] = NULL;
    }
}

void calibration_close(Calibration **calibration)
{
    Calibration *c = *calibration;
    if (!c) return;
    for (int b = 0; b < c->shape->n_blocks; b++) release_block(c, b);
    forget_replaced(c);
    c->kernels->release(c->x);
    c->kernels->release(c->ahead);
    c->kernels->release(c->sum);
    network_close(&c->net);
    layout_free(&c->layout);
    free(c->block);
    free(c);
    *calibration = NULL;
}

/* ---- a pass through one block ---- */

/* Sums of |x_j| in double, rows in order. */
static void add_magnitudes(double *mean, const Calibration *c, const float *x, int64_t rows, int64_t cols)
{
    float *host = xmalloc(sizeof *host * (size_t)(rows * cols));
    c->kernels->download(host, x, rows * cols);
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int64_t j = 0; j < cols; j++)
        for (int64_t r = 0; r < rows; r++) mean[j] += fabs((double)host[r * cols + j]);
    free(host);
}

/* The sum so far stands in the evidence, and comes back to the device for each chunk: few chunks, and one sum's room for all inputs. */
static int collect(void *context, InputKind kind, const float *x, const Ragged *batch)
{
    Calibration *c = context;
    if (!c->wanted[kind]) return OK;
    InputEvidence *e = &c->block[c->collecting][kind];
    const int64_t cols = input_width(c->shape, kind);
    const bool first = !e->hessian;
    if (first) {
        e->hessian = xmalloc(sizeof *e->hessian * (size_t)(cols * cols));
        e->mean = xcalloc((size_t)cols, sizeof *e->mean);
    } else {
        c->kernels->upload(c->sum, e->hessian, cols * cols);
    }
    c->kernels->weight_gradient(c->sum, x, x, batch, (int)cols, (int)cols, !first);
    c->kernels->download(e->hessian, c->sum, cols * cols);
    int64_t rows = 0;
    for (int b = 0; b < batch->n; b++) rows += batch->length[b];
    add_magnitudes(e->mean, c, x, rows, cols);
    return OK;
}

static void finish(Calibration *c, int block)
{
    const double n = (double)c->layout.rows;
    for (InputKind k = 0; k < INPUTS; k++) {
        if (!c->wanted[k]) continue;
        const int64_t cols = input_width(c->shape, k);
        InputEvidence *e = &c->block[block][k];
        for (int64_t i = 0; i < cols * cols; i++) e->hessian[i] = (float)(2 / n * e->hessian[i]);
        for (int64_t j = 0; j < cols; j++) e->mean[j] /= n;
    }
}

static PatchMode replaced_mode(void *context, int layer)
{
    const Calibration *c = context;
    const Layer *l = model_layer(c->model, layer);
    return l->block == c->at && c->replaced[l->type] ? PATCH_SHARED : PATCH_NONE;
}

static int replaced_weights(void *context, float *out, const float *clean, int layer, int window)
{
    (void)clean, (void)window;
    const Calibration *c = context;
    const Layer *l = model_layer(c->model, layer);
    memcpy(out, c->replaced[l->type], sizeof *out * (size_t)(l->rows * l->cols));
    return OK;
}

static int pass_block(Calibration *c, float *x, int block)
{
    const Patch patch = { .context = c, .mode = replaced_mode, .weights = replaced_weights };
    const InputVisitor visitor = { c, collect };
    if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
    c->collecting = block;
    int status = network_block_inputs(c->net, x, &c->layout, block, c->sequential ? &patch : NULL, &visitor);
    if (status == OK) finish(c, block);
    else release_block(c, block);           /* half a sum is no evidence */
    return status;
}

static void want(Calibration *c, bool all)
{
    for (InputKind k = 0; k < INPUTS; k++) c->wanted[k] = all;
}

/* ---- the walk ---- */

/* The stream itself; where a pass fails half way there is none until the next start. */
static int pass(Calibration *c, int block)
{
    int status = pass_block(c, c->x, block);
    if (status != OK) c->at = c->shape->n_blocks;
    return status;
}

static int start(Calibration *c)
{
    const NetworkPlan plan = network_plan(c->corpus);
    int64_t widest = 0;
    for (InputKind k = 0; k < INPUTS; k++) widest = input_width(c->shape, k) > widest ? input_width(c->shape, k) : widest;
    if (!c->net) {
        TRY(network_open(&c->net, c->model, c->kernels, &plan, c->corpus->longest));
        c->x = c->kernels->alloc(c->layout.rows * c->shape->width);
        c->sum = c->kernels->alloc(widest * widest);
        if (c->sequential) c->ahead = c->kernels->alloc(c->layout.rows * c->shape->width);
    }
    c->at = 0;
    return network_embed(c->net, c->x, &c->layout, c->corpus);
}

/* Room for the evidence of one more block: its own for good, or that of the loose one, which goes. */
static void make_room(Calibration *c, int block)
{
    if (c->loose >= 0 && c->loose != block) release_block(c, c->loose);
    c->loose = -1;
    if (c->keep >= evidence_bytes(c->shape)) c->keep -= evidence_bytes(c->shape);
    else c->loose = block;
}

/* On the way to a later block evidence is collected only where it stays. */
static int walk_to(Calibration *c, int block)
{
    while (c->at < block) {
        const bool missing = !c->sequential && !c->block[c->at][0].hessian && c->keep >= evidence_bytes(c->shape);
        want(c, missing);
        if (missing) make_room(c, c->at);
        TRY(pass(c, c->at));
        if (c->sequential) release_block(c, c->at);
        forget_replaced(c);
        c->at++;
    }
    return OK;
}

static int block_evidence(Calibration *c, int block)
{
    if (c->block[block][0].hessian) return OK;
    if (!c->net || c->at > block) TRY(start(c));
    TRY(walk_to(c, block));
    make_room(c, block);
    want(c, true);
    TRY(pass(c, block));
    c->at = block + 1;
    return OK;
}

/* Brings the stream before a block that it has not passed. */
static int walk_forward(Calibration *c, int block)
{
    if (!c->net) TRY(start(c));
    if (c->at > block)
        FAIL(ERR_UNSUPPORTED, "inputs of the model quantized so far (sequential: yes) can only be had block after block; block %d is passed", block);
    return walk_to(c, block);
}

/* The input as the layers replaced so far leave it: a run of the block of its own. */
static int sequential_evidence(Calibration *c, int block, InputKind kind)
{
    TRY(walk_forward(c, block));
    if (c->block[block][kind].hessian) return OK;
    want(c, false);
    c->wanted[kind] = true;
    c->kernels->copy(c->ahead, c->x, c->layout.rows * c->shape->width);
    return pass_block(c, c->ahead, block);
}

int calibration_evidence(Evidence *out, Calibration *c, int layer)
{
    const Layer *l = model_layer(c->model, layer);
    const InputKind kind = input_of(l->type);
    TRY(c->sequential ? sequential_evidence(c, l->block, kind) : block_evidence(c, l->block));
    *out = (Evidence){ .hessian = c->block[l->block][kind].hessian, .input_mean = c->block[l->block][kind].mean };
    return OK;
}

int calibration_replace(Calibration *c, int layer, const float *w)
{
    const Layer *l = model_layer(c->model, layer);
    TRY(walk_forward(c, l->block));
    const size_t bytes = sizeof *w * (size_t)(l->rows * l->cols);
    if (!c->replaced[l->type]) c->replaced[l->type] = xmalloc(bytes);
    memcpy(c->replaced[l->type], w, bytes);
    return OK;
}

char *calibration_text(const Corpus *c)
{
    return xformat("calibration %s %s context %d bos %d windows %d", c->hash, c->protocol, c->context, c->bos, c->n_windows);
}
