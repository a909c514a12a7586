#include "core/quantize/higgs.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/quantize/hadamard.h"
#include "core/quantize/scale.h"
#include "kernels/cpu/simd.h"

/* ---- options ---- */

/* A search takes up to tenths of a second to build, and every layer asks for the same one. */
static const Nearest *search_of(const Grid *grid)
{
    typedef struct Known { const Grid *grid; Nearest *nearest; struct Known *next; } Known;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static Known *all;
    pthread_mutex_lock(&lock);
    Known *known = all;
    while (known && known->grid != grid) known = known->next;
    if (!known) {
        known = xmalloc(sizeof *known);
        *known = (Known){ grid, nearest_new(grid->point, grid->n, grid->p), all };
        all = known;
    }
    pthread_mutex_unlock(&lock);
    return known->nearest;
}

int higgs_read_with(Higgs *out, const Grid *grid, const Options *options, int64_t cols)
{
    int64_t group;
    TRY(hadamard_group(&group, options_integer(options, "hadamard"), cols));
    *out = (Higgs){
        .grid = grid, .nearest = search_of(grid),
        .cols = cols, .group = group,
        .groups = (cols + group - 1) / group, .vectors = (group + grid->p - 1) / grid->p,
        .scale_bits = atoi(options_text(options, "scale_bits")),
        .unbiased = options_has(options, "unbiased") && options_flag(options, "unbiased"), .signs = options_flag(options, "signs"),
    };
    return OK;
}

int higgs_read(Higgs *out, const Options *options, int64_t cols)
{
    const int p = (int)options_integer(options, "p"), n = (int)options_integer(options, "n");
    const bool uniform = !strcmp(options_text(options, "levels"), "uniform");
    const Grid *grid;
    if (uniform && p != 1) FAIL(ERR_ARGUMENT, "levels=uniform is a grid of p=1, and p is %d", p);
    TRY(uniform ? grid_uniform(&grid, n) : grid_find(&grid, p, n));
    return higgs_read_with(out, grid, options, cols);
}

int higgs_random(const Options *options) { return options_flag(options, "signs"); }

void higgs_signs(float *sign, const Higgs *h, int layer, Draw draw)
{
    const int64_t n = higgs_padded(h);
    if (h->signs) rng_signs(sign, n, draw.seed, rng_stream(RNG_ROTATION, layer, draw.draw, 0), 0);
    else for (int64_t i = 0; i < n; i++) sign[i] = 1;
}

/* ---- one row ---- */

void higgs_rotate(double *y, const float *w, const float *sign, const Higgs *h)
{
    const int64_t padded = higgs_padded(h);
    const double unit = 1 / sqrt((double)h->group);
    for (int64_t i = 0; i < h->cols; i++) y[i] = (double)w[i] * sign[i];
    for (int64_t i = h->cols; i < padded; i++) y[i] = 0;
    for (int64_t at = 0; at < padded; at += h->group) hadamard_transform(y + at, h->group);
    for (int64_t i = 0; i < padded; i++) y[i] *= unit;
}

void higgs_rotate_back(float *w, double *y, const float *sign, const Higgs *h)
{
    const int64_t padded = higgs_padded(h);
    const double unit = 1 / sqrt((double)h->group);
    for (int64_t at = 0; at < padded; at += h->group) hadamard_transform(y + at, h->group);
    for (int64_t i = 0; i < h->cols; i++) w[i] = (float)(y[i] * unit * sign[i]);
}

