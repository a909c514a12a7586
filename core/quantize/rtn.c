/*
 * rtn.c - round to nearest on a uniform grid, one scale per group of a row (equations and bits per weight: uniform.h)
 *
 * The baseline of every quantization paper; the clip search is the one of GPTQ's scripts with a squared error.
 * Cost: one pass over the weights; with clip = mse eighty.
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/uniform.h"

static const Option rtn_options[] = { UNIFORM_OPTIONS("minmax"), { 0 } };

static void round_row(uint16_t *code, UniformGrid *grid, double *group, const float *w, int64_t cols, const Uniform *u)
{
    for (int64_t c = 0; c < cols; c += u->group, grid++) {
        const int64_t n = u->group < cols - c ? u->group : cols - c;
        for (int64_t i = 0; i < n; i++) group[i] = w[c + i];
        *grid = uniform_fit(group, n, u);
        for (int64_t i = 0; i < n; i++) code[c + i] = uniform_code(group[i], grid, u);
    }
}

static int rtn_encode(Packed *out, const LayerWeights *layer, const Options *options, const Evidence *evidence, Draw draw)
{
    (void)evidence, (void)draw;
    const int64_t rows = layer->rows, cols = layer->cols;
    const Uniform u = uniform_read(options, cols);
    const int64_t groups = uniform_groups(&u, cols);
    uint16_t *code = xmalloc(sizeof *code * (size_t)(rows * cols));
    UniformGrid *grid = xmalloc(sizeof *grid * (size_t)(rows * groups));
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS)
    {
        double *group = xmalloc(sizeof *group * (size_t)u.group);
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; r++) round_row(code + r * cols, grid + r * groups, group, layer->w + r * cols, cols, &u);
        free(group);
    }
    int status = uniform_pack(out, code, grid, layer, &u, "rtn");
    free(code);
    free(grid);
    return status;
}

static int rtn_on(bool *made, float *out, PerturbationError *error, const Kernels *k, const LayerWeights *layer, const Options *options, Draw draw)
{
    (void)draw;
    const Uniform u = uniform_read(options, layer->cols);
    *made = k->uniform && !u.search;
    if (!*made) return OK;
    const UniformRounding form = { u.bits, u.scale_bits, u.group, u.symmetric };
    double zero[2];
    k->uniform(out, zero, layer->w, layer->rows, layer->cols, &form);
    uniform_rate(error, layer->rows, layer->cols, &u, zero[0], zero[1]);
    return OK;
}

const Perturbation perturbation_rtn = {
    .name = "rtn", .summary = "round to nearest on a uniform grid per group", .version = 1,
    .options = rtn_options, .encode = rtn_encode, .decode = uniform_decode, .quantize_on = rtn_on,
};
