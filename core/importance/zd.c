#include "core/importance/zd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/importance/importance.h"

void moments_add(Moments *m, const float *w, int64_t rows, int64_t cols)
{
    double *row = xmalloc(sizeof *row * 2 * (size_t)rows);
#pragma omp parallel for schedule(static) num_threads(kernels_threads()) if (rows * cols >= PARALLEL_WEIGHTS)
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < cols; c++) sum += w[r * cols + c], squares += (double)w[r * cols + c] * w[r * cols + c];
        row[2 * r] = sum, row[2 * r + 1] = squares;
    }
    for (int64_t r = 0; r < rows; r++) m->sum += row[2 * r], m->squares += row[2 * r + 1];
    m->n += rows * cols;
    free(row);
}

int64_t outstanding(const float *w, int64_t n, const Moments *m, bool both)
{
    const double mean = m->sum / (double)m->n, deviation = sqrt(fmax(0, m->squares / (double)m->n - mean * mean));
    const double above = deviation > 0 ? mean + deviation : INFINITY, below = both && deviation > 0 ? mean - deviation : -INFINITY;
    int64_t count = 0;
#pragma omp parallel for schedule(static) num_threads(kernels_threads()) reduction(+ : count) if (n >= PARALLEL_WEIGHTS)
    for (int64_t i = 0; i < n; i++) count += w[i] > above || w[i] < below;
    return count;
}

static const Option zd_options[] = {
    { "over",  OPTION_ONE_OF, false, "block", 0, 0, "block|matrix", "", "mean and deviation of the whole block, or of each of its matrices" },
    { "sides", OPTION_ONE_OF, false, "above", 0, 0, "above|both", "", "z > 1, or |z| > 1" },
    { 0 },
};

static int read_layer(float *w, const Model *model, int block, int type, Moments *moments)
{
    const Layer *l = model_layer(model, model_layer_index(block, (WeightKind)type));
    TRY(model_read(w, model, l->type, block, 0, l->rows));
    if (moments) moments_add(moments, w, l->rows, l->cols);
    return OK;
}

static int64_t weights_of(const Model *model, int block, int type)
{
    const Layer *l = model_layer(model, model_layer_index(block, (WeightKind)type));
    return l->rows * l->cols;
}

/* Each matrix is read twice, since a whole block of a large model need not fit beside what else there is. */
static int share_of_block(double *share, float *w, const Model *model, int block, bool both)
{
    Moments all = { 0 };
    int64_t count = 0;
    for (int t = 0; t < LAYER_TYPES; t++) TRY(read_layer(w, model, block, t, &all));
    for (int t = 0; t < LAYER_TYPES; t++) {
        TRY(read_layer(w, model, block, t, NULL));
        count += outstanding(w, weights_of(model, block, t), &all, both);
    }
    *share = (double)count / (double)all.n;
    return OK;
}

static int share_of_matrices(double *share, float *w, const Model *model, int block, bool both)
{
    *share = 0;
    for (int t = 0; t < LAYER_TYPES; t++) {
        Moments own = { 0 };
        TRY(read_layer(w, model, block, t, &own));
        *share += (double)outstanding(w, own.n, &own, both) / (double)own.n / LAYER_TYPES;
    }
    return OK;
}

static int of_model(double *out, const ImportanceEvidence *e, const Options *options)
{
    const bool matrices = !strcmp(options_text(options, "over"), "matrix"), both = !strcmp(options_text(options, "sides"), "both");
    const int blocks = model_shape(e->model)->n_blocks;
    int64_t largest = 0;
    for (int t = 0; t < LAYER_TYPES; t++) largest = weights_of(e->model, 0, t) > largest ? weights_of(e->model, 0, t) : largest;
    float *w = xmalloc(sizeof *w * (size_t)largest);
    int status = OK;
    for (int b = 0; b < blocks && status == OK; b++) {
        double share = 0;
        status = (matrices ? share_of_matrices : share_of_block)(&share, w, e->model, b, both);
        out[b] = -share;
    }
    free(w);
    return status;
}

const ImportanceRule importance_zd = {
    .name = "zd", .summary = "minus the share of weights with z > 1 (arXiv 2406.17415)", .version = 1, .options = zd_options, .of_model = of_model,
};
