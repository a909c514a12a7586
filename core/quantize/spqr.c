/*
 * spqr.c - SpQR (arXiv 2306.03078): GPTQ on small groups whose scales and zero points are quantized too, outliers kept in 16 bits
 *
 *     s = (max - min) / (2^b - 1),  z = -min / s   of a row's group of g columns, when the loop reaches it (gptq_loop.h, hessian.h)
 *     s^ = m_s + d_s c_s,  z^ = m_z + d_z c_z      c_s in `scale_bits`, c_z in `zero_bits`; m, d from end to end over `stat_group` of them
 *     q = clamp(round(w / s^ + z^), 0, 2^b - 1),   w^ = s^ (q - z^)
 *
 * in double, rounding half to even; m and d are halves, and c the nearest for the stored ones.  The statistics quantized together are
 * those of `stat_group` consecutive rows (outputs) and the same group of columns; the last of a matrix may be fewer, as the last group.
 * z is not rounded otherwise.  max and min include 0, so that 0 <= z <= 2^b - 1 (in SpQR's program they need not: a matter of one group of 16
 * in 2^15).
 *
 * A weight is an outlier where its error costs (w - w^)^2 / U_jj^2 > T, T = threshold mean_j (var_j / U_jj^2), var_j the variance of
 * column j over the rows before the loop.  It is kept as it is then, corrected by all columns before, in a half, and passes on only
 * what that leaves out.  Before a group's grid is fitted each weight in turn is left out: those without which the group's sum of e^2 / U_jj^2
 * falls by more than T (grids as above, s and z unquantized) have no part in max and min.  Only the least and the largest weight move the
 * grid by their absence; of any other the sum loses its own term, so three passes do what n + 1 fits would.
 *
 *     bits per weight = b + (scale_bits + zero_bits) / g + 64 / (g stat_group) + 32 outliers / weights
 *
 * and the rows' numbers of outliers (sparse.h).  Inputs that were never there count 0 in T and in every sum, and have no outliers.
 * Where T = 0 (equal rows) there are none.  Cost: that of gptq, and some sixty operations a weight.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/gptq_loop.h"
#include "core/quantize/hessian.h"
#include "core/quantize/scale.h"
#include "core/quantize/spqr_fit.h"

static const Option spqr_options[] = {
    { "bits",       OPTION_INTEGER, false, "3",   2,    8,       NULL, "bits", "width of a code" },
    { "group",      OPTION_INTEGER, false, "16",  0,    1 << 30, NULL, "weights", "consecutive input columns that share a scale; 0: the row" },
    { "scale_bits", OPTION_INTEGER, false, "3",   1,    8,       NULL, "bits", "width of a quantized scale" },
    { "zero_bits",  OPTION_INTEGER, false, "3",   1,    8,       NULL, "bits", "width of a quantized zero point" },
    { "stat_group", OPTION_ONE_OF,  false, "16",  0,    0,       "4|8|16|32|64", "rows",
      "consecutive rows whose scales (or zero points) are quantized together" },
    { "outliers",   OPTION_FLAG,    false, "yes", 0,    0,       NULL, "", "keep single weights in 16 bits" },
    { "threshold",  OPTION_NUMBER,  false, "0.2", 1e-6, 1e6,     NULL, "", "least error of an outlier, (w^ - w)^2 / U_jj^2, over the mean of var_j / U_jj^2" },
    { "percdamp",   OPTION_NUMBER,  false, "1",   0,    10,      NULL, "", "share of the Hessian's mean diagonal added to it" },
    SEQUENTIAL_OPTION,
    { 0 } };

typedef struct { SpqrLevel scale, zero; } Statistics;

enum { PLANE_CODES, PLANE_SCALES, PLANE_ZEROS, PLANE_LEVELS, PLANE_OUTLIERS };
enum { NO_OUTLIER = 0x7e00 };       /* the half of a NaN, which no weight is */

typedef struct {
    int64_t rows, cols, group, groups, stat_group, blocks;
    double top, scale_top, zero_top;
    double threshold;               /* T; infinite: no outliers */
    const float *w;
    double *worth;                  /* [cols] 1 / U_jj^2; 0 of an input that was never there */
    uint16_t *code, *outlier;       /* [rows][cols] codes; halves, or NO_OUTLIER */
    int64_t *scale_code, *zero_code;    /* [rows][groups] */
    SpqrGrid *grid;                 /* [rows][groups] s^ and z^ */
    Statistics *statistics;         /* [blocks][groups] */
} Spqr;

/* ---- grids ---- */

