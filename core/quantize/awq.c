/*
 * awq.c - AWQ (arXiv 2306.00978): input columns scaled by what passes through them, then rounded and clipped for least output error
 *
 *     W^ = Q(W diag(s)) diag(1/s),   s_j = max(a_j^r, 1e-4) / sqrt(max s min s),   a_j = mean |x_j|,   r in {0, 0.05, .. 0.95}
 *
 * Q rounds to the grids of uniform.h from end to end of a group of s_j w_j.  The r of least output error tr(E H E') is kept; of
 * r = 0, plain rounding, a tie.  clipping then shrinks both ends of each group by 1 - i/20, i = 0 .. 9, to the least
 * e_g H_gg e_g', the output error of that group alone.  Both are exact from H = 2 X X' / n: no output is formed.
 *
 * AWQ's scripts search one s for all matrices that read the same input, by the output error of the whole block, and fold 1/s into
 * the operation before.  Here a matrix is a layer of its own, whose s is its own: q, k and v could not share one norm
 * unless they shared s.  So s is stored, as halves used as stored, and counted:
 *
 *     bits per weight = those of uniform.h + 16 / rows              (scales = no: no s)
 *
 * An r for which some s_j is beyond a half is passed over.
 * Cost: with scales 20, with clipping 10 roundings, and rows cols^2 / 2 multiplications and additions for each of the 20.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/quantize/blas.h"
#include "core/quantize/hessian.h"
#include "core/quantize/scale.h"
#include "core/quantize/uniform.h"
#include "kernels/cpu/simd.h"

static const Option awq_options[] = { UNIFORM_GRID_OPTIONS,
    { "scales",   OPTION_FLAG, false, "yes", 0, 0, NULL, "", "a scale per input column, by a search for the least output error" },
    { "clipping", OPTION_FLAG, false, "yes", 0, 0, NULL, "", "a search for the ends of each group's grid by the same error" },
    SEQUENTIAL_OPTION,
    { 0 } };

enum { TILE = 64, POWERS = 20, SHRINKS = 10 };

typedef struct {
    const LayerWeights *layer;
    Uniform u;
    int64_t groups;
    double *half;                   /* [cols][cols] H's upper triangle and half its diagonal: e H e' = 2 e half e' */
    double *s;                      /* [cols] */
    uint16_t *code;                 /* [rows][cols] */
    UniformGrid *grid;              /* [rows][groups] */
} Awq;

/* Scratch of a thread. */
typedef struct { double *error, *product, *scaled; } Scratch;       /* [TILE][cols], [TILE][cols], [TILE][group] */

static Scratch scratch_new(const Awq *a)
{
    const size_t tile = sizeof(double) * TILE * (size_t)a->layer->cols;
    return (Scratch){ xmalloc(tile), xmalloc(tile), xmalloc(sizeof(double) * TILE * (size_t)a->u.group) };
}

static void scratch_free(Scratch *s) { free(s->error), free(s->product), free(s->scaled); }

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- output error ---- */

SIMD static void products(double *out, const double *x, const double *y, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        double sum[LANES] = { 0 };
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES)
            for (int k = 0; k < LANES; k++) sum[k] += x[i + k] * y[i + k];
        for (int k = 0; i + k < n; k++) sum[k] += x[i + k] * y[i + k];
        double total = 0;
        for (int k = 0; k < LANES; k++) total += sum[k];
        out[r] = 2 * total;
    }
}

/* out[r] = e H e' over the n columns from `column` on, for the rows e [rows][n] of scratch->error. */
static void output_errors(double *out, const Awq *a, const Scratch *scratch, int64_t rows, int64_t column, int64_t n)
{
    const int64_t cols = a->layer->cols;
    memcpy(scratch->product, scratch->error, sizeof(double) * (size_t)(rows * n));
    cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, (int)rows, (int)n, 1,
                a->half + column * (cols + 1), (int)cols, scratch->product, (int)n);
    products(out, scratch->error, scratch->product, rows, n);
}

/* ---- one group of one row ---- */

