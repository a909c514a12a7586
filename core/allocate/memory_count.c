#include "core/allocate/memory_count.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/model/model_build.h"
#include "core/quantize/uniform.h"

/* ---- blocks ---- */

/* The grid of a width, as rtn has it with group 0. */
static Uniform grid_of(int bits, int64_t cols) { return (Uniform){ .bits = bits, .scale_bits = 16, .group = cols }; }

static int64_t whole_bytes(int64_t bits) { return (bits + 7) / 8; }

/* Adds a layer whose zero points lie between these (and 0). */
static void add_layer(BlockBytes *out, int64_t rows, int64_t cols, int bits, double least_zero, double most_zero)
{
    if (bits == HALF_FLOATS) {
        out->codes += 2 * rows * cols;
        return;
    }
    const Uniform u = grid_of(bits, cols);
    const UniformBits plane = uniform_plane_bits(rows, cols, &u, least_zero, most_zero);
    out->codes += whole_bytes(plane.codes);
    out->scales += whole_bytes(plane.scales);
    out->zeros += whole_bytes(plane.zeros);
}

static void counts_new(BlockCounts *out, int n_blocks, const int *width, int n_widths)
{
    assert(n_widths >= 1 && n_widths <= MOST_WIDTHS);
    *out = (BlockCounts){ .n_blocks = n_blocks, .n_widths = n_widths };
    for (int k = 0; k < n_widths; k++) {
        assert((width[k] == HALF_FLOATS || (width[k] >= 2 && width[k] <= 8)) && (k == 0 || width[k] < width[k - 1]));
        out->width[k] = width[k];
    }
    out->block = xcalloc((size_t)(n_blocks * n_widths), sizeof *out->block);
}

void block_counts_free(BlockCounts *counts)
{
    free(counts->block);
    *counts = (BlockCounts){ 0 };
}

void block_counts_of_shape(BlockCounts *out, const ModelShape *shape, const int *width, int n_widths)
{
    counts_new(out, shape->n_blocks, width, n_widths);
    for (int k = 0; k < n_widths; k++) {
        BlockBytes one = { 0 }, widest = { 0 };
        for (WeightKind type = 0; type <= WEIGHT_DOWN; type++) {
            int64_t rows, cols;
            model_weight_size(&rows, &cols, type, shape);
            add_layer(&one, rows, cols, width[k], 0, 0);
            add_layer(&widest, rows, cols, width[k], 0, INFINITY);
        }
        one.more = widest.zeros - one.zeros;
        for (int b = 0; b < shape->n_blocks; b++) out->block[b * n_widths + k] = one;
    }
}

/* The zero point of a row at a width: the grid of a row is that of its ends. */
static double row_zero(const double ends[2], int bits, int64_t cols, bool *fits)
{
    if (bits == HALF_FLOATS) return 0;
    const Uniform u = grid_of(bits, cols);
    const UniformGrid grid = uniform_fit(ends, 2, &u);
    *fits = !isinf(grid.scale);
    return grid.zero;
}

/* The least and the largest zero point of a layer at each width; false where a scale is no half float. */
static bool zero_points(double low[MOST_WIDTHS], double high[MOST_WIDTHS], const float *w, int64_t rows, int64_t cols, const BlockCounts *counts)
{
    int too_large = 0;
    for (int k = 0; k < MOST_WIDTHS; k++) low[k] = high[k] = 0;
#pragma omp parallel for schedule(static) reduction(min : low[:MOST_WIDTHS]) reduction(max : high[:MOST_WIDTHS]) reduction(+ : too_large)         \
    if (rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = w + r * cols;
        double ends[2] = { row[0], row[0] };
        for (int64_t c = 1; c < cols; c++) {
            ends[0] = row[c] < ends[0] ? row[c] : ends[0];
            ends[1] = row[c] > ends[1] ? row[c] : ends[1];
        }
        for (int k = 0; k < counts->n_widths; k++) {
            bool fits = true;
            const double zero = row_zero(ends, counts->width[k], cols, &fits);
            low[k] = fmin(low[k], zero);
            high[k] = fmax(high[k], zero);
            too_large += !fits;
        }
    }
    return too_large == 0;
}

static int count_layer(BlockCounts *counts, const Model *model, const Layer *layer)
{
    double low[MOST_WIDTHS], high[MOST_WIDTHS];
    bool fits = true;
    float *w = xmalloc(sizeof *w * (size_t)(layer->rows * layer->cols));
    const int status = model_read(w, model, layer->type, layer->block, 0, layer->rows);
    if (status == OK) fits = zero_points(low, high, w, layer->rows, layer->cols, counts);
    free(w);
    TRY(status);
    if (!fits) FAIL(ERR_ARGUMENT, "%s: %s has a row whose scale does not fit into 16 bits", model_path(model), layer->name);
    for (int k = 0; k < counts->n_widths; k++)
        add_layer(&counts->block[layer->block * counts->n_widths + k], layer->rows, layer->cols, counts->width[k], low[k], high[k]);
    return OK;
}

int block_counts_of_model(BlockCounts *out, const Model *model, const int *width, int n_widths)
{
    BlockCounts counts;
    counts_new(&counts, model_shape(model)->n_blocks, width, n_widths);
    for (int l = 0; l < model_layer_count(model); l++) {
        const int status = count_layer(&counts, model, model_layer(model, l));
        if (status == OK) continue;
        block_counts_free(&counts);
        return status;
    }
    *out = counts;
    return OK;
}

/* ---- what every plan needs ---- */

static int64_t bounded(double bytes) { return bytes < (double)MEMORY_ENDLESS ? (int64_t)ceil(bytes) : MEMORY_ENDLESS; }

/* Exact below 2^53 bits, which is a petabyte. */
static int64_t bytes_of(double numbers, int bits) { return bounded(numbers * bits / 8); }

static double layer_weights(const ModelShape *s)
{
    double n = 0;
    for (WeightKind type = 0; type <= WEIGHT_DOWN; type++) {
        int64_t rows, cols;
        model_weight_size(&rows, &cols, type, s);
        n += (double)(rows * cols);
    }
    return n * s->n_blocks;
}

FixedBytes fixed_bytes(const ModelShape *s, const MemoryUse *use)
{
    const double q = (double)s->n_heads * s->head_dim, kv = (double)s->n_kv_heads * s->head_dim, table = (double)s->vocabulary * s->width;
    const double tokens = (double)use->context * (double)use->sequences, step = (double)(use->step ? use->step : use->context);
    return (FixedBytes){
        .embedding = bytes_of(table, use->other_bits),
        .head = s->tied ? 0 : bytes_of(table, use->other_bits),
        .norms = bytes_of((double)s->n_parameters - layer_weights(s) - table * (s->tied ? 1 : 2), use->other_bits),
        .kv_cache = bytes_of(2 * s->n_blocks * kv * tokens, use->kv_bits),
        .activations = bounded(2 * step * (3.0 * s->width + 2 * q + 2 * kv + 2.0 * s->feed_forward) + 4.0 * (double)use->sequences * s->vocabulary),
    };
}

int64_t fixed_bytes_sum(const FixedBytes *b)
{
    return bounded((double)b->embedding + (double)b->head + (double)b->norms + (double)b->kv_cache + (double)b->activations);
}
