/*
 * pbllm.c - PB-LLM (arXiv 2310.00034): a few salient weights in 8 bits, the signs of all others, inside GPTQ's loop
 *
 *     salient: the round((1 - low) n) of a matrix's n weights with the largest |w| (metric = magnitude) or w^2 / U_jj^2 (hessian)
 *     others:  w^ = a sign(w),      a = mean |w| of the others of a row's group of columns, when the loop reaches it; sign(0) = 1
 *     salient: w^ = m + d q,        q = clamp(round((w - m) / d), 0, 2^B - 1), B = salient_bits, m and d from end to end of the row
 *
 * in double, rounding half to even; a, m and d are halves.  U of hessian.h, loop of gptq_loop.h.  Which weights are salient, m and d follow from
 * the weights before the loop, so that those that the loop carries beyond the row's ends are cut off there.  a = mean |w| is the
 * value of least squares for given signs.  (PB-LLM's program finds salient weights in each group by itself, takes a from the weights
 * before the loop, counts salient ones in it as 0, and moves signs about the row's mean.)  Of weights equally salient the
 * first is taken; those of inputs that were never there, and zeros, are not.
 *
 *     bits per weight = low + (1 - low) B + 1 + 16 ceil(cols / group) / cols + 32 / cols
 *
 * The 1 is a bitmap of the salient weights, to whole bytes: cheaper than their columns in 16 bits each wherever more than 1 in 16 is salient, and
 * what the paper counts.  A row's group without others has a = 0.  Cost: that of gptq.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/largest.h"
#include "core/quantize/gptq_loop.h"
#include "core/quantize/hessian.h"
#include "core/quantize/scale.h"

static const Option pbllm_options[] = {
    { "low",          OPTION_NUMBER,  false, "0.9", 0.5, 0.95,    NULL, "", "share of the weights that are stored as a sign" },
    { "salient_bits", OPTION_INTEGER, false, "8",   2,   8,       NULL, "bits", "width of the other weights' codes" },
    { "metric",       OPTION_ONE_OF,  false, "magnitude", 0, 0,   "magnitude|hessian", "", "what makes a weight salient: |w|, or w^2 / U_jj^2" },
    { "group",        OPTION_INTEGER, false, "0",   0,   1 << 30, NULL, "weights", "input columns whose signs share a scale; 0: the row" },
    PERCDAMP_OPTION, SEQUENTIAL_OPTION,
    { 0 } };

typedef struct { double least, step; } Grid;

enum { PLANE_MAP, PLANE_SIGNS, PLANE_CODES, PLANE_SCALES, PLANE_GRIDS };

typedef struct {
    int64_t rows, cols, group, groups;
    double top;                     /* the largest code of a salient weight */
    const float *w;
    unsigned char *salient;         /* [rows][cols] */
    uint16_t *code;                 /* [rows][cols] signs (1: not negative) and codes */
    double *scale;                  /* [rows][groups] a */
    Grid *grid;                     /* [rows] m and d */
} Pbllm;

static Pbllm pbllm_read(const Options *options, int64_t rows, int64_t cols)
{
    const int64_t group = options_integer(options, "group");
    Pbllm p = { .rows = rows, .cols = cols, .group = group == 0 || group > cols ? cols : group,
                .top = ldexp(1, (int)options_integer(options, "salient_bits")) - 1 };
    p.groups = (cols + p.group - 1) / p.group;
    p.salient = xcalloc((size_t)(rows * cols), 1);
    p.code = xmalloc(sizeof *p.code * (size_t)(rows * cols));
    p.scale = xmalloc(sizeof *p.scale * (size_t)(rows * p.groups));
    p.grid = xmalloc(sizeof *p.grid * (size_t)rows);
    return p;
}

static void release(Pbllm *p) { free(p->salient), free(p->code), free(p->scale), free(p->grid); }

/* ---- before the loop ---- */

