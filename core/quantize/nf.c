/*
 * nf.c - NormalFloat: levels at quantiles of the normal distribution, for any width (QLoRA, arXiv 2305.14314; codebook.h)
 *
 * With h = 2^(b-1), and p(n) the first n - 1 of n equally spaced probabilities from p0 down to 1/2,
 *
 *     levels = { Phi^-1 of p(h + 1), 0, -Phi^-1 of p(h) } / Phi^-1(p0)
 *
 * h positive and h - 1 negative ones; at 4 bits the published table.  p0 = 929/960 = (1 - 1/30 + 1 - 1/32) / 2 there.  Programs
 * that use NF with 2 and 3 bits (FLUTE, LoftQ, LQ-LoRA) keep that number, and so does offset = fixed; offset = width takes its
 * rule to b bits: (1 - 1/(2 (2^b - 1)) + 1 - 1/(2 2^b)) / 2.  On Gaussian weights in groups of 64, t^2 at 2 bits is 0.317 (fixed)
 * and 0.319 (width), at 3 bits 0.0406 and 0.0390; in groups of 1024 fixed is the better one at both.
 *
 * Cost: two passes over the weights.
 */
#include <stddef.h>
#include <string.h>

#include "core/estimate/distribution.h"
#include "core/quantize/codebook.h"

static const Option nf_options[] = {
    CODEBOOK_OPTIONS,
    { "offset", OPTION_ONE_OF, false, "fixed", 0, 0, "fixed|width", "", "outermost quantile: that of 4 bits, or by the width" },
    { 0 },
};

/* count levels from the outermost, 1, inwards; 0 would be the next. */
static void side(double *level, int count, int step, double outermost)
{
    for (int i = 0; i < count; i++) {
        const double p = outermost + (0.5 - outermost) * i / count;
        level[i * step] = (step < 0 ? 1 : -1) * codebook_round(normal_quantile(p) / normal_quantile(outermost));
    }
}

static Codebook nf_levels(const Options *options)
{
    const int bits = (int)options_integer(options, "bits"), n = 1 << bits;
    const int width = strcmp(options_text(options, "offset"), "width") == 0 ? n : 16;
    const double outermost = (1 - 0.5 / (width - 1) + 1 - 0.5 / width) / 2;
    Codebook book = { .bits = bits };
    side(book.level + n - 1, n / 2, -1, outermost);
    side(book.level, n / 2 - 1, 1, outermost);
    return book;
}

static int nf_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const Codebook book = nf_levels(options);
    return codebook_encode(out, layer, options, &book, "nf");
}

static void nf_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const Codebook book = nf_levels(options);
    codebook_decode(out, packed, shape, options, &book);
}

const Perturbation perturbation_nf = {
    .name = "nf", .summary = "NormalFloat: quantiles of the normal distribution, one scale per group (bitsandbytes)", .version = 1,
    .options = nf_options, .encode = nf_encode, .decode = nf_decode,
};
