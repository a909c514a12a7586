/*
 * inputs.h - what the layers of a block are given: the x of y = W x
 *
 * q, k and v read one input, gate and up another: four inputs a block.
 */
#ifndef CORE_NETWORK_INPUTS_H
#define CORE_NETWORK_INPUTS_H

#include "core/network/network.h"

typedef enum { INPUT_ATTENTION, INPUT_O, INPUT_FEED_FORWARD, INPUT_DOWN, INPUTS } InputKind;

InputKind input_of(WeightKind layer);
int64_t input_width(const ModelShape *shape, InputKind kind);

/* x [rows of the batch][input_width] in the memory of the back end, borrowed for the call. */
typedef struct {
    void *context;
    int (*input)(void *context, InputKind kind, const float *x, const Ragged *batch);
} InputVisitor;

/* Takes x through a block as network_block does and shows the inputs of its layers on the way, chunk by chunk. */
int network_block_inputs(Network *network, float *x, const Layout *layout, int block, const Patch *patch, const InputVisitor *visitor);

#endif
