#include "core/measure/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/measure/internal.h"

int study_open(Study **out, const Model *model, const Corpus *corpus, const Kernels *kernels, const StudyPlan *plan,
               uint64_t seed, Store *store)
{
    Study *study = xcalloc(1, sizeof *study);
    *study = (Study){ .model = model, .corpus = corpus, .kernels = kernels, .shape = model_shape(model),
                      .plan = *plan, .seed = seed, .store = store, .longest = corpus->longest };
    layout_init(&study->layout, corpus);
    *out = study;
    return OK;
}

void study_share(Study *study, Study *lender)
{
    study->lender = lender;
    lender->borrower = study;
    if (study->longest > lender->longest) lender->longest = study->longest;
}

static void leave_network(Study *study)
{
    if (study->borrower) study->borrower->net = NULL;
    if (study->lender) study->net = NULL;
    else network_close(&study->net);
}

static void release_states(Study *study)
{
    for (int b = 0; study->boundary && b < study->shape->n_blocks; b++) study->kernels->release(study->boundary[b]);
    free(study->boundary);
    study->boundary = NULL;
    float **all[] = { &study->x, &study->final, &study->logits };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        study->kernels->release(*all[i]);
        *all[i] = NULL;
    }
    free(study->log_sum);
    free(study->top);
    free(study->clean_nll);
    study->clean_nll = NULL;
    study->log_sum = NULL;
    study->top = NULL;
    leave_network(study);
}

void study_close(Study **study)
{
    if (!*study) return;
    release_states(*study);
    if ((*study)->lender) (*study)->lender->borrower = NULL;
    layout_free(&(*study)->layout);
    free(*study);
    *study = NULL;
}

static int64_t stream_floats(const Study *study) { return study->layout.rows * study->shape->width; }

static bool keeps_boundary(const Study *study, int block)
{
    return block > 0 && study->plan.boundary_stride && block % study->plan.boundary_stride == 0;
}

static int clean_blocks(Study *study)
{
    TRY(network_embed(study->net, study->x, &study->layout, study->corpus));
    for (int b = 0; b < study->shape->n_blocks; b++) {
        if (keeps_boundary(study, b)) {
            study->boundary[b] = study->kernels->alloc(stream_floats(study));
            study->kernels->copy(study->boundary[b], study->x, stream_floats(study));
        }
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        TRY(network_block(study->net, study->x, &study->layout, b, NULL));
    }
    return OK;
}

static int clean_losses(Study *study)
{
    const Kernels *k = study->kernels;
    int64_t scored = scored_rows(study->corpus);
    study->log_sum = xmalloc(sizeof *study->log_sum * (size_t)scored);
    study->top = xmalloc(sizeof *study->top * (size_t)scored);
    if (study->plan.keep_logits) {
        study->logits = k->alloc(scored * study->shape->vocabulary);
    } else {
        study->final = k->alloc(stream_floats(study));
        k->copy(study->final, study->x, stream_floats(study));
    }
    int n = study->corpus->n_windows;
    double *unused = xcalloc(2 * (size_t)n, sizeof *unused);
    study->clean_nll = xcalloc((size_t)n, sizeof *study->clean_nll);
    int status = study_losses(study, study->net, study->x, true, study->clean_nll, unused, unused + n);
    free(unused);
    if (status == OK) status = window_means(study->clean_nll, study->corpus);
    return status == OK ? OK : err_context(status, "%s, unperturbed", model_path(study->model));
}

int study_network(Study *study)
{
    if (study->net) return OK;
    if (!study->lender) return network_open(&study->net, study->model, study->kernels, &study->plan.network, study->longest);
    TRY(study_network(study->lender));
    study->net = study->lender->net;
    return OK;
}

void study_take_stream(Study *study)
{
    if (!study->x) study->x = study->kernels->alloc(stream_floats(study));
}

void study_leave_stream(Study *study)
{
    if (!study->kernels->free_memory) return;
    study->kernels->release(study->x);
    study->x = NULL;
}

int study_prepare(Study *study)
{
    if (study->clean_nll) return OK;
    TRY(study_network(study));
    study_take_stream(study);
    study->boundary = xcalloc((size_t)study->shape->n_blocks, sizeof *study->boundary);
    int status = clean_blocks(study);
    if (status == OK) status = clean_losses(study);
    study_leave_stream(study);
    if (status != OK) release_states(study);
    return status;
}

static int show_blocks(Study *study, StreamVisitor visit, void *context)
{
    TRY(network_embed(study->net, study->x, &study->layout, study->corpus));
    TRY(visit(context, study->net, &study->layout, -1, study->x));
    for (int b = 0; b < study->shape->n_blocks; b++) {
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        TRY(network_block(study->net, study->x, &study->layout, b, NULL));
        TRY(visit(context, study->net, &study->layout, b, study->x));
    }
    return OK;
}

int study_streams(Study *study, StreamVisitor visit, void *context)
{
    TRY(study_network(study));
    study_take_stream(study);
    int status = show_blocks(study, visit, context);
    study_leave_stream(study);
    return status;
}

void study_calibrate(Study *study, EvidenceSource *source) { study->evidence = source; }

int study_apply(float *out, PerturbationError *error, Study *study, const MapEntry *entry, Draw draw)
{
    const Layer *layer = model_layer(study->model, entry->layer);
    const int64_t n = layer->rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n), *own = out ? out : xmalloc(sizeof *own * (size_t)n);
    const LayerWeights weights = { w, layer->rows, layer->cols, entry->layer };
    int status = model_read(w, study->model, layer->type, layer->block, 0, layer->rows);
    if (status == OK) status = evidence_apply(own, error, study->evidence, entry, &weights, draw, NULL);
    if (status != OK) err_context(status, "%s", layer->name);
    free(w);
    if (!out) free(own);
    return status;
}

const Model *study_model(const Study *study) { return study->model; }
const Corpus *study_corpus(const Study *study) { return study->corpus; }
Store *study_store(const Study *study) { return study->store; }
const Kernels *study_kernels(const Study *study) { return study->kernels; }
EvidenceSource *study_source(const Study *study) { return study->evidence; }
uint64_t study_seed(const Study *study) { return study->seed; }
int study_executed(const Study *study) { return study->executed; }
