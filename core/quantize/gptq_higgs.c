/*
 * gptq_higgs.c - GPTQ in the HIGGS domain (arXiv 2411.17525): rotated groups on a Gaussian grid, later vectors absorb the error
 *
 *     y = R w,   H_R = R H R',   R = blockwise H_g D / sqrt g                    (rotation, grid, bits per weight: higgs.h)
 *     code = the nearest point c to (y_j, .. y_j+p-1) / r,   y^ = s c,   e_k = (y_k - y^_k) / U_kk,   y_l -= e_k U_kl
 *
 * with U of H_R (hessian.h, gptq_loop.h): tr(E H E') is the same in both domains.  r and s are those of higgs, from the group's
 * norm before the loop.  The p columns of a vector are rounded together to the nearest point, not to the one that H_R would prefer, and
 * correct only the columns after the vector.  Vectors do not cross groups.
 *
 * Zeros that fill up the last group of a row are weights like others once rotated; to H they are inputs that are always 0, so
 * only the damping holds them.  `unbiased` is not offered: later vectors have absorbed what it would undo.
 * Cost: that of gptq on a row filled up, two rotations of H, and higgs's search.
 */
#include "core/quantize/gptq_higgs.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/gptq_loop.h"
#include "core/quantize/hadamard.h"
#include "core/quantize/hessian.h"
#include "core/quantize/scale.h"

static const Option gptq_higgs_options[] = { HIGGS_GRID_OPTIONS, HIGGS_ROTATION_OPTIONS, PERCDAMP_OPTION, SEQUENTIAL_OPTION, { 0 } };

typedef struct {
    const float *w, *sign;          /* [rows][cols], [padded] */
    const Higgs *higgs;
    uint16_t *code;                 /* [rows][row codes] */
    double *norm, *scale;           /* [rows][groups] r and s */
} Rotated;

/* ---- the Hessian ---- */

static void rotate_rows(double *h, int64_t n, int64_t group)
{
    const double unit = 1 / sqrt((double)group);
#pragma omp parallel for schedule(static) if (n * n >= PARALLEL_WEIGHTS)
    for (int64_t i = 0; i < n; i++) {
        for (int64_t at = 0; at < n; at += group) hadamard_transform(h + i * n + at, group);
        for (int64_t j = 0; j < n; j++) h[i * n + j] *= unit;
    }
}

static void transpose(double *h, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double keep = h[i * n + j];
            h[i * n + j] = h[j * n + i], h[j * n + i] = keep;
        }
}

/* h [padded][padded] = R H R'. */
static void rotated_hessian(double *h, const float *hessian, const float *sign, const Higgs *higgs)
{
    const int64_t n = higgs_padded(higgs), cols = higgs->cols;
    double *original = xmalloc(sizeof *original * (size_t)(cols * cols));
    hessian_load(original, hessian, cols, NULL);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) h[i * n + j] = i < cols && j < cols ? original[i * cols + j] * sign[i] * sign[j] : 0;
    free(original);
    rotate_rows(h, n, higgs->group);
    transpose(h, n);
    rotate_rows(h, n, higgs->group);
}

/* ---- the rounding of the loop ---- */

static void load(GptqColumns *all, void *context)
{
    const Rotated *c = context;
    const Higgs *h = c->higgs;
    for (int64_t r = 0; r < all->rows; r++) {
        const int64_t row = all->row + r;
        double *y = all->w + r * all->stride, *norm = c->norm + row * h->groups;
        higgs_rotate(y, c->w + row * h->cols, c->sign, h);
        higgs_scales(norm, y, h);
        /* Not a number where weights are not finite, and no scale that is too large. */
        for (int64_t g = 0; g < h->groups; g++) c->scale[row * h->groups + g] = isfinite(norm[g]) ? scale_stored(norm[g], h->scale_bits) : NAN;
    }
}

static void round_vectors(double *out, const GptqColumns *at, void *context)
{
    const Rotated *c = context;
    const Higgs *h = c->higgs;
    const int p = h->grid->p;
    const int64_t g = at->column / h->group, vector = g * h->vectors + at->column % h->group / p, n = at->together;
    float z[GPTQ_TILE * NEAREST_DIMENSIONS] = { 0 };
    uint16_t code[GPTQ_TILE];
    for (int64_t r = 0; r < at->rows; r++)
        for (int64_t j = 0; j < n; j++) z[r * p + j] = (float)(at->w[r * at->stride + j] / c->norm[(at->row + r) * h->groups + g]);
    nearest_codes(code, h->nearest, z, at->rows);
    for (int64_t r = 0; r < at->rows; r++) {
        const int64_t row = at->row + r;
        c->code[row * higgs_row_codes(h) + vector] = code[r];
        for (int64_t j = 0; j < n; j++) out[r * n + j] = c->scale[row * h->groups + g] * h->grid->point[code[r] * p + j];
    }
}

/* ---- encode, check ---- */

static int round_rotated(Packed *out, const LayerWeights *layer, const Higgs *higgs, const double *u, const float *sign)
{
    const int64_t rows = layer->rows;
    const size_t n_scales = (size_t)(rows * higgs->groups);
    Rotated c = { layer->w, sign, higgs, xmalloc(sizeof *c.code * (size_t)(rows * higgs_row_codes(higgs))),
                  xmalloc(sizeof *c.norm * n_scales), xmalloc(sizeof *c.scale * n_scales) };
    gptq_loop(&(GptqRounding){ rows, higgs_padded(higgs), higgs->group, higgs->grid->p, load, round_vectors, &c }, u);
    int status = higgs_pack(out, c.code, c.scale, layer, higgs, "gptq-higgs");
    free(c.code), free(c.norm), free(c.scale);
    return status;
}

int gptq_higgs_encode_with(Packed *out, const LayerWeights *layer, const Higgs *higgs, const Evidence *evidence, double percdamp, Draw draw)
{
    TRY(hessian_check(evidence, layer->cols, "gptq-higgs", layer->layer));
    const int64_t n = higgs_padded(higgs);
    double *u = xmalloc(sizeof *u * (size_t)(n * n));
    float *sign = xmalloc(sizeof *sign * (size_t)n);
    higgs_signs(sign, higgs, layer->layer, draw);
    rotated_hessian(u, evidence->hessian, sign, higgs);
    int status = hessian_factor(u, n, percdamp, "gptq-higgs", layer->layer);
    if (status == OK) status = round_rotated(out, layer, higgs, u, sign);
    free(u), free(sign);
    return status;
}

static int gptq_higgs_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    Higgs higgs;
    TRY(higgs_read(&higgs, options, layer->cols));
    return gptq_higgs_encode_with(out, layer, &higgs, evidence, options_number(options, "percdamp"), draw);
}

static int gptq_higgs_check(int64_t rows, int64_t cols, const Options *options)
{
    (void)rows;
    Higgs h;
    int status = higgs_read(&h, options, cols);
    return status == OK ? OK : err_context(status, "gptq-higgs");
}

const Perturbation perturbation_gptq_higgs = {
    .name = "gptq-higgs", .summary = "HIGGS with each vector's error absorbed by those after it (arXiv 2411.17525)", .version = 1,
    .options = gptq_higgs_options, .needs = NEEDS_INPUTS, .random = higgs_random, .sequential = hessian_sequential,
    .encode = gptq_higgs_encode, .decode = higgs_decode, .check = gptq_higgs_check,
};
