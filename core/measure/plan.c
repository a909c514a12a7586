/*
 * plan.c - what the memory is used for, the most useful things first
 *
 * Cheapest in bytes per pass saved: residual streams at block boundaries (they save .4 of a pass),
 * clean logits (the head's second run), weights kept as float32 (their conversion), activations kept for a backward pass
 * (a fourth of it), larger chunks.  On a device the weights come first: those that are not there cross the link in every pass, which
 * takes several times as long as the pass.
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

/* The most segments that pass together, each of which may have weights of its own. */
static int most_together(const Corpus *corpus, int64_t limit)
{
    int most = 1;
    for (int s = 0; s < corpus->n_segments && most < BACKWARD_SEGMENTS; s++) {
        int64_t rows = 0;
        int n = 0;
        while (n < BACKWARD_SEGMENTS && s + n < corpus->n_segments && rows + corpus->segment[s + n].length <= limit) rows += corpus->segment[s + n++].length;
        most = n > most ? n : most;
    }
    return most;
}

static int64_t total(const StudyPlan *plan, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels)
{
    int64_t stream = corpus->n_inputs * shape->width * (int64_t)sizeof(float);
    int64_t streams = 2;                                                        /* at work, and the clean final states */
    if (plan->keep_logits) streams--;
    if (plan->boundary_stride) streams += (shape->n_blocks - 1) / plan->boundary_stride;
    int64_t rows = scored_rows(corpus), host = kernels->free_memory ? 0 : rows * 24;
    int64_t logits = (plan->keep_logits ? rows : 2 * kernels->head_rows) * shape->vocabulary * (int64_t)sizeof(float);
    const int64_t together = plan->network.chunk_rows > plan->backward.rows ? plan->network.chunk_rows : plan->backward.rows;
    return network_bytes(shape, kernels, &plan->network, corpus->longest) + network_patch_bytes(shape, kernels, most_together(corpus, together))
         + backward_bytes(shape, kernels, &plan->backward, corpus->longest) + streams * stream + logits + host;
}

typedef struct { StudyPlan plan; const ModelShape *shape; const Corpus *corpus; const Kernels *kernels; int64_t memory; } Planner;

static bool takes(Planner *p, StudyPlan more)
{
    if (total(&more, p->shape, p->corpus, p->kernels) > p->memory) return false;
    p->plan = more;
    return true;
}

static void keep_boundaries(Planner *p)
{
    StudyPlan more = p->plan;
    do more.boundary_stride++;
    while (more.boundary_stride < p->shape->n_blocks && !takes(p, more));
}

static void keep_logits(Planner *p)
{
    StudyPlan more = p->plan;
    more.keep_logits = true;
    takes(p, more);
}

static void keep_weights(Planner *p)
{
    StudyPlan more = p->plan;
    more.network.resident = true;
    takes(p, more);
}

static void pass_more_rows(Planner *p)
{
    StudyPlan more = p->plan;
    more.backward.keep = !kernels_have_parts(p->kernels);
    takes(p, more);
    for (int64_t rows = 2048; rows > p->corpus->longest && rows > p->plan.backward.rows; rows /= 2) {
        more = p->plan;
        more.backward.rows = rows;
        takes(p, more);
    }
    more = p->plan;
    for (more.network.chunk_rows = 8192; more.network.chunk_rows > p->corpus->longest && !takes(p, more);) more.network.chunk_rows /= 2;
}

int study_plan(StudyPlan *out, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, int64_t memory)
{
    enum { MOST_WINDOWS = 1 << 24 };            /* what a random stream can tell apart */
    if (corpus->n_windows > MOST_WINDOWS) FAIL(ERR_ARGUMENT, "%d windows are more than the %d that a run can tell apart", corpus->n_windows, MOST_WINDOWS);
    Planner p = { { .network = { .resident = false, .chunk_rows = corpus->longest } }, shape, corpus, kernels, memory };
    p.plan.least = total(&p.plan, shape, corpus, kernels);
    char least[SIZE_TEXT], given[SIZE_TEXT];
    if (p.plan.least > memory)
        FAIL(ERR_MEMORY, "this model and text need at least %s beside the mapped file, and memory is set to %s; "
             "raise memory, or use fewer or shorter windows", size_text(least, p.plan.least), size_text(given, memory));
    if (kernels->free_memory) keep_weights(&p);
    keep_boundaries(&p);
    keep_logits(&p);
    if (!kernels->free_memory) keep_weights(&p);
    pass_more_rows(&p);
    p.plan.bytes = total(&p.plan, shape, corpus, kernels);
    *out = p.plan;
    return OK;
}
