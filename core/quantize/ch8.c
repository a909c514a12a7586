/*
 * ch8.c - constrained HIGGS: rotated groups (higgs.h) on equal steps, which kernels for 8-bit integers can serve
 *
 *     code = the nearest of the n levels (i - (n-1)/2) step,   step the one of least error for Gaussian numbers
 *
 * The same as higgs with p = 1 and levels = uniform.  n = 256: 8 + scale_bits/g bits per weight, t^2 = 8.8e-5.
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/higgs.h"

static const Option ch8_options[] = {
    { "n", OPTION_INTEGER, false, "256", 2, GRID_LEVELS, NULL, "levels", "size of the grid: log2(n) bits per weight" },
    HIGGS_ROTATION_OPTIONS, HIGGS_UNBIASED_OPTION, { 0 },
};

static int ch8_read(Higgs *out, const Options *options, int64_t cols)
{
    const Grid *grid;
    TRY(grid_uniform(&grid, (int)options_integer(options, "n")));
    return higgs_read_with(out, grid, options, cols);
}

static int ch8_check(int64_t rows, int64_t cols, const Options *options)
{
    (void)rows;
    Higgs h;
    int status = ch8_read(&h, options, cols);
    return status == OK ? OK : err_context(status, "ch8");
}

static int ch8_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence;
    Higgs h;
    TRY(ch8_read(&h, options, layer->cols));
    return higgs_encode_with(out, layer, &h, draw, "ch8");
}

static void ch8_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    Higgs h;
    if (ch8_read(&h, options, shape->cols) != OK) abort();          /* encode has read the same */
    higgs_unpack(out, packed, shape, &h, draw);
}

const Perturbation perturbation_ch8 = {
    .name = "ch8", .summary = "Hadamard rotation and 256 equal steps: HIGGS for 8-bit integer kernels", .version = 1,
    .options = ch8_options, .random = higgs_random, .encode = ch8_encode, .decode = ch8_decode, .check = ch8_check,
};
