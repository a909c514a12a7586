/*
 * gradient_matrix.c - whole matrices from a backward pass: a layer's gradient, its Kronecker factors
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/measure/gradient_pass.h"

/* The loss is the pass's own; one layer leaves its matrices. */
typedef struct {
    GradientPass *pass;
    int layer;
    float *gradient;                /* [rows][cols], NULL: not wanted */
    float *input, *output;          /* [cols][cols], [rows][rows]     */
    int64_t n_rows;                 /* positions summed               */
    int add;
} Collector;

static int collect_loss(void *context, float *logits, int segment, int first, int n)
{
    return gradient_pass_loss(((Collector *)context)->pass, logits, segment, first, n);
}

static int collect_layer(void *context, const LayerGradient *g)
{
    Collector *c = context;
    const Kernels *k = c->pass->study->kernels;
    if (g->layer != c->layer) return OK;
    if (c->gradient) k->weight_gradient(c->gradient, g->dy, g->x, &g->batch, (int)g->cols, (int)g->rows, c->add);
    if (c->input) k->weight_gradient(c->input, g->x, g->x, &g->batch, (int)g->cols, (int)g->cols, c->add);
    if (c->output) k->weight_gradient(c->output, g->dy, g->dy, &g->batch, (int)g->rows, (int)g->rows, c->add);
    for (int b = 0; b < g->batch.n; b++) c->n_rows += g->batch.length[b];
    c->add = 1;
    return OK;
}

/* Segments [first, end) of the corpus. */
static int collect(Collector *c, Study *study, int first, int end)
{
    const GradientVisitor visitor = { c, model_layer(study->model, c->layer)->block, collect_loss, collect_layer };
    for (int s = first; s < end;) {
        int n = backward_segments(&study->layout, s, &study->plan.backward);
        if (s + n > end) n = end - s;
        TRY(network_backward(study->net, study->corpus, &study->layout, s, n, &study->plan.backward,
                             c->pass->point ? &c->pass->point->patch : NULL, &visitor));
        s += n;
    }
    return OK;
}

static int run(Collector *c, Study *study, const GradientRequest *request, int first, int end)
{
    GradientPass pass;
    Replacement point = { 0 };
    TRY(request->point || request->probe == PROBE_KL ? study_prepare(study) : study_network(study));
    if (request->point) replacement_init(&point, study, request->point);
    gradient_pass_init(&pass, study, request, request->point ? &point : NULL);
    c->pass = &pass;
    int status = collect(c, study, first, end);
    gradient_pass_free(&pass);
    if (request->point) replacement_free(&point);
    return status;
}

int measure_gradient(float *out, Study *study, const GradientRequest *request, int window, int layer)
{
    const Layer *shape = model_layer(study->model, layer);
    const Kernels *k = study->kernels;
    int first = 0, end;
    while (study->layout.window[first] != window) first++;
    for (end = first; end < study->layout.n && study->layout.window[end] == window;) end++;
    Collector c = { .layer = layer, .gradient = k->alloc(shape->rows * shape->cols) };
    int status = run(&c, study, request, first, end);
    if (status == OK) k->download(out, c.gradient, shape->rows * shape->cols);
    k->release(c.gradient);
    return status;
}

static void download_mean(float *out, const Kernels *k, const float *sum, int64_t n, int64_t count)
{
    k->download(out, sum, n * n);
    for (int64_t i = 0; i < n * n; i++) out[i] /= (float)count;
}

int measure_kronecker(float *input, float *gradient, Study *study, const GradientRequest *request, int layer)
{
    const Layer *shape = model_layer(study->model, layer);
    const Kernels *k = study->kernels;
    Collector c = { .layer = layer, .input = k->alloc(shape->cols * shape->cols), .output = k->alloc(shape->rows * shape->rows) };
    int status = run(&c, study, request, 0, study->layout.n);
    if (status == OK) {
        download_mean(input, k, c.input, shape->cols, c.n_rows);
        download_mean(gradient, k, c.output, shape->rows, c.n_rows);
    }
    k->release(c.input);
    k->release(c.output);
    return status;
}
