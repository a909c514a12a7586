#include "core/measure/gradient_sums.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/network/device.h"

/* Rows that pass together, in whole windows: enough that converting the weights of a block costs little beside using them. */
enum { ROWS = 512 };

typedef struct {
    GradientSums *sums;
    const Model *model;
    const Corpus *text;
    const Kernels *kernels;
    Layout layout;
    float *device, *host;           /* one layer's gradient, in the back end's memory and here */
} Pass;

/* Segments of whole windows from s on that pass together: at least one window. */
static int together(const Layout *l, int s, int64_t *rows)
{
    int n = 0;
    int64_t sum = 0;
    *rows = 0;
    for (int end = s; end < l->n; end++) {
        sum += l->length[end];
        if (n && sum > ROWS) break;
        if (end + 1 < l->n && l->window[end + 1] == l->window[end]) continue;
        n = end + 1 - s;
        *rows = sum;
    }
    return n;
}

static int64_t most_rows(const Layout *l)
{
    int64_t most = 0, rows;
    for (int s = 0; s < l->n;) {
        s += together(l, s, &rows);
        most = rows > most ? rows : most;
    }
    return most;
}

static NetworkPlan network_plan(const Corpus *text) { return (NetworkPlan){ .chunk_rows = text->longest }; }

static int64_t largest_layer(const ModelShape *shape)
{
    const int64_t heads = (int64_t)shape->n_heads * shape->head_dim;
    return shape->width * (heads > shape->feed_forward ? heads : shape->feed_forward);
}

int64_t gradient_sums_bytes(const ModelShape *shape, const Corpus *text, const Kernels *kernels)
{
    const NetworkPlan plan = network_plan(text);
    Layout layout;
    layout_init(&layout, text);
    const BackwardPlan backward = { false, most_rows(&layout) };
    layout_free(&layout);
    const int copies = kernels->free_memory ? 1 : 2;        /* on a device, the other one is the host's */
    return network_bytes(shape, kernels, &plan, text->longest) + backward_bytes(shape, kernels, &backward, text->longest)
         + copies * largest_layer(shape) * (int64_t)sizeof(float);
}

int64_t gradient_sums_kept(const ModelShape *shape)
{
    const int64_t heads = (int64_t)shape->n_heads * shape->head_dim, keys = (int64_t)shape->n_kv_heads * shape->head_dim;
    return shape->n_blocks * (int64_t)shape->width * (2 * heads + 2 * keys + 3 * (int64_t)shape->feed_forward) * (int64_t)sizeof(float);
}

double gradient_sums_flops(const ModelShape *shape, const Corpus *text)
{
    return backward_flops(shape, text->n_inputs, (double)text->n_inputs / text->n_segments, text->n_scored, false);
}

/* ---- the pass ---- */

/* Gradient of the summed loss: every window is divided by its own number of positions when it is added. */
static int loss(void *context, float *logits, int segment, int first, int n)
{
    const Pass *p = context;
    const int V = model_shape(p->model)->vocabulary;
    const int32_t *target = p->text->segment[segment].targets + first;
    double *number = xmalloc(sizeof *number * 2 * (size_t)n);
    int32_t *top = xmalloc(sizeof *top * (size_t)n);
    p->kernels->log_sum_exp(number, top, number + n, logits, target, n, V);
    p->kernels->logit_difference(logits, number, NULL, NULL, target, n, V);
    free(number);
    free(top);
    return kernels_status(p->kernels);
}

static void add_magnitudes(float *sum, const float *g, int64_t n, double tokens)
{
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int64_t i = 0; i < n; i++) sum[i] = (float)(sum[i] + fabs(g[i] / tokens));
}

static void add_squares(float *sum, const float *g, int64_t n, double tokens)
{
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int64_t i = 0; i < n; i++) sum[i] = (float)(sum[i] + g[i] / tokens * (g[i] / tokens));
}

static void add_window(const Pass *p, const LayerGradient *g, int window)
{
    const int64_t n = g->rows * g->cols;
    const double tokens = (double)p->text->tokens[window];
    p->kernels->download(p->host, p->device, n);
    if (p->sums->gradient) add_magnitudes(p->sums->gradient[g->layer], p->host, n, tokens);
    if (p->sums->fisher) add_squares(p->sums->fisher[g->layer], p->host, n, tokens);
}

static int layer(void *context, const LayerGradient *g)
{
    const Pass *p = context;
    const int *window = p->layout.window + g->first_segment;
    for (int b = 0, end; b < g->batch.n; b = end) {
        for (end = b + 1; end < g->batch.n && window[end] == window[b];) end++;
        const Ragged own = { end - b, g->batch.length + b, g->batch.offset + b };
        p->kernels->weight_gradient(p->device, g->dy, g->x, &own, (int)g->cols, (int)g->rows, 0);
        add_window(p, g, window[b]);
    }
    return kernels_status(p->kernels);
}

static int check_finite(const Pass *p, float *const *sum)
{
    for (int l = 0; sum && l < p->sums->n_layers; l++) {
        const Layer *shape = model_layer(p->model, l);
        for (int64_t i = 0; i < shape->rows * shape->cols; i++)
            if (!isfinite(sum[l][i])) FAIL(ERR_FORMAT, "the gradient of the calibration text by %s is not a finite number", shape->name);
    }
    return OK;
}

static int run(Pass *p, Network *net)
{
    const GradientVisitor visitor = { p, 0, loss, layer };
    int64_t rows;
    for (int s = 0, n; s < p->layout.n; s += n) {
        n = together(&p->layout, s, &rows);
        const BackwardPlan plan = { false, rows };
        TRY(network_backward(net, p->text, &p->layout, s, n, &plan, NULL, &visitor));
    }
    TRY(check_finite(p, p->sums->gradient));
    return check_finite(p, p->sums->fisher);
}

static float **zeros(const Model *model)
{
    const int n = model_layer_count(model);
    float **sum = xmalloc(sizeof *sum * (size_t)n);
    for (int l = 0; l < n; l++) sum[l] = xcalloc((size_t)(model_layer(model, l)->rows * model_layer(model, l)->cols), sizeof **sum);
    return sum;
}

int gradient_sums(GradientSums *out, const Model *model, const Corpus *text, const Kernels *kernels, bool gradient, bool fisher)
{
    const NetworkPlan plan = network_plan(text);
    const int64_t largest = largest_layer(model_shape(model));
    Network *net = NULL;
    *out = (GradientSums){ .n_layers = model_layer_count(model), .gradient = gradient ? zeros(model) : NULL, .fisher = fisher ? zeros(model) : NULL };
    TRY(network_open(&net, model, kernels, &plan, text->longest));
    Pass p = { .sums = out, .model = model, .text = text, .kernels = kernels, .device = kernels->alloc(largest) };
    p.host = xmalloc(sizeof(float) * (size_t)largest);
    layout_init(&p.layout, text);
    int status = run(&p, net);
    kernels->release(p.device);
    free(p.host);
    layout_free(&p.layout);
    network_close(&net);
    return kernels_status_after(kernels, status);
}

static void free_sums(float **sum, int n)
{
    for (int l = 0; sum && l < n; l++) free(sum[l]);
    free(sum);
}

void gradient_sums_free(GradientSums *sums)
{
    free_sums(sums->gradient, sums->n_layers);
    free_sums(sums->fisher, sums->n_layers);
    *sums = (GradientSums){ 0 };
}
