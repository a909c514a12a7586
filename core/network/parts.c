/*
 * parts.c - a block of two operations, on a back end that has them: its attention part and its feed-forward part
 *
 * A back end of lower precision keeps what happens inside a part to itself, so the loss of a model would depend on which way a stream
 * went: every pass that ends in a loss goes this one.
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/internal.h"

bool takes_parts(const Network *net) { return kernels_have_parts(net->kernels); }

/* Segments [first, first + batch->n) of a chunk; x and batch begin with the first of them. */
typedef struct { float *x; const Ragged *batch; const Chunk *chunk; int first, block; const Patch *patch; } Piece;

static int piece_linear(Linear *out, Network *net, const Piece *p, WeightKind type)
{
    out->bias = layer_bias(net, p->block, type);
    return layer_weights(&out->w, &out->stride, net, p->chunk, p->first, p->batch->n, p->block, type, p->patch);
}

static int attention_part(Network *net, const Piece *p)
{
    const ModelShape *m = net->shape;
    float **w = net->weight[p->block];
    AttentionPart part = { .C = m->width, .H = m->n_heads, .G = m->n_kv_heads, .D = m->head_dim, .epsilon = m->norm_epsilon,
                           .gain = w[WEIGHT_ATTENTION_NORM], .q_gain = w[WEIGHT_Q_NORM], .k_gain = w[WEIGHT_K_NORM],
                           .cosine = net->cosine, .sine = net->sine, .halves = net->other_rounding };
    TRY(piece_linear(&part.q, net, p, WEIGHT_Q));
    TRY(piece_linear(&part.k, net, p, WEIGHT_K));
    TRY(piece_linear(&part.v, net, p, WEIGHT_V));
    TRY(piece_linear(&part.o, net, p, WEIGHT_O));
    net->kernels->attention_part(p->x, &part, p->batch);
    return OK;
}

static int feed_forward_part(Network *net, const Piece *p)
{
    const ModelShape *m = net->shape;
    FeedForwardPart part = { .C = m->width, .F = m->feed_forward, .epsilon = m->norm_epsilon, .gain = net->weight[p->block][WEIGHT_FEED_FORWARD_NORM],
                             .halves = net->other_rounding };
    TRY(piece_linear(&part.gate, net, p, WEIGHT_GATE));
    TRY(piece_linear(&part.up, net, p, WEIGHT_UP));
    TRY(piece_linear(&part.down, net, p, WEIGHT_DOWN));
    net->kernels->feed_forward_part(p->x, &part, p->batch);
    return OK;
}

static bool any_per_window(const Patch *patch, int block, WeightKind first, WeightKind last)
{
    for (WeightKind type = first; type <= last; type++)
        if (patch_mode(patch, block, type) == PATCH_PER_WINDOW) return true;
    return false;
}

/* One part over a chunk: all of it, or as many segments as may have weights of their own at once. */
static int pass_part(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, bool per_window, int (*part)(Network *, const Piece *))
{
    const int all = chunk->batch.n, most = per_window && all > PATCH_BATCH ? PATCH_BATCH : all;
    int64_t *offset = xmalloc(sizeof *offset * (size_t)most);
    int status = OK;
    for (int first = 0; first < all && status == OK; first += most) {
        const int n = all - first < most ? all - first : most;
        const int64_t start = chunk->batch.offset[first];
        for (int i = 0; i < n; i++) offset[i] = chunk->batch.offset[first + i] - start;
        const Ragged batch = { n, chunk->batch.length + first, offset };
        status = part(net, &(Piece){ x + start * net->shape->width, &batch, chunk, first, block, patch });
    }
    free(offset);
    return status;
}

int block_parts(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch)
{
    TRY(pass_part(net, x, chunk, block, patch, any_per_window(patch, block, WEIGHT_Q, WEIGHT_O), attention_part));
    return pass_part(net, x, chunk, block, patch, any_per_window(patch, block, WEIGHT_GATE, WEIGHT_DOWN), feed_forward_part);
}
