#include "core/network/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/network/internal.h"

void layout_init(Layout *out, const Corpus *corpus)
{
    Layout l = { .n = corpus->n_segments };
    l.length = xmalloc(sizeof *l.length * (size_t)l.n);
    l.window = xmalloc(sizeof *l.window * (size_t)l.n);
    l.offset = xmalloc(sizeof *l.offset * (size_t)l.n);
    for (int s = 0; s < l.n; s++) {
        l.length[s] = corpus->segment[s].length;
        l.window[s] = corpus->segment[s].window;
        l.offset[s] = l.rows;
        l.rows += l.length[s];
    }
    *out = l;
}

void layout_free(Layout *layout)
{
    free(layout->length);
    free(layout->window);
    free(layout->offset);
    *layout = (Layout){ 0 };
}

/* Floats of scratch that one row needs inside a block: see Activations. */
static int64_t row_floats(const ModelShape *s)
{
    int64_t q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    return 2 * (int64_t)s->width + 2 * q + 2 * kv + 2 * (int64_t)s->feed_forward;
}

static int64_t block_floats(const ModelShape *s)
{
    int64_t q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    return s->width * (2 * q + 2 * kv + 3 * (int64_t)s->feed_forward);
}

static int64_t largest_layer(const ModelShape *s)
{
    int64_t q = (int64_t)s->n_heads * s->head_dim;
    int64_t widest = q > s->feed_forward ? q : s->feed_forward;
    return s->width * widest;
}

/* Rows of scratch: those of the plan, a segment's, or the one of each window that sampling takes a step. */
static int64_t scratch_rows(const NetworkPlan *plan, int longest)
{
    int64_t rows = plan->chunk_rows > longest ? plan->chunk_rows : longest;
    return rows > SAMPLE_GROUP ? rows : SAMPLE_GROUP;
}

int64_t network_bytes(const ModelShape *s, const Kernels *kernels, const NetworkPlan *plan, int longest)
{
    int64_t floats = (plan->resident ? s->n_blocks : 1) * block_floats(s);
    floats += scratch_rows(plan, longest) * row_floats(s);
    if (!plan->headless) floats += (int64_t)s->vocabulary * s->width + (int64_t)kernels->head_rows * (s->vocabulary + s->width);
    floats += (int64_t)longest * s->head_dim;                           /* rotary tables */
    floats += largest_layer(s);                                         /* a layer on its way to the back end */
    return floats * (int64_t)sizeof(float);
}

/* The weights of PATCH_BATCH windows here and on the back end, and a block that all windows share. */
int64_t network_patch_bytes(const ModelShape *s, const Kernels *kernels)
{
    const int64_t per_window = kernels_have_parts(kernels) ? block_floats(s) : largest_layer(s);
    return (PATCH_BATCH * (largest_layer(s) + per_window) + block_floats(s)) * (int64_t)sizeof(float);
}

int upload_rows(float *device, Network *net, WeightKind kind, int block, int64_t rows, int64_t cols)
{
    int64_t slice = net->largest / cols;        /* net->clean holds a whole layer; the head passes in slices */
    for (int64_t first = 0; first < rows; first += slice) {
        int64_t n = rows - first < slice ? rows - first : slice;
        TRY(read_rows(net->clean, net->model, kind, block, first, n, cols));
        net->kernels->upload(device + first * cols, net->clean, n * cols);
    }
    return OK;
}

int read_weight(float **out, Network *net, WeightKind kind, int block)
{
    const Tensor *tensor = model_tensor(net->model, kind, block);
    if (kind == WEIGHT_HEAD && !tensor) tensor = model_tensor(net->model, WEIGHT_EMBEDDING, 0);
    if (!tensor) return OK;
    int64_t rows = tensor->shape[0], cols = tensor->rank > 1 ? tensor->shape[1] : 1;
    *out = net->kernels->alloc(rows * cols);    /* network_close releases it on failure */
    TRY(upload_rows(*out, net, kind, block, rows, cols));
    if (kind <= WEIGHT_DOWN || kind == WEIGHT_HEAD) kernels_settle(net->kernels, *out, rows * cols);
    return OK;
}

/* Conversion to float32 shared among threads; a row's values do not depend on the split. */
int read_rows(float *out, const Model *model, WeightKind kind, int block, int64_t start, int64_t rows, int64_t cols)
{
    enum { ROWS = 64 };
    int status = OK;
    char *sentence = NULL;
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t first = 0; first < rows; first += ROWS) {
        int code = model_read(out + first * cols, model, kind, block, start + first, rows - first < ROWS ? rows - first : ROWS);
        if (code == OK) continue;
#pragma omp critical
        if (!sentence) {
            sentence = xstrdup(err_last());         /* the record belongs to the thread that failed */
            status = code;
        }
    }
    if (sentence) err_set(status, "%s", sentence);
    free(sentence);
    return status;
}

static int read_resident(Network *net)
{
    int blocks = net->shape->n_blocks;
    for (int b = 0; b < blocks; b++)
        for (WeightKind kind = 0; kind < WEIGHT_EMBEDDING; kind++) {
            if (kind <= WEIGHT_DOWN && !net->plan.resident) continue;
            TRY(read_weight(&net->weight[b][kind], net, kind, b));
        }
    TRY(read_weight(&net->final_norm, net, WEIGHT_FINAL_NORM, 0));
    if (net->plan.headless) return OK;
    TRY(read_weight(&net->head, net, WEIGHT_HEAD, 0));
    return OK;
}

