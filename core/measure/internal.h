/*
 * internal.h - what the files of core/measure share
 */
#ifndef CORE_MEASURE_INTERNAL_H
#define CORE_MEASURE_INTERNAL_H

#include "core/measure/study.h"

struct Study {
    const Model *model;
    const Corpus *corpus;
    const Kernels *kernels;
    const ModelShape *shape;
    StudyPlan plan;
    uint64_t seed;
    Store *store;
    Network *net;                   /* NULL until something has to run        */
    Layout layout;
    float *x;                       /* [rows][width] the stream at work       */
    float **boundary;               /* [n_blocks] clean stream before a block, NULL where not kept; [0] is always the embedding */
    float *final;                   /* [rows][width] clean stream after the last block; NULL where the logits are kept */
    float *logits;                  /* [scored][vocabulary] clean, or NULL    */
    double *log_sum;                /* [scored] of the clean logits           */
    int32_t *top;                   /* [scored] most likely token, clean      */
    double *clean_nll;              /* [n_windows] once the clean pass has run */
    int executed;
};


/* Losses of the stream x (after the last block) per window.  clean: fills log_sum, top (and logits)
 * and sets kl to NaN; otherwise compares with them.  nll, kl, same_top: [n_windows]. */
int study_losses(Study *study, const float *x, bool clean, double *nll, double *kl, double *same_top);

/* Runs the clean pass once. */
int study_prepare(Study *study);

int64_t scored_rows(const Corpus *corpus);      /* rows of the head: first_scored .. length of every segment */

#endif
