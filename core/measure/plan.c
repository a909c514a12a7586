/*
 * plan.c - what the memory is used for, the most useful things first
 *
 * Cheapest in bytes per pass saved: residual streams at block boundaries (they save .4 of a pass),
 * clean logits (the head's second run), weights kept as float32 (their conversion), activations kept for a backward pass
 * (a fourth of it), larger chunks.
 */
#include "core/base/err.h"
#include "core/base/size.h"
#include "core/measure/internal.h"

int64_t scored_rows(const Corpus *corpus)
{
    int64_t rows = 0;
    for (int s = 0; s < corpus->n_segments; s++) rows += corpus->segment[s].length - corpus->segment[s].first_scored;
    return rows;
}

static int64_t total(const StudyPlan *plan, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels)
{
    int64_t stream = corpus->n_inputs * shape->width * (int64_t)sizeof(float);
    int64_t streams = 2;                                                        /* at work, and the clean final states */
    if (plan->keep_logits) streams--;
    if (plan->boundary_stride) streams += (shape->n_blocks - 1) / plan->boundary_stride;
    int64_t rows = scored_rows(corpus);
    int64_t logits = (plan->keep_logits ? rows : 2 * kernels->head_rows) * shape->vocabulary * (int64_t)sizeof(float);
    return network_bytes(shape, kernels, &plan->network, corpus->longest) + network_patch_bytes(shape, kernels)
         + backward_bytes(shape, kernels, &plan->backward, corpus->longest) + streams * stream + logits + rows * 24;
}

int study_plan(StudyPlan *out, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, int64_t memory)
{
    enum { MOST_WINDOWS = 1 << 24 };            /* what a random stream can tell apart */
    if (corpus->n_windows > MOST_WINDOWS) FAIL(ERR_ARGUMENT, "%d windows are more than the %d that a run can tell apart", corpus->n_windows, MOST_WINDOWS);
    StudyPlan plan = { .network = { .resident = false, .chunk_rows = corpus->longest } };
    plan.least = plan.bytes = total(&plan, shape, corpus, kernels);
    char least[SIZE_TEXT], given[SIZE_TEXT];
    if (plan.least > memory)
        FAIL(ERR_MEMORY, "this model and text need at least %s beside the mapped file, and memory is set to %s; "
             "raise memory, or use fewer or shorter windows", size_text(least, plan.least), size_text(given, memory));
    for (int stride = 1; stride < shape->n_blocks && !plan.boundary_stride; stride++) {
        StudyPlan more = plan;
        more.boundary_stride = stride;
        if (total(&more, shape, corpus, kernels) <= memory) plan = more;
    }
    StudyPlan more = plan;
    more.keep_logits = true;
    if (total(&more, shape, corpus, kernels) <= memory) plan = more;
    more = plan;
    more.network.resident = true;
    if (total(&more, shape, corpus, kernels) <= memory) plan = more;
    more = plan;
    more.backward.keep = !kernels_have_parts(kernels);
    if (total(&more, shape, corpus, kernels) <= memory) plan = more;
    for (int64_t rows = 2048; rows > corpus->longest && rows > plan.backward.rows; rows /= 2) {
        more = plan;
        more.backward.rows = rows;
        if (total(&more, shape, corpus, kernels) <= memory) plan = more;
    }
    for (int64_t rows = 8192; rows > corpus->longest; rows /= 2) {
        more = plan;
        more.network.chunk_rows = rows;
        if (total(&more, shape, corpus, kernels) > memory) continue;
        plan = more;
        break;
    }
    plan.bytes = total(&plan, shape, corpus, kernels);
    *out = plan;
    return OK;
}
