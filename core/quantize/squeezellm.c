/*
 * squeezellm.c - SqueezeLLM (arXiv 2306.07629): each row of a matrix has 2^b levels of its own, placed where the loss is sensitive
 *
 *     minimises  sum_j F_rj (w_rj - w^_rj)^2  over the levels of row r,   F_rj = sum over windows of (dL/dw_rj)^2      (k_means.h)
 *     w^_rj = the level nearest to w_rj as the levels are stored, in a half each (the lower of two equally near)
 *
 * Dense and sparse: the `sensitive` share of the matrix's weights whose F is largest, and of the others the `outliers` share whose |w| is
 * largest, have no part in that sum and are stored beside it in 16 bits (sparse.h).  (SqueezeLLM's program finds outliers by a
 * range, |w| >= max(|Q1 - r IQR|, |Q3 + r IQR|), with one r of 1.5 to 2 for the whole model; here every matrix has the same share.)
 * A share is rounded to whole weights; weights without F are no sensitive ones, zeros no outliers.
 *
 *     bits per weight = b + 16 2^b / cols + 32 sparse weights / weights
 *
 * and the rows' numbers of sparse weights.  A row without any F is fitted with F = 1.  solver = exact finds the minimum; lloyd is the usual
 * iteration from k-means++, 50 steps of it as in SqueezeLLM's program, from a start that depends on layer and row alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/largest.h"
#include "core/base/rng.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/k_means.h"
#include "core/quantize/levels.h"
#include "core/quantize/scale.h"

enum { MOST_BITS = 8, LLOYD_STEPS = 50 };
enum { PLANE_CODES, PLANE_LEVELS, PLANE_SPARSE };

static const Option squeezellm_options[] = {
    { "bits",      OPTION_INTEGER, false, "3",      2, MOST_BITS, NULL, "bits", "width of a code: a row has 2^bits levels" },
    { "sensitive", OPTION_NUMBER,  false, "0.0005", 0, 0.5,       NULL, "", "share of the weights kept in 16 bits for their squared gradient" },
    { "outliers",  OPTION_NUMBER,  false, "0.004",  0, 0.5,       NULL, "", "share of the weights kept in 16 bits for their size, beside those" },
    { "solver",    OPTION_ONE_OF,  false, "exact",  0, 0,         "exact|lloyd", "", "levels of least cost, or those of Lloyd's iteration" },
    { 0 } };

typedef struct {
    const float *w, *fisher;
    int64_t rows, cols;
    int levels, layer;
    bool exact;
    unsigned char *sparse;          /* [rows][cols] */
} Squeeze;

static int check_fisher(const Evidence *evidence, const LayerWeights *layer)
{
    if (!evidence->fisher) FAIL(ERR_ARGUMENT, "squeezellm: the sum of squared gradients of layer %d was not collected", layer->layer);
    for (int64_t i = 0; i < layer->rows * layer->cols; i++)
        if (!(evidence->fisher[i] >= 0 && isfinite(evidence->fisher[i])))
            FAIL(ERR_ARGUMENT, "squeezellm: the sum of squared gradients of layer %d is not finite, or negative", layer->layer);
    return OK;
}

/* ---- the sparse part ---- */

static unsigned char *choose_sparse(const LayerWeights *layer, const float *fisher, double sensitive, double outliers)
{
    const int64_t n = layer->rows * layer->cols;
    unsigned char *mark = xcalloc((size_t)n, 1);
    float *size = xmalloc(sizeof *size * (size_t)n);
    largest_mark(mark, fisher, n, llround(sensitive * (double)n));
    for (int64_t i = 0; i < n; i++) size[i] = mark[i] || !isfinite(layer->w[i]) ? 0 : fabsf(layer->w[i]);
    largest_mark(mark, size, n, llround(outliers * (double)n));
    free(size);
    return mark;
}

static int add_sparse(Packed *out, const Squeeze *s)
{
    KeptWeights kept = kept_of_marks(s->sparse, s->rows, s->cols);
    double *value = xmalloc(sizeof *value * (size_t)(kept.n + 1));
    for (int64_t i = 0, k = 0; i < s->rows * s->cols; i++)
        if (s->sparse[i]) value[k++] = s->w[i];
    const bool finite = sparse_pack(out, &kept, value, s->rows, s->cols, 16);
    kept_free(&kept);
    free(value);
    if (!finite) FAIL(ERR_ARGUMENT, "squeezellm: a sparse weight of layer %d does not fit into 16 bits", s->layer);
    return OK;
}

