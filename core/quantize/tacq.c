/*
 * tacq.c - GPTQ with the weights kept that a task can least do without (TaCQ, arXiv 2504.07389)
 *
 *     kept: the floor(ratio x weights of the model) weights of the largest score (core/saliency), by default |W| |dL/dW| |Q(W) - W|,
 *     Q(W) = what these options make with ratio = 0, which is gptq
 *
 * Gradients and inputs come from the same text.  Kept weights and the rest are quantized as gptq_uniform.h has it, and stored as
 * sparse.h has it:
 *
 *     bits per weight = those of gptq + (16 + value_bits) ratio + the rows' numbers
 *
 * One row a group, clip = mse, columns in their order, as in the authors' scripts.  Those quantize block after block from inputs of the
 * blocks quantized so far: sequential = yes; and their grids always hold 0, which those of rows with weights of one sign alone need not here
 * (as in rtn).  A layer has its share of the mask of the whole model, also where it is quantized alone.
 */
#include <stdlib.h>

#include "core/quantize/gptq_uniform.h"
#include "core/quantize/hessian.h"

static const Option tacq_options[] = {
    { "bits",       OPTION_INTEGER, false, "3",      2, 8,       NULL, "bits", "width of a code" },
    { "group",      OPTION_INTEGER, false, "0",      0, 1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" },
    { "ratio",      OPTION_NUMBER,  false, "0.0035", 0, 1,       NULL, "", "share of the model's weights that is kept" },
    { "score",      OPTION_ONE_OF,  false, "tacq",   0, 0,       SCORE_WORDS, "", "what weights are kept for (core/saliency/saliency.h)" },
    { "value_bits", OPTION_ONE_OF,  false, "16",     0, 0,       "16|32", "bits", "stored width of a kept weight, beside the 16 of its column" },
    { "symmetric",  OPTION_FLAG,    false, "no",     0, 0,       NULL, "", "a grid around 0 without zero points" },
    { "scale_bits", OPTION_ONE_OF,  false, "16",     0, 0,       "16|32|64", "bits", "stored width of a scale" },
    { "clip",       OPTION_ONE_OF,  false, "mse",    0, 0,       "minmax|mse", "", "grid from end to end, or shrunk to the least error" },
    { "seed",       OPTION_INTEGER, false, "1",      0, 9e15,    NULL, "", "score random: which weights" },
    ACT_ORDER_OPTION, PERCDAMP_OPTION, SEQUENTIAL_OPTION,
    { 0 } };

static void tacq_mask(MaskRule *out, const Options *options)
{
    *out = (MaskRule){ score_of(options_text(options, "score")), options_number(options, "ratio"), (uint64_t)options_integer(options, "seed") };
}

static int tacq_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    return gptq_uniform_encode(out, layer, options, evidence, evidence->kept, atoi(options_text(options, "value_bits")), "tacq");
}

static void tacq_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    uniform_decode(out, packed, shape, options, draw);
    sparse_unpack(out, packed, options_flag(options, "symmetric") ? 2 : 3, shape->rows, shape->cols);
}

const Perturbation perturbation_tacq = {
    .name = "tacq", .summary = "GPTQ that keeps the weights of largest |W| |gradient| |error| (TaCQ)", .version = 1, .options = tacq_options,
    .needs = NEEDS_INPUTS | NEEDS_MASK, .mask = tacq_mask, .sequential = hessian_sequential, .encode = tacq_encode, .decode = tacq_decode,
};
