/*
 * gptq.c - GPTQ (arXiv 2210.17323): uniform grids of which later columns absorb the error of earlier ones
 *
 *     minimises tr(E H E') column by column, E = W^ - W, H = 2 X X' / n      (loop: gptq_loop.h, damping: hessian.h)
 *
 * Grids and bits per weight are those of uniform.h; clip = mse sums |w^ - w|^2.4 as in GPTQ's scripts.  A group's grid is fitted
 * when the loop reaches its first column, on the weights as they then are, corrected by every column before.  (GPTQ's
 * scripts leave out the columns of the same block of 128; the two agree where groups are whole blocks, or rows.)
 *
 * act_order takes columns by descending H_jj.  A group's columns are then reached one here and one there, so its grid is fitted to the
 * original weights before the loop ("static groups"): columns keep their groups and no order need be stored.
 * Cost: a factorization of H, cols^3 / 3 twice, and rows cols^2; clip = mse adds eighty powers a weight.
 */
#include <stddef.h>

#include "core/quantize/gptq_uniform.h"
#include "core/quantize/hessian.h"

static const Option gptq_options[] = { UNIFORM_OPTIONS("minmax"), ACT_ORDER_OPTION, PERCDAMP_OPTION, SEQUENTIAL_OPTION, { 0 } };

static int gptq_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    return gptq_uniform_encode(out, layer, options, evidence, NULL, 0, "gptq");
}

const Perturbation perturbation_gptq = {
    .name = "gptq", .summary = "uniform grids, each column's error absorbed by those after it (GPTQ)", .version = 1,
    .options = gptq_options, .needs = NEEDS_INPUTS, .sequential = hessian_sequential, .encode = gptq_encode, .decode = uniform_decode,
};
