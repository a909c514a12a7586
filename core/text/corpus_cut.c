#include "core/text/corpus_cut.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void cut_segment(Cut *cut, int window, const int32_t *ids, int n, int first_target)
{
    assert(n >= 2 && first_target >= 1 && first_target < n);
    for (int t = 0; t + 1 < n; t++) {
        ids_push(&cut->inputs, ids[t]);
        ids_push(&cut->targets, t + 1 < first_target ? -1 : ids[t + 1]);
    }
    int count = cut->n_segments++;
    if ((count & (count - 1)) == 0)                         /* full at 0, 1, 2, 4, 8 ... */
        cut->segment = xrealloc(cut->segment, (count ? 2 * (size_t)count : 1) * sizeof *cut->segment);
    cut->segment[count] = (Segment){ .window = window, .length = n - 1, .first_scored = first_target - 1 };
}

void cut_windows(Cut *cut, const int32_t *ids, int n_windows, int context)
{
    for (int w = 0; w < n_windows; w++) cut_segment(cut, w, ids + (int64_t)w * context, context, 1);
}

void cut_half_windows(Cut *cut, const int32_t *ids, int n_windows, int context, int32_t bos_id)
{
    for (int w = 0; w < n_windows; w++) {
        int64_t first = cut->inputs.n;
        cut_segment(cut, w, ids + (int64_t)w * context, context, context / 2 + 1);
        if (bos_id >= 0) cut->inputs.id[first] = bos_id;
    }
}

void cut_document(Cut *cut, int window, const int32_t *ids, int64_t n, int context)
{
    for (int64_t at = 0; at < n - 1; at += context) {
        int64_t rest = n - 1 - at;
        cut_segment(cut, window, ids + at, (int)(rest < context ? rest : context) + 1, 1);
    }
}

static void ids_drop(Ids *ids, int64_t n)
{
    ids->n -= n;
    memmove(ids->id, ids->id + n, (size_t)ids->n * sizeof *ids->id);
}

void cut_drop(Cut *cut, int n)
{
    int segments = 0;
    int64_t inputs = 0;
    while (cut->segment[segments].window < n) inputs += cut->segment[segments++].length;
    cut->n_segments -= segments;
    memmove(cut->segment, cut->segment + segments, (size_t)cut->n_segments * sizeof *cut->segment);
    for (int s = 0; s < cut->n_segments; s++) cut->segment[s].window -= n;
    ids_drop(&cut->inputs, inputs);
    ids_drop(&cut->targets, inputs);
}

static void place_segments(Corpus *corpus, Cut *cut)
{
    int64_t n = cut->inputs.n;
    corpus->n_segments = cut->n_segments;
    corpus->segment = cut->segment;
    corpus->n_inputs = n;
    corpus->storage = xmalloc(2 * (size_t)n * sizeof *corpus->storage);
    memcpy(corpus->storage, cut->inputs.id, (size_t)n * sizeof(int32_t));
    memcpy(corpus->storage + n, cut->targets.id, (size_t)n * sizeof(int32_t));
    const int32_t *inputs = corpus->storage;
    for (int s = 0; s < corpus->n_segments; s++) {
        corpus->segment[s].inputs = inputs;
        corpus->segment[s].targets = inputs + n;
        inputs += corpus->segment[s].length;
    }
    corpus->task = cut->task;
    corpus->shortened = cut->shortened;
    cut->segment = NULL;
    cut->task = NULL;
    cut_free(cut);
}

static void count_tokens(Corpus *corpus)
{
    corpus->n_windows = corpus->segment[corpus->n_segments - 1].window + 1;
    corpus->tokens = xcalloc((size_t)corpus->n_windows, sizeof *corpus->tokens);
    for (int s = 0; s < corpus->n_segments; s++) {
        const Segment *segment = &corpus->segment[s];
        for (int t = segment->first_scored; t < segment->length; t++)
            corpus->tokens[segment->window] += segment->targets[t] >= 0;
        if (segment->length > corpus->longest) corpus->longest = segment->length;
    }
    for (int w = 0; w < corpus->n_windows; w++) corpus->n_scored += corpus->tokens[w];
}

static const char *first_tokens(const Corpus *corpus, int32_t bos_id)
{
    int with = 0;
    for (int s = 0; s < corpus->n_segments; s++) {
        bool opens_window = s == 0 || corpus->segment[s].window != corpus->segment[s - 1].window;
        with += opens_window && bos_id >= 0 && corpus->segment[s].inputs[0] == bos_id;
    }
    return with == 0 ? "ordinary" : with == corpus->n_windows ? "bos" : "mixed";
}

/* Numbers as they lie in memory: keys are compared on little-endian machines only. */
static void hash_corpus(Corpus *corpus)
{
    Hash *hash = hash_begin();
    int32_t head[2] = { corpus->context, corpus->bos };
    hash_add(hash, corpus->protocol, strlen(corpus->protocol) + 1);
    hash_add(hash, head, sizeof head);
    for (int s = 0; s < corpus->n_segments; s++) {
        const Segment *segment = &corpus->segment[s];
        int32_t shape[2] = { segment->window, segment->length };
        hash_add(hash, shape, sizeof shape);
        hash_add(hash, segment->inputs, (size_t)segment->length * sizeof(int32_t));
        hash_add(hash, segment->targets, (size_t)segment->length * sizeof(int32_t));
    }
    hash_end(hash, corpus->hash);
}

void cut_finish(Corpus *out, Cut *cut, const char *protocol, int context, bool bos, int32_t bos_id)
{
    assert(cut->n_segments > 0);
    Corpus corpus = { .context = context, .bos = bos };
    snprintf(corpus.protocol, sizeof corpus.protocol, "%s", protocol);
    place_segments(&corpus, cut);
    count_tokens(&corpus);
    snprintf(corpus.first_token, sizeof corpus.first_token, "%s", first_tokens(&corpus, bos_id));
    hash_corpus(&corpus);
    *out = corpus;
}

void cut_free(Cut *cut)
{
    if (!cut) return;
    ids_free(&cut->inputs);
    ids_free(&cut->targets);
    free(cut->segment);
    corpus_task_free(cut->task);
    *cut = (Cut){ 0 };
}

void corpus_task_free(CorpusTask *task)
{
    if (!task) return;
    free(task->first);
    free(task->label);
    free(task->length);
    free(task);
}