/* ---- the levels of a row ---- */

/* number[cols] = its dense weights with F, or with 1 where none of them has any; how many they are. */
static int64_t dense_weights(WeightedNumber *number, const Squeeze *s, int64_t row, bool with_fisher)
{
    int64_t n = 0;
    for (int64_t i = row * s->cols; i < (row + 1) * s->cols; i++)
        if (!s->sparse[i] && isfinite(s->w[i])) number[n++] = (WeightedNumber){ s->w[i], with_fisher ? s->fisher[i] : 1 };
    const int64_t left = k_means_sort(number, n);
    return left > 0 || !with_fisher ? left : dense_weights(number, s, row, false);
}

static void fit_row(double *level, WeightedNumber *number, const Squeeze *s, int64_t row)
{
    const int64_t n = dense_weights(number, s, row, true);
    if (n == 0) memset(level, 0, sizeof *level * (size_t)s->levels);
    else if (s->exact) k_means_exact(level, s->levels, number, n);
    else k_means_lloyd(level, s->levels, number, n, LLOYD_STEPS, 0, rng_stream(RNG_CENTROIDS, s->layer, 0, (int)row));
    for (int k = 0; k < s->levels; k++) level[k] = scale_stored(level[k], 16);
}

static void encode_rows(uint16_t *code, double *level, const Squeeze *s)
{
#pragma omp parallel if (s->rows * s->cols >= PARALLEL_WEIGHTS)
    {
        WeightedNumber *number = xmalloc(sizeof *number * (size_t)s->cols);
#pragma omp for schedule(dynamic, 8)
        for (int64_t r = 0; r < s->rows; r++) {
            double edge[1 << MOST_BITS];
            fit_row(level + r * s->levels, number, s, r);
            levels_edges(edge, level + r * s->levels, s->levels, 1);
            for (int64_t i = r * s->cols; i < (r + 1) * s->cols; i++) code[i] = (uint16_t)levels_nearest(s->w[i], edge, s->levels);
        }
        free(number);
    }
}

/* ---- encode and decode ---- */

static int squeezellm_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    TRY(check_fisher(evidence, layer));
    Squeeze s = {
        .w = layer->w, .fisher = evidence->fisher, .rows = layer->rows, .cols = layer->cols, .layer = layer->layer,
        .levels = 1 << options_integer(options, "bits"), .exact = !strcmp(options_text(options, "solver"), "exact"),
        .sparse = choose_sparse(layer, evidence->fisher, options_number(options, "sensitive"), options_number(options, "outliers")),
    };
    const int64_t n_levels = s.rows * s.levels;
    uint16_t *code = xmalloc(sizeof *code * (size_t)(s.rows * s.cols));
    double *level = xmalloc(sizeof *level * (size_t)n_levels);
    encode_rows(code, level, &s);
    bool finite = true;
    for (int64_t i = 0; i < n_levels; i++) finite &= isfinite(level[i]) != 0;
    packed_add_codes(out, code, s.rows * s.cols, s.levels);
    packed_add_reals(out, level, n_levels, 16);
    const int status = finite ? add_sparse(out, &s) : err_set(ERR_ARGUMENT, "squeezellm: a level of layer %d does not fit into 16 bits", s.layer);
    free(code), free(level), free(s.sparse);
    return status;
}

static void squeezellm_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    const int64_t rows = shape->rows, cols = shape->cols, levels = (int64_t)1 << options_integer(options, "bits");
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * cols));
    double *level = xmalloc(sizeof *level * (size_t)(rows * levels));
    packed_codes(code, packed, PLANE_CODES);
    packed_reals(level, packed, PLANE_LEVELS);
#pragma omp parallel for schedule(static) if (rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++) out[r * cols + j] = (float)level[r * levels + code[r * cols + j]];
    sparse_unpack(out, packed, PLANE_SPARSE, rows, cols);
    free(code), free(level);
}

const Perturbation perturbation_squeezellm = {
    .name = "squeezellm", .summary = "k-means levels of each row, weighted by gradients; few weights sparse (SqueezeLLM)", .version = 1,
    .options = squeezellm_options, .needs = NEEDS_FISHER, .encode = squeezellm_encode, .decode = squeezellm_decode,
};
