#include "core/network/inputs.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/internal.h"

InputKind input_of(WeightKind layer)
{
    switch (layer) {
    case WEIGHT_O: return INPUT_O;
    case WEIGHT_GATE: case WEIGHT_UP: return INPUT_FEED_FORWARD;
    case WEIGHT_DOWN: return INPUT_DOWN;
    default: return INPUT_ATTENTION;
    }
}

int64_t input_width(const ModelShape *shape, InputKind kind)
{
    static const WeightKind reader[INPUTS] = { WEIGHT_Q, WEIGHT_O, WEIGHT_GATE, WEIGHT_DOWN };
    int64_t rows, cols;
    layer_size(&rows, &cols, shape, reader[kind]);
    return cols;
}

/* The normed state before attention is written over later in the block, so it is made once more; the others are still there
 * when the block is done. */
static int chunk_inputs(Network *net, float *x, const Chunk *chunk, int block, const Patch *patch, const InputVisitor *visitor)
{
    const ModelShape *m = net->shape;
    Activations *a = &net->scratch;
    net->kernels->rms_norm(a->normed, x, net->weight[block][WEIGHT_ATTENTION_NORM], chunk->rows, m->width, m->norm_epsilon);
    TRY(visitor->input(visitor->context, INPUT_ATTENTION, a->normed, &chunk->batch));
    TRY(block_forward(net, x, chunk, block, patch, a));
    TRY(visitor->input(visitor->context, INPUT_O, a->attended, &chunk->batch));
    TRY(visitor->input(visitor->context, INPUT_FEED_FORWARD, a->normed, &chunk->batch));
    return visitor->input(visitor->context, INPUT_DOWN, a->hidden ? a->hidden : a->gate, &chunk->batch);
}

int network_block_inputs(Network *net, float *x, const Layout *layout, int block, const Patch *patch, const InputVisitor *visitor)
{
    TRY(block_weights(net, block, patch));
    int64_t *offset = xmalloc(sizeof *offset * (size_t)layout->n);
    int status = OK;
    for (int first = 0; first < layout->n && status == OK;) {
        Chunk chunk = chunk_from(layout, first, net->plan.chunk_rows, offset);
        status = chunk_inputs(net, x + layout->offset[first] * net->shape->width, &chunk, block, patch, visitor);
        first += chunk.batch.n;
    }
    free(offset);
    if (status == OK) weights_ahead(net, block + 1);
    return kernels_status_after(net->kernels, status);
}
