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
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/gptq_loop.h"
#include "core/quantize/hessian.h"
#include "core/quantize/uniform.h"

static const Option gptq_options[] = { UNIFORM_OPTIONS("minmax"),
    { "act_order", OPTION_FLAG, false, "no", 0, 0, NULL, "", "columns by descending Hessian diagonal, grids from the original weights" },
    PERCDAMP_OPTION, SEQUENTIAL_OPTION,
    { 0 } };

typedef struct {
    const float *w;
    Uniform u;
    int64_t cols, groups;
    const int64_t *order;           /* of the columns in the loop; NULL: as they are, and grids are fitted on the way */
    uint16_t *code;                 /* [rows][cols] */
    UniformGrid *grid;              /* [rows][groups] */
} Gptq;

/* ---- act_order ---- */

typedef struct { float diagonal; int64_t column; } Column;

static int descending(const void *a, const void *b)
{
    const Column *x = a, *y = b;
    if (x->diagonal != y->diagonal) return x->diagonal > y->diagonal ? -1 : 1;
    return x->column < y->column ? -1 : 1;
}

static int64_t *columns_by_diagonal(const float *hessian, int64_t n)
{
    Column *column = xmalloc(sizeof *column * (size_t)n);
    int64_t *order = xmalloc(sizeof *order * (size_t)n);
    for (int64_t j = 0; j < n; j++) column[j] = (Column){ hessian[j * n + j], j };
    qsort(column, (size_t)n, sizeof *column, descending);
    for (int64_t j = 0; j < n; j++) order[j] = column[j].column;
    free(column);
    return order;
}

static void fit_original(const Gptq *g, int64_t rows)
{
#pragma omp parallel if (rows * g->cols >= PARALLEL_WEIGHTS)
    {
        double *group = xmalloc(sizeof *group * (size_t)g->u.group);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows * g->groups; i++) {
            const int64_t first = i % g->groups * g->u.group, n = g->u.group < g->cols - first ? g->u.group : g->cols - first;
            for (int64_t k = 0; k < n; k++) group[k] = g->w[i / g->groups * g->cols + first + k];
            g->grid[i] = uniform_fit(group, n, &g->u);
        }
        free(group);
    }
}

/* ---- the rounding of the loop ---- */

static void gptq_load(GptqColumns *all, void *context)
{
    const Gptq *g = context;
    for (int64_t r = 0; r < all->rows; r++)
        for (int64_t j = 0; j < g->cols; j++)
            all->w[r * all->stride + j] = g->w[(all->row + r) * g->cols + (g->order ? g->order[j] : j)];
}

static void gptq_round(double *out, const GptqColumns *at, void *context)
{
    const Gptq *g = context;
    const int64_t column = g->order ? g->order[at->column] : at->column, n = g->cols - column < g->u.group ? g->cols - column : g->u.group;
    const bool first = !g->order && column % g->u.group == 0;
    for (int64_t r = 0; r < at->rows; r++) {
        UniformGrid *grid = &g->grid[(at->row + r) * g->groups + column / g->u.group];
        const double *w = at->w + r * at->stride;
        if (first) *grid = uniform_fit(w, n, &g->u);
        const uint16_t code = uniform_code(*w, grid, &g->u);
        g->code[(at->row + r) * g->cols + column] = code;
        out[r] = uniform_value(code, grid);
    }
}

static int gptq_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    TRY(hessian_check(evidence, cols, "gptq", layer->layer));
    int64_t *order = options_flag(options, "act_order") ? columns_by_diagonal(evidence->hessian, cols) : NULL;
    double *u = xmalloc(sizeof *u * (size_t)(cols * cols));
    hessian_load(u, evidence->hessian, cols, order);
    int status = hessian_factor(u, cols, options_number(options, "percdamp"), "gptq", layer->layer);
    if (status == OK) {
        Gptq g = { .w = layer->w, .u = uniform_read(options, cols), .cols = cols, .order = order };
        g.u.norm = 2.4;
        g.groups = uniform_groups(&g.u, cols);
        g.code = xmalloc(sizeof *g.code * (size_t)(rows * cols));
        g.grid = xmalloc(sizeof *g.grid * (size_t)(rows * g.groups));
        if (order) fit_original(&g, rows);
        gptq_loop(&(GptqRounding){ rows, cols, g.u.group, 1, gptq_load, gptq_round, &g }, u);
        status = uniform_pack(out, g.code, g.grid, layer, &g.u, "gptq");
        free(g.code), free(g.grid);
    }
    free(u), free(order);
    return status;
}

const Perturbation perturbation_gptq = {
    .name = "gptq", .summary = "uniform grids, each column's error absorbed by those after it (GPTQ)", .version = 1,
    .options = gptq_options, .needs = NEEDS_INPUTS, .sequential = hessian_sequential, .encode = gptq_encode, .decode = uniform_decode,
};
