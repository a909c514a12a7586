/*
 * ggml.c - the block formats of llama.cpp's files: W^ = dequantize(quantize(W)), as `llama-quantize` without an importance matrix
 *
 * Equations and source of the definition: ggml_blocks.h.  Blocks of 32 or 256 consecutive input columns of a row:
 *
 *     type           q8_0  q4_0  q4_1  q5_0  q5_1  iq4_nl  q2_k   q3_k    q4_k  q5_k  q6_k
 *     block          32    32    32    32    32    32      256    256     256   256   256
 *     bits/weight    8.5   4.5   5     5.5   6     4.5     2.625  3.4375  4.5   5.5   6.5625
 *     ns/weight      1.4   1.6   1.3   2.4   2.2   18      13     12      14    12    8
 *
 * on one core with AVX2 or AVX-512; the last six take up to four times that without.  The names are those of formats, not of
 * llama-quantize's mixtures (Q4_K_M keeps some matrices in q6_k).
 *
 * Where the columns are no multiple of 256, the formats of 256 give way to one of 32, as llama-quantize chooses it:
 *
 *     q2_k, q3_k -> iq4_nl        q4_k -> q5_0        q5_k -> q5_1        q6_k -> q8_0
 *
 * (its versions of 2026 take q4_0 for q2_k and q3_k, also 4.5 bits).  The bits reported are those of the format really used.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/err.h"
#include "core/model/dequantize.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/ggml.h"
#include "core/quantize/ggml_blocks.h"

static const Option ggml_options[] = {
    { "type", OPTION_ONE_OF, false, "q4_k", 0, 0, "q8_0|q4_0|q4_1|q5_0|q5_1|iq4_nl|q2_k|q3_k|q4_k|q5_k|q6_k", "",
      "block format; q2_k .. q6_k give way to iq4_nl, iq4_nl, q5_0, q5_1, q8_0 where a row is no multiple of 256 weights" },
    { 0 },
};

typedef void (*Quantize)(unsigned char *blocks, const float *x, int64_t n_blocks);
typedef struct { Dtype dtype, fallback; Quantize quantize; } Format;

static const Format formats[] = {
    { DTYPE_Q8_0,   DTYPE_Q8_0,   quantize_q8_0 },
    { DTYPE_Q4_0,   DTYPE_Q4_0,   quantize_q4_0 },
    { DTYPE_Q4_1,   DTYPE_Q4_1,   quantize_q4_1 },
    { DTYPE_Q5_0,   DTYPE_Q5_0,   quantize_q5_0 },
    { DTYPE_Q5_1,   DTYPE_Q5_1,   quantize_q5_1 },
    { DTYPE_IQ4_NL, DTYPE_IQ4_NL, quantize_iq4_nl },
    { DTYPE_Q2_K,   DTYPE_IQ4_NL, quantize_q2_k },
    { DTYPE_Q3_K,   DTYPE_IQ4_NL, quantize_q3_k },
    { DTYPE_Q4_K,   DTYPE_Q5_0,   quantize_q4_k },
    { DTYPE_Q5_K,   DTYPE_Q5_1,   quantize_q5_k },
    { DTYPE_Q6_K,   DTYPE_Q8_0,   quantize_q6_k },
};

static const Format *format_of(Dtype dtype)
{
    const Format *format = formats;
    while (format->dtype != dtype) format++;
    return format;
}

/* The format of that name, or what stands for it on rows of this length. */
static const Format *format_used(const char *name, int64_t cols)
{
    const Format *format = formats;
    while (strcasecmp(dtype_name(format->dtype), name) != 0) format++;
    return cols % dtype_block_weights(format->dtype) == 0 ? format : format_of(format->fallback);
}

Dtype ggml_type_used(const char *type, int64_t cols) { return format_used(type, cols)->dtype; }

static int ggml_check(int64_t rows, int64_t cols, const Options *options)
{
    (void)rows, (void)options;
    if (cols % BLOCK_SMALL != 0)
        FAIL(ERR_ARGUMENT, "ggml: a row of %lld weights is no whole number of blocks of %d", (long long)cols, BLOCK_SMALL);
    return OK;
}

/* The width of a code: the number in the format's name. */
static int code_width(const Format *format)
{
    const char *name = dtype_name(format->dtype);
    return atoi(name + strcspn(name, "23456789"));
}

static int64_t row_bytes(const Format *format, int64_t cols)
{
    return cols / dtype_block_weights(format->dtype) * (int64_t)dtype_block_bytes(format->dtype);
}

/* A scale beyond the halves leaves infinite or undefined weights, which are looked for while the blocks are still in the cache. */
static bool quantize_row(unsigned char *block, float *scratch, const float *w, int64_t cols, const Format *format)
{
    bool finite = true;
    format->quantize(block, w, cols / dtype_block_weights(format->dtype));
    dtype_to_float(scratch, block, cols, format->dtype);
    for (int64_t i = 0; i < cols; i++) finite &= isfinite(scratch[i]) || !isfinite(w[i]);
    return finite;
}

static int ggml_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    const Format *format = format_used(options_text(options, "type"), cols);
    const int64_t bytes = row_bytes(format, cols);
    unsigned char *block = packed_add_bytes(out, rows * bytes, rows * cols * code_width(format));
    bool finite = true;
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS) reduction(&& : finite)
    {
        float *scratch = xmalloc(sizeof *scratch * (size_t)cols);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) finite = quantize_row(block + r * bytes, scratch, layer->w + r * cols, cols, format) && finite;
        free(scratch);
    }
    if (!finite) FAIL(ERR_ARGUMENT, "ggml: a scale of layer %d does not fit into a half", layer->layer);
    return OK;
}

static void ggml_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const Format *format = format_used(options_text(options, "type"), shape->cols);
    const int64_t bytes = row_bytes(format, shape->cols);
#pragma omp parallel for schedule(static) if (shape->rows * shape->cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < shape->rows; r++) dtype_to_float(out + r * shape->cols, packed->plane[0].bytes + r * bytes, shape->cols, format->dtype);
}

const Perturbation perturbation_ggml = {
    .name = "ggml", .summary = "block formats of llama.cpp: q4_0 .. q8_0, iq4_nl, q2_k .. q6_k", .version = 1,
    .options = ggml_options, .encode = ggml_encode, .decode = ggml_decode, .check = ggml_check,
};
