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
    const int64_t weight = kernels_weight_bytes(kernels);
    int64_t weights = (plan->resident ? s->n_blocks : streamed_sets(kernels)) * block_floats(s);
    int64_t floats = scratch_rows(plan, longest) * row_floats(s);
    if (!plan->headless) weights += (int64_t)s->vocabulary * s->width, floats += (int64_t)kernels->head_rows * (s->vocabulary + s->width);
    floats += (int64_t)longest * s->head_dim;                           /* rotary tables */
    if (kernels_have_parts(kernels)) floats += scratch_rows(plan, longest) * (s->width + 2 * (int64_t)s->feed_forward) / 2;     /* 16-bit numbers inside a part */
    if (!kernels->free_memory) floats += largest_layer(s);              /* a layer on its way to the back end is the host's */
    return weights * weight + floats * (int64_t)sizeof(float);
}

/* A block that all windows share, and the weights of each window: on the host twice, as a patch makes them and as they are used. */
int64_t network_patch_bytes(const ModelShape *s, const Kernels *kernels, int together)
{
    const int64_t weight = kernels_weight_bytes(kernels), per_window = kernels_have_parts(kernels) ? block_floats(s) : largest_layer(s);
    if (kernels->free_memory) return ((together < PATCH_BATCH ? together : PATCH_BATCH) * per_window + block_floats(s)) * weight;
    return (PATCH_BATCH * (largest_layer(s) + per_window) + block_floats(s)) * weight;
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
    for (int set = 0; set < streamed_sets(k) && !net->plan.resident; set++)
        for (WeightKind kind = 0; kind <= WEIGHT_DOWN; kind++) net->streamed[set].layer[kind] = k->alloc(layer_floats(s, kind));
}

int network_open(Network **out, const Model *model, const Kernels *kernels, const NetworkPlan *plan, int longest)
{
    Network *net = xcalloc(1, sizeof *net);
    *net = (Network){ .model = model, .kernels = kernels, .shape = model_shape(model), .plan = *plan };
    for (int set = 0; set < STREAMED_SETS; set++) net->streamed[set].block = -1;
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
        for (int set = 0; set < STREAMED_SETS; set++) release(net->streamed[set].layer[kind]);
        release(net->shared[kind]);
        release(net->per_window[kind]);
    }
    Activations *s = &net->scratch;
    float *all[] = { s->normed, s->added, s->q, s->k, s->v, s->attended, s->gate, s->up, net->head_normed,
                     net->final_norm, net->head, net->embedding, net->cosine, net->sine };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) release(all[i]);
    free(net->clean);
    free(net->patched_host);
    free(net->weight);
    free(net);
    *network = NULL;
}

int64_t network_project_bytes(const ModelShape *s, const Kernels *kernels, Projection projection)
{
    return projection.embedding && !s->tied ? (int64_t)s->vocabulary * s->width * kernels_weight_bytes(kernels) : 0;
}

static int projection_matrix(const float **out, Network *net, Projection projection)
{
    const bool own = projection.embedding && !net->shape->tied;
    if (own && !net->embedding) {
        float *read = NULL;
        int status = read_weight(&read, net, WEIGHT_EMBEDDING, 0);
        if (status != OK) net->kernels->release(read);
        TRY(status);
        kernels_settle(net->kernels, read, (int64_t)net->shape->vocabulary * net->shape->width);
        net->embedding = read;
    }
    *out = own ? net->embedding : net->head;
    return OK;
}

int network_project(Network *net, float *logits, const float *x, int rows, Projection projection)
{
    const ModelShape *s = net->shape;
    const Kernels *k = net->kernels;
    const float *matrix;
    int64_t zero = 0;
    Ragged one = { 1, &rows, &zero };
    TRY(projection_matrix(&matrix, net, projection));
    if (!projection.unnormed) k->rms_norm(net->head_normed, x, net->final_norm, rows, s->width, s->norm_epsilon);
    multiply(net, logits, projection.unnormed ? x : net->head_normed, matrix, 0, NULL, &one, s->width, s->vocabulary);
    return kernels_status(k);
}

int network_logits(Network *net, float *logits, const float *x, int rows)
{
    return network_project(net, logits, x, rows, (Projection){ false, false });
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