static void choose_salient(Pbllm *p, double low, bool by_hessian, const double *u, const float *hessian)
{
    const int64_t n = p->rows * p->cols;
    float *key = xmalloc(sizeof *key * (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        const int64_t diagonal = i % p->cols * (p->cols + 1);
        const double size = fabs(p->w[i]) / (by_hessian ? u[diagonal] : 1);         /* in the order of its square */
        key[i] = hessian[diagonal] > 0 && isfinite(size) ? (float)size : 0;
    }
    largest_mark(p->salient, key, n, llround((1 - low) * (double)n));
    free(key);
}

static Grid grid_of_row(const float *w, int64_t n, double top)
{
    double low = w[0], high = w[0];
    for (int64_t j = 1; j < n; j++) low = fmin(low, w[j]), high = fmax(high, w[j]);
    return (Grid){ scale_stored(low, 16), scale_stored((high - low) / top, 16) };
}

/* ---- the rounding of the loop ---- */

static void pbllm_load(GptqColumns *all, void *context)
{
    const Pbllm *p = context;
    for (int64_t r = 0; r < all->rows; r++) {
        const float *w = p->w + (all->row + r) * p->cols;
        for (int64_t j = 0; j < p->cols; j++) all->w[r * all->stride + j] = w[j];
        p->grid[all->row + r] = grid_of_row(w, p->cols, p->top);
    }
}

static double mean_size(const double *w, const unsigned char *salient, int64_t n)
{
    double sum = 0;
    int64_t others = 0;
    for (int64_t k = 0; k < n; k++)
        if (!salient[k]) sum += fabs(w[k]), others++;
    return others ? sum / (double)others : 0;
}

static uint16_t salient_code(double w, Grid grid, double top)
{
    const double code = round_even((w - grid.least) / grid.step);
    return (uint16_t)(code > 0 ? (code < top ? code : top) : 0);        /* 0 for NaN: a row of equal weights */
}

static inline double value_of(const Pbllm *p, int64_t row, int64_t column, bool salient, uint16_t code)
{
    const double scale = p->scale[row * p->groups + column / p->group];
    return salient ? p->grid[row].least + p->grid[row].step * code : code ? scale : -scale;
}

static void pbllm_round(double *out, const GptqColumns *at, void *context)
{
    const Pbllm *p = context;
    const int64_t column = at->column, n = p->cols - column < p->group ? p->cols - column : p->group;
    for (int64_t r = 0; r < at->rows; r++) {
        const int64_t row = at->row + r, i = row * p->cols + column;
        const double *w = at->w + r * at->stride;
        if (column % p->group == 0) p->scale[row * p->groups + column / p->group] = scale_stored(mean_size(w, p->salient + i, n), 16);
        p->code[i] = p->salient[i] ? salient_code(*w, p->grid[row], p->top) : *w >= 0;
        out[r] = value_of(p, row, column, p->salient[i], p->code[i]);
    }
}

/* ---- encode and decode ---- */

static bool all_finite(const double *x, int64_t n)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
    return finite;
}

/* The codes of weights that are salient, or of those that are not, in their order; how many they are. */
static int64_t codes_of(uint16_t *code, const Pbllm *p, bool salient)
{
    int64_t n = 0;
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        if ((p->salient[i] != 0) == salient) code[n++] = p->code[i];
    return n;
}

static int pbllm_pack(Packed *out, const Pbllm *p, int layer)
{
    const int64_t n = p->rows * p->cols;
    uint16_t *code = xmalloc(sizeof *code * (size_t)n);
    unsigned char *map = packed_add_bytes(out, (n + 7) / 8, 0);
    for (int64_t i = 0; i < n; i++) map[i / 8] |= (unsigned char)(p->salient[i] << i % 8);
    packed_add_codes(out, code, codes_of(code, p, false), 2);
    packed_add_codes(out, code, codes_of(code, p, true), (int)p->top + 1);
    free(code);
    double *grid = xmalloc(sizeof *grid * 2 * (size_t)p->rows);
    for (int64_t r = 0; r < p->rows; r++) grid[2 * r] = p->grid[r].least, grid[2 * r + 1] = p->grid[r].step;
    packed_add_reals(out, p->scale, p->rows * p->groups, 16);
    packed_add_reals(out, grid, 2 * p->rows, 16);
    const bool finite = all_finite(p->scale, p->rows * p->groups) && all_finite(grid, 2 * p->rows);
    free(grid);
    if (!finite) FAIL(ERR_ARGUMENT, "pb-llm: a scale of layer %d does not fit into 16 bits", layer);
    return OK;
}

static int pbllm_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    double *u;
    TRY(hessian_factored(&u, evidence, cols, NULL, options, "pb-llm", layer->layer));
    Pbllm p = pbllm_read(options, rows, cols);
    p.w = layer->w;
    choose_salient(&p, options_number(options, "low"), !strcmp(options_text(options, "metric"), "hessian"), u, evidence->hessian);
    gptq_loop(&(GptqRounding){ rows, cols, p.group, 1, pbllm_load, pbllm_round, &p }, u);
    int status = pbllm_pack(out, &p, layer->layer);
    release(&p);
    free(u);
    return status;
}

static void pbllm_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const int64_t n = shape->rows * shape->cols;
    Pbllm p = pbllm_read(options, shape->rows, shape->cols);
    uint16_t *sign = xmalloc(sizeof *sign * (size_t)n), *code = xmalloc(sizeof *code * (size_t)n);
    double *grid = xmalloc(sizeof *grid * 2 * (size_t)p.rows);
    packed_codes(sign, packed, PLANE_SIGNS);
    packed_codes(code, packed, PLANE_CODES);
    packed_reals(p.scale, packed, PLANE_SCALES);
    packed_reals(grid, packed, PLANE_GRIDS);
    for (int64_t r = 0; r < p.rows; r++) p.grid[r] = (Grid){ grid[2 * r], grid[2 * r + 1] };
    const unsigned char *map = packed->plane[PLANE_MAP].bytes;
    for (int64_t i = 0, signs = 0, codes = 0; i < n; i++) {
        const bool salient = map[i / 8] >> i % 8 & 1;
        out[i] = (float)value_of(&p, i / p.cols, i % p.cols, salient, salient ? code[codes++] : sign[signs++]);
    }
    free(sign), free(code), free(grid);
    release(&p);
}

const Perturbation perturbation_pbllm = {
    .name = "pb-llm", .summary = "salient weights in 8 bits, signs of the others, in GPTQ's loop (PB-LLM)", .version = 1,
    .options = pbllm_options, .needs = NEEDS_INPUTS, .sequential = hessian_sequential, .encode = pbllm_encode, .decode = pbllm_decode,
};