/* Grids of the tile's rows for the group that begins at its first column. */
static void fit_tile(const GptqColumns *at, const Spqr *s)
{
    const int64_t g = at->column / s->group, n = s->cols - at->column < s->group ? s->cols - at->column : s->group;
    const int64_t stride = s->groups * (int64_t)(sizeof(SpqrGrid) / sizeof(double));
    double *scratch = xmalloc(sizeof *scratch * 2 * (size_t)n);
    for (int64_t r = 0; r < at->rows; r++)
        s->grid[(at->row + r) * s->groups + g] = spqr_fit(scratch, at->w + r * at->stride, s->worth + at->column, n, s->top, s->threshold);
    for (int64_t r = 0; r < at->rows; r += s->stat_group) {
        const int64_t count = at->rows - r < s->stat_group ? at->rows - r : s->stat_group, i = (at->row + r) * s->groups + g;
        s->statistics[(at->row + r) / s->stat_group * s->groups + g] = (Statistics){
            spqr_quantize(&s->grid[i].scale, stride, s->scale_code + i, s->groups, count, s->scale_top),
            spqr_quantize(&s->grid[i].zero, stride, s->zero_code + i, s->groups, count, s->zero_top),
        };
    }
    free(scratch);
}

/* ---- the rounding of the loop ---- */

static void spqr_load(GptqColumns *all, void *context)
{
    const Spqr *s = context;
    for (int64_t r = 0; r < all->rows; r++)
        for (int64_t j = 0; j < s->cols; j++) all->w[r * all->stride + j] = s->w[(all->row + r) * s->cols + j];
}

static void spqr_round(double *out, const GptqColumns *at, void *context)
{
    const Spqr *s = context;
    if (at->column % s->group == 0) fit_tile(at, s);
    for (int64_t r = 0; r < at->rows; r++) {
        const int64_t i = (at->row + r) * s->cols + at->column;
        const SpqrGrid *grid = &s->grid[(at->row + r) * s->groups + at->column / s->group];
        const double w = at->w[r * at->stride], code = spqr_code(w / grid->scale + grid->zero, s->top);
        s->code[i] = (uint16_t)code;
        out[r] = grid->scale * (code - grid->zero);
        s->outlier[i] = NO_OUTLIER;
        if ((w - out[r]) * (w - out[r]) * s->worth[at->column] > s->threshold) {
            out[r] = scale_stored(w, 16);
            s->outlier[i] = (uint16_t)real_image(out[r], 16);
        }
    }
}

/* ---- encode ---- */

static Spqr spqr_read(const Options *options, int64_t rows, int64_t cols)
{
    const int64_t group = options_integer(options, "group");
    Spqr s = {
        .rows = rows, .cols = cols, .group = group == 0 || group > cols ? cols : group, .stat_group = atoi(options_text(options, "stat_group")),
        .top = ldexp(1, (int)options_integer(options, "bits")) - 1,
        .scale_top = ldexp(1, (int)options_integer(options, "scale_bits")) - 1,
        .zero_top = ldexp(1, (int)options_integer(options, "zero_bits")) - 1,
        .threshold = options_flag(options, "outliers") ? options_number(options, "threshold") : INFINITY,
    };
    s.groups = (cols + s.group - 1) / s.group;
    s.blocks = (rows + s.stat_group - 1) / s.stat_group;
    return s;
}

static void allocate(Spqr *s)
{
    const size_t n = (size_t)(s->rows * s->cols), groups = (size_t)(s->rows * s->groups);
    s->worth = xmalloc(sizeof *s->worth * (size_t)s->cols);
    s->code = xmalloc(sizeof *s->code * n);
    s->outlier = xmalloc(sizeof *s->outlier * n);
    s->scale_code = xmalloc(sizeof *s->scale_code * groups);
    s->zero_code = xmalloc(sizeof *s->zero_code * groups);
    s->grid = xmalloc(sizeof *s->grid * groups);
    s->statistics = xmalloc(sizeof *s->statistics * (size_t)(s->blocks * s->groups));
}

static void release(Spqr *s)
{
    free(s->worth), free(s->code), free(s->outlier);
    free(s->scale_code), free(s->zero_code), free(s->grid), free(s->statistics);
}

/* mean_j var_j worth_j. */
static double mean_worth(const Spqr *s)
{
    double *mean = xcalloc((size_t)s->cols * 2, sizeof *mean), *variance = mean + s->cols, sum = 0;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t j = 0; j < s->cols; j++) mean[j] += s->w[r * s->cols + j] / (double)s->rows;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t j = 0; j < s->cols; j++) variance[j] += (s->w[r * s->cols + j] - mean[j]) * (s->w[r * s->cols + j] - mean[j]);
    for (int64_t j = 0; j < s->cols; j++) sum += variance[j] / (double)s->rows * s->worth[j];
    free(mean);
    return sum / (double)s->cols;
}