/* Rounds scaled[n] = s w; error = w^ - w, code where it is wanted. */
static void round_group(double *error, uint16_t *code, const double *scaled, const float *w, const double *s, int64_t n,
                        const UniformGrid *grid, const Uniform *u)
{
    for (int64_t k = 0; k < n; k++) {
        const uint16_t q = uniform_code(scaled[k], grid, u);
        error[k] = uniform_value(q, grid) / s[k] - w[k];
        if (code) code[k] = q;
    }
}

/* The grid between the two ends of a group, each shrunk. */
static UniformGrid grid_shrunk(const double *scaled, int64_t n, double shrink, const Uniform *u)
{
    double ends[2] = { scaled[0], scaled[0] };
    for (int64_t k = 1; k < n; k++) {
        ends[0] = scaled[k] < ends[0] ? scaled[k] : ends[0];
        ends[1] = scaled[k] > ends[1] ? scaled[k] : ends[1];
    }
    ends[0] *= shrink, ends[1] *= shrink;
    return uniform_fit(ends, 2, u);
}

/* ---- the search for s ---- */

/* s of one power as it is stored; false where it is beyond a half. */
static bool column_scales(double *s, const double *mean, int64_t n, double power)
{
    double least = INFINITY, most = 0;
    for (int64_t j = 0; j < n; j++) {
        s[j] = fmax(pow(mean[j], power), 1e-4);
        least = fmin(least, s[j]), most = fmax(most, s[j]);
    }
    for (int64_t j = 0; j < n; j++) {
        s[j] = scale_stored(s[j] / sqrt(least * most), 16);
        if (!(s[j] > 0 && isfinite(s[j]))) return false;
    }
    return true;
}

/* error = w^ - w of a row, rounded with a->s. */
static void round_row(double *error, const Awq *a, int64_t row, double *scaled)
{
    const int64_t cols = a->layer->cols;
    for (int64_t c = 0; c < cols; c += a->u.group) {
        const int64_t n = smaller(a->u.group, cols - c);
        const float *w = a->layer->w + row * cols + c;
        for (int64_t k = 0; k < n; k++) scaled[k] = w[k] * a->s[c + k];
        const UniformGrid grid = uniform_fit(scaled, n, &a->u);
        round_group(error + c, NULL, scaled, w, a->s + c, n, &grid, &a->u);
    }
}

/* The output error of every row, rounded with a->s. */
static void try_scales(double *row_error, const Awq *a)
{
    const int64_t rows = a->layer->rows, cols = a->layer->cols;
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS)
    {
        Scratch scratch = scratch_new(a);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < rows; first += TILE) {
            const int64_t n = smaller(TILE, rows - first);
            for (int64_t r = 0; r < n; r++) round_row(scratch.error + r * cols, a, first + r, scratch.scaled);
            output_errors(row_error + first, a, &scratch, n, 0, cols);
        }
        scratch_free(&scratch);
    }
}

static void search_scales(Awq *a, const double *mean)
{
    const int64_t rows = a->layer->rows, cols = a->layer->cols;
    double *row_error = xmalloc(sizeof *row_error * (size_t)rows), *best = xmalloc(sizeof *best * (size_t)cols), least = INFINITY;
    for (int64_t j = 0; j < cols; j++) best[j] = 1;
    for (int i = 0; i < POWERS; i++) {
        if (!column_scales(a->s, mean, cols, i / (double)POWERS)) continue;
        try_scales(row_error, a);
        double error = 0;
        for (int64_t r = 0; r < rows; r++) error += row_error[r];
        if (error < least) least = error, memcpy(best, a->s, sizeof *best * (size_t)cols);
    }
    memcpy(a->s, best, sizeof *best * (size_t)cols);
    free(row_error), free(best);
}

/* ---- the search for the ends of the grids ---- */

