#include "core/importance/top_tokens.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/device.h"

/* ---- one row: a heap of the k best so far, the worst of them on top ---- */

static bool is_worse(const float *logit, int32_t a, int32_t b) { return logit[a] < logit[b] || (logit[a] == logit[b] && a > b); }

static void sift_down(int32_t *heap, int n, int at, const float *logit)
{
    const int32_t id = heap[at];
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_worse(logit, heap[child + 1], heap[child])) child++;
        if (!is_worse(logit, heap[child], id)) break;
        heap[at] = heap[child];
    }
    heap[at] = id;
}

bool top_tokens(int32_t *id, int k, const float *logit, int n)
{
    bool sound = true;
    for (int i = 0; i < k; i++) id[i] = i, sound &= !isnan(logit[i]);
    for (int i = k / 2 - 1; i >= 0; i--) sift_down(id, k, i, logit);
    for (int i = k; i < n; i++) {
        if (logit[i] <= logit[id[0]]) continue;         /* an equal one with a larger index is no better */
        sound &= !isnan(logit[i]);
        id[0] = i;
        sift_down(id, k, 0, logit);
    }
    for (int last = k - 1; last > 0; last--) {          /* the worst to the end, again and again */
        const int32_t worst = id[0];
        id[0] = id[last], id[last] = worst;
        sift_down(id, last, 0, logit);
    }
    return sound;
}

/* ---- the rows of a stream ---- */

typedef struct { Network *net; Projection projection; float *logits, *host; int vocabulary, k; } Chunks;

static int chunk_tokens(int32_t *token, const Chunks *c, const float *x, int rows)
{
    int unsound = 0;
    TRY(network_project(c->net, c->logits, x, rows, c->projection));
    network_kernels(c->net)->download(c->host, c->logits, (int64_t)rows * c->vocabulary);
    TRY(kernels_status(network_kernels(c->net)));
#pragma omp parallel for schedule(static) num_threads(kernels_threads()) reduction(+ : unsound)
    for (int r = 0; r < rows; r++) unsound += !top_tokens(token + (int64_t)r * c->k, c->k, c->host + (int64_t)r * c->vocabulary, c->vocabulary);
    if (unsound) FAIL(ERR_FORMAT, "%s: a logit is not a number", model_path(network_model(c->net)));
    return OK;
}

static int tokens_of_all(int32_t *token, const Chunks *c, const Layout *layout, const float *x, int most)
{
    const int width = model_shape(network_model(c->net))->width;
    for (int s = 0; s < layout->n; s++)
        for (int first = 0; first < layout->length[s]; first += most) {
            const int rows = layout->length[s] - first < most ? layout->length[s] - first : most;
            const int64_t row = layout->offset[s] + first;
            TRY(chunk_tokens(token + row * c->k, c, x + row * width, rows));
        }
    return OK;
}

static int tokens_of_last(int32_t *token, const Chunks *c, const Layout *layout, const float *x, int most, float *gathered)
{
    const Kernels *k = network_kernels(c->net);
    const int64_t width = model_shape(network_model(c->net))->width;
    for (int first = 0; first < layout->n; first += most) {
        const int rows = layout->n - first < most ? layout->n - first : most;
        for (int r = 0; r < rows; r++) {
            const int64_t row = layout->offset[first + r] + layout->length[first + r] - 1;
            k->copy(gathered + r * width, x + row * width, width);
        }
        TRY(chunk_tokens(token + (int64_t)first * c->k, c, gathered, rows));
    }
    return OK;
}

int stream_tokens(int32_t *token, Network *net, const Layout *layout, const float *x, Projection projection, int k, bool last)
{
    const Kernels *kernels = network_kernels(net);
    const ModelShape *shape = model_shape(network_model(net));
    const int most = kernels->head_rows;
    const int64_t floats = (int64_t)most * shape->vocabulary;
    const Chunks c = { net, projection, kernels->alloc(floats), xmalloc(sizeof(float) * (size_t)floats), shape->vocabulary, k };
    float *gathered = last ? kernels->alloc((int64_t)most * shape->width) : NULL;
    int status = kernels_status(kernels);
    if (status == OK) status = last ? tokens_of_last(token, &c, layout, x, most, gathered) : tokens_of_all(token, &c, layout, x, most);
    kernels->release(c.logits);
    kernels->release(gathered);
    free(c.host);
    return status;
}
