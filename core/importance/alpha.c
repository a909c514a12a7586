/*
 * alpha.c - the linearity coefficients as an importance of blocks: the plain sum over the block's layers
 *
 *     sum_l a_l      [nats/token per unit of t^2 in all layers of the block]
 *
 * It says what a block's error costs, not what more bits save: that is sum_l a_l (t_l^2 at few bits - t_l^2 at many), which an allocation
 * weighs layer by layer.  The quantizer's t^2 is nearly the same in all layers, so the two orders are too.
 */
#include "core/base/err.h"
#include "core/importance/importance.h"

static int of_model(double *out, const ImportanceEvidence *e, const Options *options)
{
    (void)options;
    if (!e->alpha) FAIL(ERR_ARGUMENT, "the importance alpha needs coefficients");
    const int64_t n = e->n_windows;
    for (int b = 0; b < model_shape(e->model)->n_blocks; b++)
        for (int64_t w = 0; w < n; w++) {
            out[b * n + w] = 0;
            for (int t = 0; t < LAYER_TYPES; t++) out[b * n + w] += e->alpha[model_layer_index(b, (WeightKind)t) * n + w];
        }
    return OK;
}

static const Option alpha_options[] = { { 0 } };

const ImportanceRule importance_alpha = {
    .name = "alpha", .summary = "sum of the linearity coefficients of the block's layers", .version = 1, .options = alpha_options, .by_window = true, .of_model = of_model,
};