/* Columns c .. c + n - 1 of a tile: grids, then codes. */
static void clip_group(const Awq *a, const Scratch *scratch, int64_t first, int64_t rows, int64_t c, int64_t n, int shrinks)
{
    const int64_t cols = a->layer->cols;
    const float *w = a->layer->w + first * cols + c;
    UniformGrid *best = a->grid + first * a->groups + c / a->u.group, grid[TILE];
    double least[TILE], error[TILE];
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < n; k++) scratch->scaled[r * n + k] = w[r * cols + k] * a->s[c + k];
        best[r * a->groups] = grid_shrunk(scratch->scaled + r * n, n, 1, &a->u);
        least[r] = INFINITY;
    }
    for (int i = 0; i < shrinks; i++) {
        for (int64_t r = 0; r < rows; r++) {
            grid[r] = grid_shrunk(scratch->scaled + r * n, n, 1 - i / 20.0, &a->u);
            round_group(scratch->error + r * n, NULL, scratch->scaled + r * n, w + r * cols, a->s + c, n, &grid[r], &a->u);
        }
        output_errors(error, a, scratch, rows, c, n);
        for (int64_t r = 0; r < rows; r++)
            if (error[r] < least[r] && !grid[r].constant) least[r] = error[r], best[r * a->groups] = grid[r];
    }
    for (int64_t r = 0; r < rows; r++)
        round_group(scratch->error, a->code + (first + r) * cols + c, scratch->scaled + r * n, w + r * cols, a->s + c, n, &best[r * a->groups], &a->u);
}

static void round_all(const Awq *a, int shrinks)
{
    const int64_t rows = a->layer->rows, cols = a->layer->cols;
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS)
    {
        Scratch scratch = scratch_new(a);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < rows; first += TILE)
            for (int64_t c = 0; c < cols; c += a->u.group)
                clip_group(a, &scratch, first, smaller(TILE, rows - first), c, smaller(a->u.group, cols - c), shrinks);
        scratch_free(&scratch);
    }
}

/* ---- encode, decode ---- */

static int awq_check(const Evidence *evidence, const LayerWeights *layer)
{
    TRY(hessian_check(evidence, layer->cols, "awq", layer->layer));
    if (!evidence->input_mean) FAIL(ERR_ARGUMENT, "awq: the mean inputs of layer %d were not collected", layer->layer);
    for (int64_t j = 0; j < layer->cols; j++)
        if (!(evidence->input_mean[j] >= 0 && isfinite(evidence->input_mean[j])))
            FAIL(ERR_ARGUMENT, "awq: a mean |input| of layer %d is negative or not finite", layer->layer);
    return OK;
}

static int awq_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    TRY(awq_check(evidence, layer));
    openblas_set_num_threads(1);
    Awq a = { .layer = layer, .u = uniform_read(options, cols) };
    a.groups = uniform_groups(&a.u, cols);
    a.half = xmalloc(sizeof *a.half * (size_t)(cols * cols));
    a.s = xmalloc(sizeof *a.s * (size_t)cols);
    a.code = xmalloc(sizeof *a.code * (size_t)(rows * cols));
    a.grid = xmalloc(sizeof *a.grid * (size_t)(rows * a.groups));
    hessian_load(a.half, evidence->hessian, cols, NULL);
    for (int64_t j = 0; j < cols; j++) a.half[j * (cols + 1)] /= 2, a.s[j] = 1;
    const bool scales = options_flag(options, "scales");
    if (scales) search_scales(&a, evidence->input_mean);
    round_all(&a, options_flag(options, "clipping") ? SHRINKS : 1);
    int status = uniform_pack(out, a.code, a.grid, layer, &a.u, "awq");
    if (scales) packed_add_reals(out, a.s, cols, 16);
    free(a.half), free(a.s), free(a.code), free(a.grid);
    return status;
}

static void awq_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    uniform_decode(out, packed, shape, options, draw);
    if (!options_flag(options, "scales")) return;
    double *s = xmalloc(sizeof *s * (size_t)shape->cols);
    packed_reals(s, packed, packed->n - 1);
#pragma omp parallel for schedule(static) if (shape->rows * shape->cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < shape->rows; r++)
        for (int64_t c = 0; c < shape->cols; c++) out[r * shape->cols + c] = (float)(out[r * shape->cols + c] / s[c]);
    free(s);
}

const Perturbation perturbation_awq = {
    .name = "awq", .summary = "columns scaled by the size of their inputs, grids clipped by output error (AWQ)", .version = 1,
    .options = awq_options, .needs = NEEDS_INPUTS, .sequential = hessian_sequential, .encode = awq_encode, .decode = awq_decode,
};