/* cos and sin of position x frequency, in double, rounded once. */
static void make_rotary(Network *net, int positions)
{
    int half = net->shape->head_dim / 2;
    int64_t n = (int64_t)positions * half;
    float *cosine = xmalloc(sizeof *cosine * (size_t)n), *sine = xmalloc(sizeof *sine * (size_t)n);
    for (int t = 0; t < positions; t++)
        for (int i = 0; i < half; i++) {
            cosine[t * (int64_t)half + i] = (float)cos(t * net->shape->rotary[i]);
            sine[t * (int64_t)half + i] = (float)sin(t * net->shape->rotary[i]);
        }
    net->cosine = net->kernels->alloc(n);
    net->sine = net->kernels->alloc(n);
    net->kernels->upload(net->cosine, cosine, n);
    net->kernels->upload(net->sine, sine, n);
    free(cosine);
    free(sine);
}

static void make_scratch(Network *net, int longest)
{
    const ModelShape *s = net->shape;
    const Kernels *k = net->kernels;
    int64_t rows = scratch_rows(&net->plan, longest), q = (int64_t)s->n_heads * s->head_dim, kv = (int64_t)s->n_kv_heads * s->head_dim;
    net->scratch = (Activations){
        .normed = k->alloc(rows * s->width), .added = k->alloc(rows * s->width),
        .q = k->alloc(rows * q), .attended = k->alloc(rows * q), .k = k->alloc(rows * kv), .v = k->alloc(rows * kv),
        .gate = k->alloc(rows * s->feed_forward), .up = k->alloc(rows * s->feed_forward),
    };
    net->head_normed = k->alloc((int64_t)k->head_rows * s->width);
    net->largest = largest_layer(s);
    net->clean = xmalloc(sizeof(float) * (size_t)net->largest);
    if (net->plan.resident) return;
    for (WeightKind kind = 0; kind <= WEIGHT_DOWN; kind++) net->streamed[kind] = k->alloc(layer_floats(s, kind));
}

int network_open(Network **out, const Model *model, const Kernels *kernels, const NetworkPlan *plan, int longest)
{
    Network *net = xcalloc(1, sizeof *net);
    *net = (Network){ .model = model, .kernels = kernels, .shape = model_shape(model), .plan = *plan, .streamed_block = -1 };
    net->weight = xcalloc((size_t)net->shape->n_blocks, sizeof *net->weight);
    net->positions = longest;
    make_rotary(net, longest);
    make_scratch(net, longest);
    int status = kernels_status_after(kernels, read_resident(net));
    if (status != OK) network_close(&net);
    *out = net;
    return status;
}

void network_close(Network **network)
{
    Network *net = *network;
    if (!net) return;
    void (*release)(float *) = net->kernels->release;
    for (int b = 0; b < net->shape->n_blocks; b++)
        for (int kind = 0; kind < WEIGHT_COUNT; kind++) release(net->weight[b][kind]);
    for (int kind = 0; kind < LAYER_TYPES; kind++) {
        release(net->streamed[kind]);
        release(net->shared[kind]);
        release(net->per_window[kind]);
    }
    Activations *s = &net->scratch;
    float *all[] = { s->normed, s->added, s->q, s->k, s->v, s->attended, s->gate, s->up, net->head_normed,
                     net->final_norm, net->head, net->cosine, net->sine };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) release(all[i]);
    free(net->clean);
    free(net->patched_host);
    free(net->weight);
    free(net);
    *network = NULL;
}

int network_embed(Network *net, float *x, const Layout *layout, const Corpus *corpus)
{
    int width = net->shape->width, status = OK;
    for (int s = 0; s < layout->n && status == OK; s++) {
        const Segment *segment = &corpus->segment[s];
        float *host = xmalloc(sizeof *host * (size_t)segment->length * (size_t)width);
        for (int t = 0; t < segment->length && status == OK; t++)
            status = model_read(host + (int64_t)t * width, net->model, WEIGHT_EMBEDDING, 0, segment->inputs[t], 1);
        if (status == OK) net->kernels->upload(x + layout->offset[s] * width, host, (int64_t)segment->length * width);
        free(host);
    }
    return status;
}

int network_logits(Network *net, float *logits, const float *x, int rows)
{
    const ModelShape *s = net->shape;
    const Kernels *k = net->kernels;
    int64_t zero = 0;
    Ragged one = { 1, &rows, &zero };
    k->rms_norm(net->head_normed, x, net->final_norm, rows, s->width, s->norm_epsilon);
    multiply(net, logits, net->head_normed, net->head, 0, NULL, &one, s->width, s->vocabulary);
    return kernels_status(k);
}

bool network_set_rounding(Network *net, bool other)
{
    bool before = net->other_rounding;
    net->other_rounding = other;
    return before;
}

const Kernels *network_kernels(const Network *net) { return net->kernels; }
const Model *network_model(const Network *net) { return net->model; }

double network_flops(const ModelShape *s, int64_t tokens, double length, int first_block, int64_t scored)
{
    double attention = 2.0 * length * s->n_heads * s->head_dim;         /* scores and values, causal half of 4 */
    return (s->n_blocks - first_block) * (double)tokens * (2.0 * (double)block_floats(s) + attention)
         + 2.0 * (double)scored * s->width * s->vocabulary;
}
