/*
 * plan.c - what the memory is used for, the most useful things first
 *
 * Cheapest in bytes per pass saved: residual streams at block boundaries (they save .4 of a pass),
 * clean logits (the head's second run), weights kept as float32 (their conversion), activations kept for a backward pass
 * (a fourth of it), larger chunks.  On a device the weights come first: those that are not there cross the link in every pass, which
 * takes several times as long as the pass.
 */
#include <string.h>

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

/* Studies that share a network: one, or two that run in turn. */
typedef struct { const ModelShape *shape; const Kernels *kernels; int n; const Corpus *const *corpus; StudyPlan plan[2]; int64_t memory; } Planner;

static int64_t stream_bytes(const Planner *p, int i) { return p->corpus[i]->n_inputs * p->shape->width * (int64_t)sizeof(float); }

/* What a study keeps beside its network. */
static int64_t kept_bytes(const Planner *p, int i)
{
    const StudyPlan *plan = &p->plan[i];
    const int64_t rows = scored_rows(p->corpus[i]), logits = (plan->keep_logits ? rows : 2 * p->kernels->head_rows) * p->shape->vocabulary * (int64_t)sizeof(float);
    int64_t streams = plan->keep_logits ? 0 : 1;                                /* the clean final states */
    if (plan->boundary_stride) streams += (p->shape->n_blocks - 1) / plan->boundary_stride;
    return streams * stream_bytes(p, i) + logits + (p->kernels->free_memory ? 0 : rows * 24);
}

/* What it works with: a stream, and a backward pass; a device has the one or the other. */
static int64_t work_bytes(const Planner *p, int i)
{
    const int64_t stream = stream_bytes(p, i), backward = backward_bytes(p->shape, p->kernels, &p->plan[i].backward, p->corpus[i]->longest);
    return !p->kernels->free_memory ? stream + backward : stream > backward ? stream : backward;
}

static int64_t total(const Planner *p)
{
    const NetworkPlan *network = &p->plan[0].network;
    int64_t kept = 0, work = 0;
    int longest = 0, together = 0;
    for (int i = 0; i < p->n; i++) {
        const int64_t rows = network->chunk_rows > p->plan[i].backward.rows ? network->chunk_rows : p->plan[i].backward.rows;
        const int own = most_together(p->corpus[i], rows);
        kept += kept_bytes(p, i);
        if (work_bytes(p, i) > work) work = work_bytes(p, i);
        if (p->corpus[i]->longest > longest) longest = p->corpus[i]->longest;
        if (own > together) together = own;
    }
    return network_bytes(p->shape, p->kernels, network, longest) + network_patch_bytes(p->shape, p->kernels, together) + kept + work;
}

static bool takes(Planner *p, int i, StudyPlan more)
{
    const Planner before = *p;
    p->plan[i] = more;
    for (int j = 0; j < p->n; j++) p->plan[j].network = more.network;
    if (total(p) <= p->memory) return true;
    *p = before;
    return false;
}

static void keep_boundaries(Planner *p, int i)
{
    StudyPlan more = p->plan[i];
    do more.boundary_stride++;
    while (more.boundary_stride < p->shape->n_blocks && !takes(p, i, more));
}

static void keep_logits(Planner *p, int i)
{
    StudyPlan more = p->plan[i];
    more.keep_logits = true;
    takes(p, i, more);
}

static void keep_weights(Planner *p)
{
    StudyPlan more = p->plan[0];
    more.network.resident = true;
    takes(p, 0, more);
}

static void pass_back_together(Planner *p, int i)
{
    StudyPlan more = p->plan[i];
    more.backward.keep = !kernels_have_parts(p->kernels);
    takes(p, i, more);
    for (int64_t rows = 2048; rows > p->corpus[i]->longest && rows > p->plan[i].backward.rows; rows /= 2) {
        more = p->plan[i];
        more.backward.rows = rows;
        takes(p, i, more);
    }
}

static void pass_together(Planner *p)
{
    StudyPlan more = p->plan[0];
    int64_t longest = 0;
    for (int i = 0; i < p->n; i++) longest = p->corpus[i]->longest > longest ? p->corpus[i]->longest : longest;
    for (more.network.chunk_rows = 8192; more.network.chunk_rows > longest && !takes(p, 0, more);) more.network.chunk_rows /= 2;
}

static int refuse(const Planner *p, int64_t needed)
{
    char least[SIZE_TEXT], given[SIZE_TEXT];
    FAIL(ERR_MEMORY, "this model and text need at least %s beside the mapped file, and memory is set to %s; "
         "raise memory, or use fewer or shorter windows", size_text(least, needed), size_text(given, p->memory));
}

static int plan_studies(Planner *p)
{
    enum { MOST_WINDOWS = 1 << 24 };            /* what a random stream can tell apart */
    for (int i = 0; i < p->n; i++) {
        const int windows = p->corpus[i]->n_windows;
        if (windows > MOST_WINDOWS) FAIL(ERR_ARGUMENT, "%d windows are more than the %d that a run can tell apart", windows, MOST_WINDOWS);
        if (p->corpus[i]->longest > p->plan[0].network.chunk_rows) p->plan[0].network.chunk_rows = p->corpus[i]->longest;
    }
    for (int i = 1; i < p->n; i++) p->plan[i].network = p->plan[0].network;
    const int64_t least = total(p);
    if (least > p->memory) return refuse(p, least);
    if (p->kernels->free_memory) keep_weights(p);
    for (int i = 0; i < p->n; i++) keep_boundaries(p, i);
    for (int i = 0; i < p->n; i++) keep_logits(p, i);
    if (!p->kernels->free_memory) keep_weights(p);
    for (int i = 0; i < p->n; i++) pass_back_together(p, i);
    pass_together(p);
    p->plan[0].least = least;
    p->plan[0].bytes = total(p);
    return OK;
}

int study_plan(StudyPlan *out, const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, int64_t memory)
{
    Planner p = { shape, kernels, 1, &corpus, { { .boundary_stride = 0 } }, memory };
    TRY(plan_studies(&p));
    *out = p.plan[0];
    return OK;
}

int study_plan_two(StudyPlan plan[2], const ModelShape *shape, const Corpus *const corpus[2], const Kernels *kernels, int64_t memory)
{
    Planner p = { shape, kernels, 2, corpus, { { .boundary_stride = 0 } }, memory };
    TRY(plan_studies(&p));
    memcpy(plan, p.plan, sizeof p.plan);
    return OK;
}
