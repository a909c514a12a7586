/*
 * corpus_cut.h - lays lists of ids out as the windows and segments of a corpus (inside core/text)
 *
 * Every protocol comes down to cut_segment: of a piece of text, each id but the last is an input
 * that predicts the one after it.  Ids are copied, so the pieces may overlap and may be freed.
 */
#ifndef CORE_TEXT_CORPUS_CUT_H
#define CORE_TEXT_CORPUS_CUT_H

#include <stdint.h>

#include "core/text/corpus.h"

/* Zero-initialise; cut_finish or cut_free when done. */
typedef struct {
    Ids inputs, targets;            /* of all segments, one after the other */
    int n_segments;
    Segment *segment;               /* inputs and targets not set yet       */
    CorpusTask *task;               /* protocol choices, otherwise NULL     */
    int shortened;                  /* windows cut to fit the context       */
} Cut;

/* Adds ids[0 .. n) as n - 1 inputs; those before first_target are not scored as targets.  n >= 2,
 * 1 <= first_target < n, window the last one added or the next. */
void cut_segment(Cut *cut, int window, const int32_t *ids, int n, int first_target);

/* n_windows windows of `context` ids, one after the other. */
void cut_windows(Cut *cut, const int32_t *ids, int n_windows, int context);

/* The same as llama.cpp scores them: the first id of each replaced by bos_id unless that is negative,
 * targets from position context / 2 + 1.  context >= 3. */
void cut_half_windows(Cut *cut, const int32_t *ids, int n_windows, int context, int32_t bos_id);

/* One window: n - 1 inputs in segments of `context`, the last id of one predicting the first of the
 * next.  n >= 2. */
void cut_document(Cut *cut, int window, const int32_t *ids, int64_t n, int context);

/* Takes the first n windows away; more than n are there. */
void cut_drop(Cut *cut, int n);

/* Moves what was cut to *out with sums and hash.  bos: were BOS tokens put in; bos_id: what windows
 * may start with, negative where there is none. */
void cut_finish(Corpus *out, Cut *cut, const char *protocol, int context, bool bos, int32_t bos_id);

void cut_free(Cut *cut);

void corpus_task_free(CorpusTask *task);

#endif
