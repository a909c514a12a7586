/*
 * upload.c - from the model's file to the memory of the back end: weights and embeddings
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/internal.h"

void failure_note(Failure *f, int status)
{
    if (status == OK) return;
#pragma omp critical
    if (!f->sentence) *f = (Failure){ status, xstrdup(err_last()) };
}

int failure_status(Failure *f)
{
    const int status = f->sentence ? err_set(f->status, "%s", f->sentence) : OK;
    free(f->sentence);
    return status;
}

/* Conversion to float32 shared among threads; a row's values do not depend on the split. */
int read_rows(float *out, const Model *model, WeightKind kind, int block, int64_t start, int64_t rows, int64_t cols)
{
    enum { ROWS = 64 };
    Failure failure = { 0 };
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t first = 0; first < rows; first += ROWS)
        failure_note(&failure, model_read(out + first * cols, model, kind, block, start + first, rows - first < ROWS ? rows - first : ROWS));
    return failure_status(&failure);
}

static int check_rows(const Model *model, WeightKind kind, int block, int64_t start, int64_t rows)
{
    enum { ROWS = 64 };
    Failure failure = { 0 };
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t first = 0; first < rows; first += ROWS)
        failure_note(&failure, model_check(model, kind, block, start + first, rows - first < ROWS ? rows - first : ROWS));
    return failure_status(&failure);
}

/* Rows [first, first + n): the bits of the file where the back end makes numbers of them, otherwise by way of net->clean. */
static int upload_slice(float *device, Network *net, WeightKind kind, int block, int64_t first, int64_t n, int64_t cols)
{
    bool bf16 = false;
    const unsigned char *bits = net->kernels->upload_half ? model_half(&bf16, net->model, kind, block, first) : NULL;
    if (bits) {
        TRY(check_rows(net->model, kind, block, first, n));
        net->kernels->upload_half(device, bits, n * cols, bf16);
        return OK;
    }
    TRY(read_rows(net->clean, net->model, kind, block, first, n, cols));
    net->kernels->upload(device, net->clean, n * cols);
    return OK;
}

int upload_rows(float *device, Network *net, WeightKind kind, int block, int64_t rows, int64_t cols)
{
    const int64_t slice = net->largest / cols;      /* net->clean holds a whole layer; the head passes in slices */
    for (int64_t first = 0; first < rows; first += slice)
        TRY(upload_slice(device + first * cols, net, kind, block, first, rows - first < slice ? rows - first : slice, cols));
    return OK;
}

int read_weight(float **out, Network *net, WeightKind kind, int block)
{
    const Tensor *tensor = model_tensor(net->model, kind, block);
    if (kind == WEIGHT_HEAD && !tensor) tensor = model_tensor(net->model, WEIGHT_EMBEDDING, 0);
    if (!tensor) return OK;
    int64_t rows = tensor->shape[0], cols = tensor->rank > 1 ? tensor->shape[1] : 1;
    *out = net->kernels->alloc(rows * cols);    /* network_close releases it on failure */
    TRY(upload_rows(*out, net, kind, block, rows, cols));
    if (kind <= WEIGHT_DOWN || kind == WEIGHT_HEAD) kernels_settle(net->kernels, *out, rows * cols);
    return OK;
}

/* ---- embeddings ---- */

/* The ids of all inputs, as the rows of the layout have them. */
static int32_t *inputs_of(const Layout *layout, const Corpus *corpus)
{
    int32_t *ids = xmalloc(sizeof *ids * (size_t)(layout->rows + 1));
    for (int s = 0; s < layout->n; s++)
        for (int t = 0; t < layout->length[s]; t++) ids[layout->offset[s] + t] = corpus->segment[s].inputs[t];
    return ids;
}

static int read_embeddings(float *out, const Model *model, const int32_t *id, int64_t n, int64_t width)
{
    Failure failure = { 0 };
#pragma omp parallel for schedule(static) num_threads(kernels_threads()) if (n > 1)
    for (int64_t i = 0; i < n; i++) failure_note(&failure, model_read(out + i * width, model, WEIGHT_EMBEDDING, 0, id[i], 1));
    return failure_status(&failure);
}

int network_embed(Network *net, float *x, const Layout *layout, const Corpus *corpus)
{
    enum { FLOATS = 8 << 20 };                  /* large enough for the link, small enough to be used again and again */
    const int64_t width = net->shape->width, most = FLOATS / width + 1, room = layout->rows < most ? layout->rows : most;
    float *host = xmalloc(sizeof *host * (size_t)(room * width));
    int32_t *ids = inputs_of(layout, corpus);
    int status = OK;
    for (int64_t first = 0; first < layout->rows && status == OK; first += room) {
        const int64_t n = layout->rows - first < room ? layout->rows - first : room;
        status = read_embeddings(host, net->model, ids + first, n, width);
        if (status == OK) net->kernels->upload(x + first * width, host, n * width);
    }
    free(ids);
    free(host);
    return status;
}
