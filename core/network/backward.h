/*
 * backward.h - the backward pass: gradients of a loss by every layer's weights, one sequence at a time
 *
 *     G_l = dL/dW_l = sum over the rows r of a sequence of  dy_r x_r'      (y = W x the layer's output)
 *
 * The loss is the visitor's: it turns the logits into their gradient.  What becomes of dy and x is the visitor's
 * too, so that no weight gradient need ever be stored: all that this pass holds beside the weights are the activations of
 * the segments that pass together, or, in the lean plan, the inputs of their blocks and one block's activations, which are
 * computed again.  Both plans give the same bits.  A back end
 * that has the parts of a block as operations gives the losses of its forward pass, and always passes in the lean plan.
 *
 * Derivatives: chain rule through the forward pass of network.h; those of single operations stand in kernels.h.
 */
#ifndef CORE_NETWORK_BACKWARD_H
#define CORE_NETWORK_BACKWARD_H

#include "core/network/network.h"

enum { BACKWARD_SEGMENTS = 8 };     /* at most so many pass together */

typedef struct {
    bool keep;                      /* keep the activations of all blocks; otherwise their inputs (always, where the back end has parts) */
    int64_t rows;                   /* rows that pass together (at least a segment)                   */
} BackwardPlan;

/* A layer's part of the gradient: everything in the memory of the back end, borrowed for the call. */
typedef struct {
    int layer;                      /* model index                                                    */
    int first_segment;              /* of those that pass together                                    */
    Ragged batch;                   /* the segments                                                   */
    int64_t rows, cols;             /* outputs, inputs of the layer                                   */
    const float *dy, *x;            /* [batch rows][rows], [batch rows][cols]                         */
    const float *w, *clean;         /* the weights in use, w_stride apart for each segment, and the model's own */
    int64_t w_stride;
} LayerGradient;

typedef struct {
    void *context;
    int lowest_block;               /* no layer below it is asked for                                 */
    /* logits [n][vocabulary] of rows [first, first + n) of a segment (those that hold all scored ones) become
     * the gradient of the loss by them. */
    int (*loss)(void *context, float *logits, int segment, int first, int n);
    int (*layer)(void *context, const LayerGradient *gradient);
} GradientVisitor;

/* Bytes beyond network_bytes (and network_patch_bytes where weights are patched). */
int64_t backward_bytes(const ModelShape *shape, const Kernels *kernels, const BackwardPlan *plan, int longest);

/* Segments that pass together from `first` on: as many as the plan's rows hold, and no more than may have
 * weights of their own at once. */
int backward_segments(const Layout *layout, int first, const BackwardPlan *plan);

/* Forward and backward over segments [first, first + n), n as backward_segments has it.  ERR_INTERRUPTED, ERR_DEVICE, or
 * what the patch or the visitor returns. */
int network_backward(Network *network, const Corpus *corpus, const Layout *layout, int first, int n, const BackwardPlan *plan,
                     const Patch *patch, const GradientVisitor *visitor);

/* Multiplications and additions of all this, forward included, as network_flops counts them. */
double backward_flops(const ModelShape *shape, int64_t tokens, double length, int64_t scored, bool keep);

#endif