static int add_outliers(Packed *out, const Spqr *s, int layer)
{
    const int64_t n = s->rows * s->cols;
    unsigned char *mark = xmalloc((size_t)n);
    for (int64_t i = 0; i < n; i++) mark[i] = s->outlier[i] != NO_OUTLIER;
    KeptWeights kept = kept_of_marks(mark, s->rows, s->cols);
    double *value = xmalloc(sizeof *value * (size_t)(kept.n + 1));
    for (int64_t i = 0, k = 0; i < n; i++)
        if (mark[i]) value[k++] = real_of_image(s->outlier[i], 16);
    const bool finite = sparse_pack(out, &kept, value, s->rows, s->cols, 16);
    kept_free(&kept);
    free(mark), free(value);
    if (!finite) FAIL(ERR_ARGUMENT, "spqr: an outlier of layer %d does not fit into 16 bits; set outliers=no", layer);
    return OK;
}

static int spqr_pack(Packed *out, const Spqr *s, int layer)
{
    const int64_t n = s->blocks * s->groups;
    double *level = xmalloc(sizeof *level * 4 * (size_t)n);
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        const Statistics *t = &s->statistics[i];
        level[4 * i] = t->scale.step, level[4 * i + 1] = t->scale.least, level[4 * i + 2] = t->zero.step, level[4 * i + 3] = t->zero.least;
        for (int64_t k = 4 * i; k < 4 * i + 4; k++) finite &= isfinite(level[k]) != 0;
    }
    packed_add_codes(out, s->code, s->rows * s->cols, (int)s->top + 1);
    packed_add_integers(out, s->scale_code, s->rows * s->groups, (int)log2(s->scale_top + 1));
    packed_add_integers(out, s->zero_code, s->rows * s->groups, (int)log2(s->zero_top + 1));
    packed_add_reals(out, level, 4 * n, 16);
    free(level);
    if (!finite) FAIL(ERR_ARGUMENT, "spqr: a scale of layer %d does not fit into 16 bits", layer);
    return add_outliers(out, s, layer);
}

static int spqr_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    double *u;
    TRY(hessian_factored(&u, evidence, cols, NULL, options, "spqr", layer->layer));
    Spqr s = spqr_read(options, rows, cols);
    s.w = layer->w;
    allocate(&s);
    for (int64_t j = 0; j < cols; j++) s.worth[j] = evidence->hessian[j * cols + j] > 0 ? 1 / (u[j * cols + j] * u[j * cols + j]) : 0;
    if (!isinf(s.threshold)) s.threshold *= mean_worth(&s);
    if (!(s.threshold > 0)) s.threshold = INFINITY;
    gptq_loop(&(GptqRounding){ rows, cols, s.group, 1, spqr_load, spqr_round, &s }, u);
    int status = spqr_pack(out, &s, layer->layer);
    release(&s);
    free(u);
    return status;
}

/* ---- decode ---- */

static void spqr_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    (void)draw;
    Spqr s = spqr_read(options, shape->rows, shape->cols);
    allocate(&s);
    double *level = xmalloc(sizeof *level * 4 * (size_t)(s.blocks * s.groups));
    packed_codes(s.code, packed, PLANE_CODES);
    packed_integers(s.scale_code, packed, PLANE_SCALES, false);
    packed_integers(s.zero_code, packed, PLANE_ZEROS, false);
    packed_reals(level, packed, PLANE_LEVELS);
#pragma omp parallel for schedule(static) if (s.rows * s.cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < s.rows; r++)
        for (int64_t j = 0; j < s.cols; j++) {
            const int64_t g = j / s.group, i = r * s.groups + g;
            const double *of = level + 4 * (r / s.stat_group * s.groups + g);
            const double scale = of[1] + of[0] * (double)s.scale_code[i], zero = of[3] + of[2] * (double)s.zero_code[i];
            out[r * s.cols + j] = (float)(scale * (s.code[r * s.cols + j] - zero));
        }
    sparse_unpack(out, packed, PLANE_OUTLIERS, s.rows, s.cols);
    free(level);
    release(&s);
}

const Perturbation perturbation_spqr = {
    .name = "spqr", .summary = "GPTQ on small groups with quantized scales, outliers kept in 16 bits (SpQR)", .version = 1,
    .options = spqr_options, .needs = NEEDS_INPUTS, .sequential = hessian_sequential, .encode = spqr_encode, .decode = spqr_decode,
};
