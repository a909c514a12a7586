#include "core/measure/compare.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/size.h"
#include "core/measure/internal.h"

enum { MOST_ROWS = 8192, LEAST_ROWS = 4096 };       /* rows of a slice: enough to share the weights well */

typedef struct {
    const Corpus *corpus;
    const Kernels *kernels;
    Network *net, *other;           /* other NULL where one model is measured */
    Comparison *sums;
} Compare;

void comparison_free(Comparison *c)
{
    free(c->nll);
    free(c->other_nll);
    free(c->kl);
    free(c->same_top);
    *c = (Comparison){ 0 };
}

static Corpus slice(const Corpus *corpus, int first, int n)
{
    Corpus part = *corpus;
    part.segment = corpus->segment + first;
    part.n_segments = n;
    part.n_inputs = 0;
    for (int s = 0; s < n; s++) part.n_inputs += part.segment[s].length;
    return part;
}

static int all_blocks(Network *net, float *x, const Layout *layout, const Corpus *corpus)
{
    TRY(network_embed(net, x, layout, corpus));
    for (int b = 0; b < model_shape(network_model(net))->n_blocks; b++) {
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        TRY(network_block(net, x, layout, b, NULL));
    }
    return OK;
}

/* A study of one slice: only its stream, its clean log sums and, for a second model, its final states. */
static int measure_slice(const Compare *c, const Corpus *part)
{
    const Kernels *k = c->kernels;
    int64_t scored = scored_rows(part);
    Study study = { .corpus = part, .kernels = k, .shape = model_shape(network_model(c->net)) };
    layout_init(&study.layout, part);
    int64_t floats = study.layout.rows * study.shape->width;
    study.log_sum = xmalloc(sizeof *study.log_sum * (size_t)scored);
    study.top = xmalloc(sizeof *study.top * (size_t)scored);
    study.final = k->alloc(floats);
    double *unused = xcalloc(2 * (size_t)part->n_windows, sizeof *unused);
    study.net = c->net;
    int status = all_blocks(c->net, study.final, &study.layout, part);
    if (status == OK) status = study_losses(&study, c->net, study.final, true, c->sums->nll, unused, unused + part->n_windows);
    if (status == OK && c->other) {
        study.x = k->alloc(study.layout.rows * model_shape(network_model(c->other))->width);
        status = all_blocks(c->other, study.x, &study.layout, part);
        if (status == OK) status = study_losses(&study, c->other, study.x, false, c->sums->other_nll, c->sums->kl, c->sums->same_top);
        k->release(study.x);
    }
    k->release(study.final);
    free(unused);
    free(study.log_sum);
    free(study.top);
    layout_free(&study.layout);
    return status;
}

static int measure_slices(const Compare *c, int64_t rows, CompareProgress progress, void *context)
{
    int first = 0;
    while (first < c->corpus->n_segments) {
        int n = 0;
        int64_t taken = 0;
        while (first + n < c->corpus->n_segments && (n == 0 || taken + c->corpus->segment[first + n].length <= rows))
            taken += c->corpus->segment[first + n++].length;
        Corpus part = slice(c->corpus, first, n);
        TRY(measure_slice(c, &part));
        for (int s = 0; s < n && progress; s++) progress(context, part.segment[s].length);
        first += n;
    }
    return OK;
}

/* The plan of the networks and the rows of a slice: resident weights if they fit beside two streams. */
static int plan_slices(NetworkPlan *plan, int64_t *rows, const ModelShape *a, const ModelShape *b, const Corpus *corpus,
                       const Kernels *kernels, int64_t memory)
{
    int64_t row = (a->width + (b ? b->width : 0)) * (int64_t)sizeof(float) + 32;
    int64_t logits = 2 * (int64_t)kernels->head_rows * a->vocabulary * (int64_t)sizeof(float), least = 0;
    int64_t longest = corpus->longest, wish = longest > LEAST_ROWS ? longest : LEAST_ROWS;
    for (int resident = 1; resident >= 0; resident--)
        for (int64_t chunk = wish; chunk >= longest; chunk = chunk > longest && chunk / 2 < longest ? longest : chunk / 2) {
            NetworkPlan try = { .resident = resident, .chunk_rows = chunk };
            int64_t fixed = network_bytes(a, kernels, &try, corpus->longest) + (b ? network_bytes(b, kernels, &try, corpus->longest) : 0) + logits;
            least = fixed + longest * row;
            if (least <= memory) {
                int64_t fit = (memory - fixed) / row;
                *plan = try;
                *rows = resident && fit > MOST_ROWS ? MOST_ROWS : fit;
                return OK;
            }
            if (chunk == longest) break;
        }
    char needed[SIZE_TEXT], given[SIZE_TEXT];
    FAIL(ERR_MEMORY, "this model and text need at least %s beside the mapped files, and memory is set to %s; raise --memory or shorten --context",
         size_text(needed, least), size_text(given, memory));
}

static int sums_to_means(Comparison *c, const Corpus *corpus, const char *path, const char *other)
{
    int status = window_means(c->nll, corpus);
    if (status != OK) return err_context(status, "%s", path);
    if (!other) return OK;
    status = window_means(c->other_nll, corpus);
    if (status == OK) status = window_means(c->kl, corpus);
    if (status == OK) status = window_means(c->same_top, corpus);
    return status == OK ? OK : err_context(status, "%s", other);
}

int compare_models(Comparison *out, const Model *model, const Model *other, const Corpus *corpus, const Kernels *kernels,
                   int64_t memory, CompareProgress progress, void *context)
{
    const ModelShape *a = model_shape(model), *b = other ? model_shape(other) : NULL;
    if (b && a->vocabulary != b->vocabulary)
        FAIL(ERR_ARGUMENT, "%s has a vocabulary of %d tokens and %s of %d: they are not the same model", model_path(model), a->vocabulary, model_path(other), b->vocabulary);
    NetworkPlan plan;
    int64_t rows = 0;
    TRY(plan_slices(&plan, &rows, a, b, corpus, kernels, memory));
    size_t n = (size_t)corpus->n_windows;
    Comparison sums = { .n_windows = corpus->n_windows, .nll = xcalloc(n, sizeof(double)) };
    if (other) {
        sums.other_nll = xcalloc(n, sizeof(double));
        sums.kl = xcalloc(n, sizeof(double));
        sums.same_top = xcalloc(n, sizeof(double));
    }
    Compare c = { .corpus = corpus, .kernels = kernels, .sums = &sums };
    int status = network_open(&c.net, model, kernels, &plan, corpus->longest);
    if (status == OK && other) status = network_open(&c.other, other, kernels, &plan, corpus->longest);
    if (status == OK) status = measure_slices(&c, rows, progress, context);
    if (status == OK) status = sums_to_means(&sums, corpus, model_path(model), other ? model_path(other) : NULL);
    network_close(&c.net);
    network_close(&c.other);
    if (status != OK) comparison_free(&sums);
    else *out = sums;
    return status;
}
