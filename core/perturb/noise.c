/*
 * noise.c - random error of a stated size: W^ = float32(W + sigma z)
 *
 *     scale = matrix:  sigma    = t ||W||_F / sqrt(rows cols)               (arXiv 2411.17525)
 *     scale = group:   sigma_rg = t rms(w_rg), g = consecutive input columns of row r; the last group
 *                      of a row may be shorter
 *
 * Both give E ||W^ - W||^2 = t^2 ||W||^2 exactly, and sign noise gives it in every draw.  Quantizers scale
 * per row and group, so group is the noise that stands for them (one sigma per matrix misses rows that differ in size).  t is no part of
 * the random stream: the same direction at every level.
 */
#include <math.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/perturb/perturbation.h"

static const Option noise_options[] = {
    { "t2",    OPTION_NUMBER,  false, NULL,       0, 1e6,     NULL, "", "relative error, ||W^ - W||^2 / ||W||^2" },
    { "scale", OPTION_ONE_OF,  false, "group",    0, 0,       "group|matrix", "", "one sigma per group of a row, or one per matrix" },
    { "group", OPTION_INTEGER, false, "64",       1, 1 << 30, NULL, "weights", "consecutive input columns that share a sigma" },
    { "fresh", OPTION_ONE_OF,  false, "sequence", 0, 0,       "sequence|shared", "", "new noise for every sequence, or one for all" },
    { 0 },
};

static int noise_per_sequence(const Options *options)
{
    return strcmp(options_text(options, "fresh"), "sequence") == 0;
}

static int noise_random(const Options *options)
{
    (void)options;
    return 1;
}

static int noise_check(int64_t rows, int64_t cols, const Options *options)
{
    (void)rows, (void)cols;
    if (!options_is_set(options, "t2")) FAIL(ERR_ARGUMENT, "noise: t2, the relative error, is not set");
    return OK;
}

/* out holds z and becomes W^. */
static void add_scaled(float *out, const float *w, int64_t n, double sigma)
{
    for (int64_t i = 0; i < n; i++) out[i] = (float)((double)w[i] + sigma * (double)out[i]);
}

typedef void (*Fill)(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first);

static void add_noise(float *out, const LayerWeights *layer, const NoiseForm *form, uint64_t seed, Fill fill)
{
    const int64_t rows = layer->rows, cols = layer->cols, width = form->group ? form->group : cols;
    const double sigma_of_matrix = form->t * sqrt(sum_of_squares(layer->w, rows * cols) / (double)(rows * cols));

    #pragma omp parallel for schedule(static) if (rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < rows; r++) {
        fill(out + r * cols, cols, seed, form->stream, (uint64_t)(r * cols));
        for (int64_t c = 0; c < cols; c += width) {
            const int64_t n = width < cols - c ? width : cols - c;
            const float *w = layer->w + r * cols + c;
            const double sigma = form->group ? form->t * sqrt(sum_of_squares(w, n) / (double)n) : sigma_of_matrix;
            add_scaled(out + r * cols + c, w, n, sigma);
        }
    }
}

static NoiseForm noise_form(RngPurpose purpose, int layer, const Options *options, Draw draw)
{
    const bool by_group = strcmp(options_text(options, "scale"), "group") == 0;
    return (NoiseForm){ .t = sqrt(options_number(options, "t2")), .group = by_group ? options_integer(options, "group") : 0,
                        .signs = purpose == RNG_SIGN,
                        .stream = rng_stream(purpose, layer, draw.draw, noise_per_sequence(options) ? draw.sequence : 0) };
}

static void gaussian_form(NoiseForm *out, int layer, const Options *options, Draw draw) { *out = noise_form(RNG_NOISE, layer, options, draw); }
static void sign_form(NoiseForm *out, int layer, const Options *options, Draw draw) { *out = noise_form(RNG_SIGN, layer, options, draw); }

static int gaussian_apply(float *out, const LayerWeights *layer, const Options *options, Draw draw)
{
    const NoiseForm form = noise_form(RNG_NOISE, layer->layer, options, draw);
    add_noise(out, layer, &form, draw.seed, rng_normals);
    return OK;
}

static int sign_apply(float *out, const LayerWeights *layer, const Options *options, Draw draw)
{
    const NoiseForm form = noise_form(RNG_SIGN, layer->layer, options, draw);
    add_noise(out, layer, &form, draw.seed, rng_signs);
    return OK;
}

const Perturbation perturbation_gaussian = {
    .name = "gaussian", .summary = "Gaussian noise of relative error t2", .version = 1,
    .options = noise_options, .random = noise_random, .per_sequence = noise_per_sequence, .apply = gaussian_apply, .noise = gaussian_form, .check = noise_check,
};

const Perturbation perturbation_sign = {
    .name = "sign", .summary = "random signs of relative error t2: the norm is exact in every draw", .version = 1,
    .options = noise_options, .random = noise_random, .per_sequence = noise_per_sequence, .apply = sign_apply, .noise = sign_form, .check = noise_check,
};
