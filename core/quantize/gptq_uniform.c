#include "core/quantize/gptq_uniform.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/quantize/gptq_loop.h"
#include "core/quantize/hessian.h"

typedef struct {
    const float *w;
    Uniform u;
    int64_t cols, groups;
    const int64_t *order;           /* of the columns in the loop; NULL: as they are, and grids are fitted on the way */
    const KeptWeights *kept;        /* NULL: none */
    unsigned char *is_kept;         /* [rows][cols]; NULL: none */
    double *value;                  /* [kept] as the loop leaves them */
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

/* The grid of w [n], the columns from `column` on of a row, without those that are kept; w may change. */
static UniformGrid fit_others(const Gptq *g, double *w, int64_t row, int64_t column, int64_t n)
{
    const unsigned char *kept = g->is_kept ? g->is_kept + row * g->cols + column : NULL;
    double sum = 0;
    int64_t others = 0;
    for (int64_t k = 0; kept && k < n; k++)
        if (!kept[k]) sum += w[k], others++;
    for (int64_t k = 0; kept && k < n; k++)
        if (kept[k]) w[k] = others ? sum / (double)others : 0;
    return uniform_fit(w, n, &g->u);
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
            g->grid[i] = fit_others(g, group, i / g->groups, first, n);
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

/* The loop's own weights stay as they are. */
static UniformGrid fit_current(const Gptq *g, double *w, int64_t row, int64_t column, int64_t n)
{
    if (!g->is_kept) return uniform_fit(w, n, &g->u);
    double *copy = xmalloc(sizeof *copy * (size_t)n);
    memcpy(copy, w, sizeof *copy * (size_t)n);
    const UniformGrid grid = fit_others(g, copy, row, column, n);
    free(copy);
    return grid;
}

static int64_t place_of(const KeptWeights *kept, int64_t row, int64_t column)
{
    int64_t low = kept->first[row], high = kept->first[row + 1] - 1;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (kept->column[middle] < column) low = middle + 1;
        else high = middle;
    }
    return low;
}

static void gptq_round(double *out, const GptqColumns *at, void *context)
{
    const Gptq *g = context;
    const int64_t column = g->order ? g->order[at->column] : at->column, n = g->cols - column < g->u.group ? g->cols - column : g->u.group;
    const bool first = !g->order && column % g->u.group == 0;
    for (int64_t r = 0; r < at->rows; r++) {
        UniformGrid *grid = &g->grid[(at->row + r) * g->groups + column / g->u.group];
        const int64_t row = at->row + r;
        double *w = at->w + r * at->stride;
        if (first) *grid = fit_current(g, w, row, column, n);
        const bool kept = g->is_kept && g->is_kept[row * g->cols + column];
        const uint16_t code = uniform_code(kept ? 0 : *w, grid, &g->u);
        g->code[row * g->cols + column] = code;
        out[r] = kept ? *w : uniform_value(code, grid);
        if (kept) g->value[place_of(g->kept, row, column)] = *w;
    }
}

/* ---- encode ---- */

static void mark_kept(Gptq *g, int64_t rows)
{
    g->is_kept = xcalloc((size_t)(rows * g->cols), sizeof *g->is_kept);
    g->value = xmalloc(sizeof *g->value * (size_t)g->kept->n);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = g->kept->first[r]; k < g->kept->first[r + 1]; k++) g->is_kept[r * g->cols + g->kept->column[k]] = 1;
}

static int pack(Packed *out, const Gptq *g, const LayerWeights *layer, int value_bits, const char *method)
{
    TRY(uniform_pack(out, g->code, g->grid, layer, &g->u, method));
    if (!g->kept || sparse_pack(out, g->kept, g->value, layer->rows, layer->cols, value_bits)) return OK;
    FAIL(ERR_ARGUMENT, "%s: a kept weight of layer %d does not fit into %d bits; set value_bits=32", method, layer->layer, value_bits);
}

static int round_all(Packed *out, Gptq *g, const LayerWeights *layer, const double *u, int value_bits, const char *method)
{
    g->u.norm = 2.4;
    g->groups = uniform_groups(&g->u, g->cols);
    g->code = xmalloc(sizeof *g->code * (size_t)(layer->rows * g->cols));
    g->grid = xmalloc(sizeof *g->grid * (size_t)(layer->rows * g->groups));
    if (g->kept) mark_kept(g, layer->rows);
    if (g->order) fit_original(g, layer->rows);
    gptq_loop(&(GptqRounding){ layer->rows, g->cols, g->u.group, 1, gptq_load, gptq_round, g }, u);
    int status = pack(out, g, layer, value_bits, method);
    free(g->code), free(g->grid), free(g->is_kept), free(g->value);
    return status;
}

int gptq_uniform_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, const KeptWeights *kept,
                        int value_bits, const char *method)
{
    const int64_t cols = layer->cols;
    TRY(hessian_check(evidence, cols, method, layer->layer));
    int64_t *order = options_flag(options, "act_order") ? columns_by_diagonal(evidence->hessian, cols) : NULL;
    double *u = xmalloc(sizeof *u * (size_t)(cols * cols));
    hessian_load(u, evidence->hessian, cols, order);
    int status = hessian_factor(u, cols, options_number(options, "percdamp"), method, layer->layer);
    Gptq g = { .w = layer->w, .u = uniform_read(options, cols), .cols = cols, .order = order, .kept = kept && kept->n ? kept : NULL };
    if (status == OK) status = round_all(out, &g, layer, u, value_bits, method);
    free(u), free(order);
    return status;
}
