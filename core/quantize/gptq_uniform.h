/*
 * gptq_uniform.h - GPTQ on uniform grids, some weights kept out: what gptq and tacq share
 *
 * A kept weight is stored beside the codes (sparse.h) with the value that the loop has come to when it reaches the weight's column, the
 * corrections by all columns before among it: its error is 0, so it passes nothing on.  Its code is that of 0.  A group's
 * grid is fitted with its kept weights replaced by the mean of its others, so that they do not stretch it (TaCQ, arXiv 2504.07389).
 */
#ifndef CORE_QUANTIZE_GPTQ_UNIFORM_H
#define CORE_QUANTIZE_GPTQ_UNIFORM_H

#include "core/quantize/uniform.h"

/* Rows of a table of options, beside UNIFORM_OPTIONS, PERCDAMP_OPTION and SEQUENTIAL_OPTION. */
#define ACT_ORDER_OPTION                                                                                                             \
    { "act_order", OPTION_FLAG, false, "no", 0, 0, NULL, "", "columns by descending Hessian diagonal, grids from the original weights" }

/* Planes of uniform_pack, then those of sparse_pack.  kept NULL or empty: none.  ERR_ARGUMENT, opening with `method`, where the Hessian cannot be
 * factored, or a scale or a kept value does not fit into its bits. */
int gptq_uniform_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, const KeptWeights *kept,
                        int value_bits, const char *method);

#endif
