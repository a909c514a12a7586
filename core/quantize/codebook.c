#include "core/quantize/codebook.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/double_scale.h"
#include "core/quantize/levels.h"
#include "core/quantize/scale.h"

int64_t codebook_group(const Options *options, int64_t cols)
{
    const int64_t group = options_integer(options, "group");
    return group == 0 || group > cols ? cols : group;
}

double codebook_round(double level) { return nearbyint(level * 0x1p40) * 0x1p-40; }

/* How a matrix is cut into groups. */
typedef struct { int64_t rows, cols, group, per_row; } Groups;

static Groups groups_of(const LayerWeights *shape, const Options *options)
{
    const int64_t group = codebook_group(options, shape->cols);
    return (Groups){ shape->rows, shape->cols, group, (shape->cols + group - 1) / group };
}

/* Group i of row r: its first weight in the matrix and how many it has. */
static inline int64_t first_of(const Groups *g, int64_t r, int64_t i) { return r * g->cols + i * g->group; }
static inline int64_t size_of(const Groups *g, int64_t i) { return g->group < g->cols - i * g->group ? g->group : g->cols - i * g->group; }

static void largest_weights(double *scale, const float *w, const Groups *g)
{
#pragma omp parallel for schedule(static) if (g->rows * g->cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t i = 0; i < g->per_row; i++) {
            const int64_t at = first_of(g, r, i), end = at + size_of(g, i);
            float largest = 0;
            for (int64_t k = at; k < end; k++) largest = fabsf(w[k]) > largest ? fabsf(w[k]) : largest;
            scale[r * g->per_row + i] = largest;
        }
}

/* Packs the scales and leaves in scale[n] what decode will read. */
static int pack_scales(Packed *out, double *scale, int64_t n, const LayerWeights *layer, const Options *options, const char *method)
{
    const int bits = atoi(options_text(options, "scale_bits"));
    const bool twice = options_flag(options, "double");
    for (int64_t i = 0; i < n; i++) {
        if (!twice) scale[i] = scale_stored(scale[i], bits);
        if (isinf(scale[i]))
            FAIL(ERR_ARGUMENT, "%s: a scale of layer %d does not fit into %d bits; set scale_bits=32", method, layer->layer, twice ? 32 : bits);
    }
    if (twice) double_scale_add(out, scale, n);
    else packed_add_reals(out, scale, n, bits);
    return OK;
}

static void nearest_levels(uint16_t *code, const float *w, const double *scale, const Groups *g, const Codebook *book)
{
    const int n = 1 << book->bits;
#pragma omp parallel for schedule(static) if (g->rows * g->cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t i = 0; i < g->per_row; i++) {
            const int64_t at = first_of(g, r, i), end = at + size_of(g, i);
            double edge[MOST_LEVELS - 1];
            levels_edges(edge, book->level, n, scale[r * g->per_row + i]);
            for (int64_t k = at; k < end; k++) code[k] = (uint16_t)levels_nearest(w[k], edge, n);
        }
}

int codebook_encode(Packed *out, const LayerWeights *layer, const Options *options, const Codebook *book, const char *method)
{
    const Groups g = groups_of(layer, options);
    double *scale = xmalloc(sizeof *scale * (size_t)(g.rows * g.per_row));
    largest_weights(scale, layer->w, &g);
    int status = pack_scales(out, scale, g.rows * g.per_row, layer, options, method);
    if (status == OK) {
        uint16_t *code = xmalloc(sizeof *code * (size_t)(g.rows * g.cols));
        nearest_levels(code, layer->w, scale, &g, book);
        packed_add_codes(out, code, g.rows * g.cols, 1 << book->bits);
        free(code);
    }
    free(scale);
    return status;
}

void codebook_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, const Codebook *book)
{
    const Groups g = groups_of(shape, options);
    double *scale = xmalloc(sizeof *scale * (size_t)(g.rows * g.per_row));
    uint16_t *code = xmalloc(sizeof *code * (size_t)(g.rows * g.cols));
    const bool twice = options_flag(options, "double");
    if (twice) double_scale_read(scale, packed, 0);
    else packed_reals(scale, packed, 0);
    packed_codes(code, packed, twice ? DOUBLE_SCALE_PLANES : 1);
#pragma omp parallel for schedule(static) if (g.rows * g.cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < g.rows; r++)
        for (int64_t i = 0; i < g.per_row; i++) {
            const int64_t at = first_of(&g, r, i), end = at + size_of(&g, i);
            const double a = scale[r * g.per_row + i];
            for (int64_t k = at; k < end; k++) out[k] = a > 0 ? (float)(a * book->level[code[k]]) : 0;
        }
    free(scale);
    free(code);
}
