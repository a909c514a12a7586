/*
 * gradient_matrix.c - whole matrices from a backward pass: a layer's gradient, its Kronecker factors
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/measure/gradient_pass.h"

/* One layer's matrices, in the back end's memory; NULL: not wanted. */
typedef struct {
    int layer;
    float *gradient;                /* [rows][cols]               */
    float *input, *output;          /* [cols][cols], [rows][rows] */
    int64_t n_rows;                 /* positions summed           */
} Slot;

/* The loss is the pass's own; some layers, ascending, leave their matrices. */
typedef struct { GradientPass *pass; int n; Slot *slot; } Collector;

static int collect_loss(void *context, float *logits, int segment, int first, int n)
{
    return gradient_pass_loss(((Collector *)context)->pass, logits, segment, first, n);
}

static int collect_layer(void *context, const LayerGradient *g)
{
    Collector *c = context;
    const Kernels *k = c->pass->study->kernels;
    Slot *s = c->slot, *end = c->slot + c->n;
    while (s < end && s->layer != g->layer) s++;
    if (s == end) return OK;
    const int add = s->n_rows > 0;
    if (s->gradient) k->weight_gradient(s->gradient, g->dy, g->x, &g->batch, (int)g->cols, (int)g->rows, add);
    if (s->input) k->weight_gradient(s->input, g->x, g->x, &g->batch, (int)g->cols, (int)g->cols, add);
    if (s->output) k->weight_gradient(s->output, g->dy, g->dy, &g->batch, (int)g->rows, (int)g->rows, add);
    for (int b = 0; b < g->batch.n; b++) s->n_rows += g->batch.length[b];
    return OK;
}

/* Segments [first, end) of the corpus. */
static int collect(Collector *c, Study *study, int first, int end)
{
    const GradientVisitor visitor = { c, model_layer(study->model, c->slot[0].layer)->block, collect_loss, collect_layer };
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
    Slot slot = { .layer = layer, .gradient = k->alloc(shape->rows * shape->cols) };
    int status = run(&(Collector){ NULL, 1, &slot }, study, request, first, end);
    if (status == OK) k->download(out, slot.gradient, shape->rows * shape->cols);
    k->release(slot.gradient);
    return kernels_status_after(k, status);
}

/* ---- Kronecker factors ---- */

static float *download_mean(const Kernels *k, const float *sum, int64_t n, int64_t count)
{
    float *mean = xmalloc(sizeof *mean * (size_t)(n * n));
    k->download(mean, sum, n * n);
    for (int64_t i = 0; i < n * n; i++) mean[i] /= (float)count;
    return mean;
}

static int visit_slot(Study *study, const Slot *slot, KroneckerVisitor visit, void *context)
{
    const Layer *shape = model_layer(study->model, slot->layer);
    float *input = download_mean(study->kernels, slot->input, shape->cols, slot->n_rows);
    float *output = download_mean(study->kernels, slot->output, shape->rows, slot->n_rows);
    int status = kernels_status(study->kernels);
    if (status == OK) status = visit(context, slot->layer, input, output);
    free(input);
    free(output);
    return status;
}

static int64_t factor_bytes(const Study *study, int layer)
{
    const Layer *shape = model_layer(study->model, layer);
    return (shape->rows * shape->rows + shape->cols * shape->cols) * (int64_t)sizeof(float);
}

static int some_layers(Study *study, const GradientRequest *request, const int *layer, int n, KroneckerVisitor visit, void *context)
{
    const Kernels *k = study->kernels;
    Slot *slot = xcalloc((size_t)n, sizeof *slot);
    for (int i = 0; i < n; i++) {
        const Layer *shape = model_layer(study->model, layer[i]);
        slot[i] = (Slot){ .layer = layer[i], .input = k->alloc(shape->cols * shape->cols), .output = k->alloc(shape->rows * shape->rows) };
    }
    int status = run(&(Collector){ NULL, n, slot }, study, request, 0, study->layout.n);
    for (int i = 0; i < n && status == OK; i++) status = visit_slot(study, &slot[i], visit, context);
    for (int i = 0; i < n; i++) k->release(slot[i].input), k->release(slot[i].output);
    free(slot);
    return status;
}

int measure_kronecker(Study *study, const GradientRequest *request, int64_t memory, KroneckerVisitor visit, void *context)
{
    int status = OK;
    for (int first = 0, n; first < request->n_layers && status == OK; first += n) {
        int64_t bytes = factor_bytes(study, request->layer[first]);
        for (n = 1; first + n < request->n_layers; n++) {
            bytes += factor_bytes(study, request->layer[first + n]);
            if (bytes > memory) break;
        }
        status = some_layers(study, request, request->layer + first, n, visit, context);
    }
    return status;
}