/* In an order that depends on n alone. */
SIMD static double dot(const double *a, const double *b, int64_t n)
{
    double lane[LANES] = { 0 }, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += a[i + k] * b[i + k];
    for (int k = 0; i + k < n; k++) lane[k] += a[i + k] * b[i + k];
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

void higgs_scales(double *scale, const double *y, const Higgs *h)
{
    for (int64_t g = 0; g < h->groups; g++, y += h->group) scale[g] = sqrt(dot(y, y, h->group) / (double)h->group);
}

/* c[code] of a group: [vectors][p], the end of which may lie beyond the group. */
static void look_up(double *out, const uint16_t *code, const Higgs *h)
{
    const int p = h->grid->p;
    const float *point = h->grid->point;
    for (int64_t v = 0; v < h->vectors; v++)
        for (int j = 0; j < p; j++) out[v * p + j] = point[code[v] * p + j];
}

/* z = y / r [vectors][p] of a group; NaN, and so code 0, where r is 0 or not finite. */
static void normalize(float *z, const double *y, double r, const Higgs *h)
{
    const int64_t n = h->vectors * h->grid->p;
    for (int64_t i = 0; i < h->group; i++) z[i] = (float)(y[i] / r);
    for (int64_t i = h->group; i < n; i++) z[i] = 0;
}

static double unbiased_scale(double r, const double *y, const uint16_t *code, double *value, const Higgs *h)
{
    look_up(value, code, h);
    const double along = dot(value, y, h->group);
    return along > 0 ? dot(y, y, h->group) / along : r;
}

void higgs_round(uint16_t *code, double *scale, const double *y, const Higgs *h)
{
    const int64_t numbers = h->vectors * h->grid->p;
    float *z = xmalloc(sizeof *z * (size_t)(h->groups * numbers));
    double *value = xmalloc(sizeof *value * (size_t)numbers);
    for (int64_t g = 0; g < h->groups; g++) normalize(z + g * numbers, y + g * h->group, scale[g], h);
    nearest_codes(code, h->nearest, z, higgs_row_codes(h));
    for (int64_t g = 0; g < h->groups; g++) {
        if (!isfinite(scale[g])) scale[g] = NAN;        /* weights that are not finite, and no scale that is too large */
        else if (h->unbiased) scale[g] = unbiased_scale(scale[g], y + g * h->group, code + g * h->vectors, value, h);
        scale[g] = scale_stored(scale[g], h->scale_bits);
    }
    free(z);
    free(value);
}

/* ---- all rows, and the stored form: codes, scales ---- */

int higgs_pack(Packed *out, const uint16_t *code, const double *scale, const LayerWeights *shape, const Higgs *h, const char *method)
{
    const int64_t n = shape->rows * h->groups;
    bool overflow = false;
    for (int64_t i = 0; i < n; i++) overflow |= isinf(scale[i]) != 0;
    packed_add_codes(out, code, shape->rows * higgs_row_codes(h), h->grid->n);
    packed_add_reals(out, scale, n, h->scale_bits);
    if (overflow) FAIL(ERR_ARGUMENT, "%s: a scale of layer %d does not fit into %d bits; set scale_bits=32", method, shape->layer, h->scale_bits);
    return OK;
}

int higgs_encode_with(Packed *out, const LayerWeights *layer, const Higgs *h, Draw draw, const char *method)
{
    const int64_t rows = layer->rows, padded = higgs_padded(h), row_codes = higgs_row_codes(h);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * row_codes));
    double *scale = xmalloc(sizeof *scale * (size_t)(rows * h->groups));
    float *sign = xmalloc(sizeof *sign * (size_t)padded);
    higgs_signs(sign, h, layer->layer, draw);
#pragma omp parallel if (rows * padded >= PARALLEL_WEIGHTS)
    {
        double *y = xmalloc(sizeof *y * (size_t)padded);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) {
            higgs_rotate(y, layer->w + r * h->cols, sign, h);
            higgs_scales(scale + r * h->groups, y, h);
            higgs_round(code + r * row_codes, scale + r * h->groups, y, h);
        }
        free(y);
    }
    int status = higgs_pack(out, code, scale, layer, h, method);
    free(code);
    free(scale);
    free(sign);
    return status;
}

static void decode_row(float *out, double *y, const uint16_t *code, const double *scale, const float *sign, const Higgs *h)
{
    for (int64_t g = 0; g < h->groups; g++) {
        double *group = y + g * h->group;
        look_up(group, code + g * h->vectors, h);
        for (int64_t i = 0; i < h->group; i++) group[i] *= scale[g];
    }
    higgs_rotate_back(out, y, sign, h);
}

void higgs_unpack(float *out, const Packed *packed, const LayerWeights *shape, const Higgs *h, Draw draw)
{
    const int64_t rows = shape->rows, padded = higgs_padded(h), row_codes = higgs_row_codes(h);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * row_codes));
    double *scale = xmalloc(sizeof *scale * (size_t)(rows * h->groups));
    float *sign = xmalloc(sizeof *sign * (size_t)padded);
    higgs_signs(sign, h, shape->layer, draw);
    packed_codes(code, packed, 0);
    packed_reals(scale, packed, 1);
#pragma omp parallel if (rows * padded >= PARALLEL_WEIGHTS)
    {
        double *y = xmalloc(sizeof *y * (size_t)(padded + h->grid->p));
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++)
            decode_row(out + r * h->cols, y, code + r * row_codes, scale + r * h->groups, sign, h);
        free(y);
    }
    free(code);
    free(scale);
    free(sign);
}

/* ---- the quantizers ---- */

static const Option higgs_options[] = { HIGGS_GRID_OPTIONS, HIGGS_ROTATION_OPTIONS, HIGGS_UNBIASED_OPTION, { 0 } };

static int higgs_check(int64_t rows, int64_t cols, const Options *options)
{
    (void)rows;
    Higgs h;
    int status = higgs_read(&h, options, cols);
    return status == OK ? OK : err_context(status, "higgs");
}

static int higgs_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence;
    Higgs h;
    TRY(higgs_read(&h, options, layer->cols));
    return higgs_encode_with(out, layer, &h, draw, "higgs");
}

void higgs_decode(float *out, const Packed *packed, const LayerWeights *shape, const Options *options, Draw draw)
{
    Higgs h;
    if (higgs_read(&h, options, shape->cols) != OK) abort();        /* encode has read the same */
    higgs_unpack(out, packed, shape, &h, draw);
}

static float *on_device(const Kernels *k, const float *x, int64_t n)
{
    float *p = k->alloc(n);
    k->upload(p, x, n);
    return p;
}

static int higgs_on(bool *made, float *out, PerturbationError *error, const Kernels *k, const LayerWeights *layer, const Options *options, Draw draw)
{
    Higgs h;
    TRY(higgs_read(&h, options, layer->cols));
    *made = k->higgs && h.group <= HIGGS_GROUP;
    if (!*made) return OK;
    const double n = (double)(layer->rows * layer->cols), codes = (double)packed_bits_of_codes(layer->rows * higgs_row_codes(&h), h.grid->n);
    float *sign = xmalloc(sizeof *sign * (size_t)higgs_padded(&h));
    higgs_signs(sign, &h, layer->layer, draw);
    float *point = on_device(k, h.grid->point, (int64_t)h.grid->n * h.grid->p), *diagonal = on_device(k, sign, higgs_padded(&h));
    const HiggsRounding form = { h.grid->p, h.grid->n, point, (int)h.group, diagonal, h.scale_bits, h.unbiased };
    k->higgs(out, layer->w, layer->rows, layer->cols, &form);
    k->release(point);
    k->release(diagonal);
    free(sign);
    error->code_bits = codes / n;
    error->bits = (codes + (double)(layer->rows * h.groups * h.scale_bits)) / n;
    return OK;
}

const Perturbation perturbation_higgs = {
    .name = "higgs", .summary = "Hadamard rotation and a Gaussian-optimal grid (arXiv 2411.17525)", .version = 1,
    .options = higgs_options, .random = higgs_random, .encode = higgs_encode, .decode = higgs_decode, .quantize_on = higgs_on,
    .check = higgs_check,
};
