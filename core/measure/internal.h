/*
 * internal.h - what the files of core/measure share
 */
#ifndef CORE_MEASURE_INTERNAL_H
#define CORE_MEASURE_INTERNAL_H

#include "core/measure/study.h"
#include "core/network/device.h"

/* What the head tells of some positions. */
typedef struct {
    double *log_sum, *target_logit, *kl;    /* [n] */
    int32_t *top;
} Positions;

void positions_init(Positions *out, int n);
void positions_free(Positions *positions);

struct Study {
    const Model *model;
    const Corpus *corpus;
    const Kernels *kernels;
    const ModelShape *shape;
    StudyPlan plan;
    uint64_t seed;
    Store *store;
    Network *net;                   /* NULL until something has to run        */
    Study *lender, *borrower;       /* whose network this is, who uses it too; NULL: nobody else */
    int longest;                    /* segment that the network passes        */
    Layout layout;
    float *x;                       /* [rows][width] the stream at work; on a device only while it is */
    float **boundary;               /* [n_blocks] clean stream before a block, NULL where not kept (block 0 starts from the embedding) */
    float *final;                   /* [rows][width] clean stream after the last block; NULL where the logits are kept */
    float *logits;                  /* [scored][vocabulary] clean, or NULL    */
    double *log_sum;                /* [scored] of the clean logits           */
    int32_t *top;                   /* [scored] most likely token, clean      */
    double *clean_nll;              /* [n_windows] once the clean pass has run */
    int executed;
    EvidenceSource *evidence;       /* NULL: no calibration text              */
};

/* Adds the losses of the stream x, as it left the last block of net, to the sums of each window:
 * nll, kl, same_top [n_windows].  clean: x is the clean model's; fills log_sum, top (and logits) and
 * makes kl NaN.  Otherwise compares with them. */
int study_losses(Study *study, Network *net, const float *x, bool clean, double *nll, double *kl, double *same_top);

/* Turns sums into means over scored tokens; ERR_FORMAT where one is not finite. */
int window_means(double *sum, const Corpus *corpus);

/* Opens the network once: all that a gradient at the clean weights needs. */
int study_network(Study *study);

/* Runs the clean pass once. */
int study_prepare(Study *study);

/* Makes room for the stream at work; then, where another study or a backward pass may need it, gives it back. */
void study_take_stream(Study *study);
void study_leave_stream(Study *study);

/* Clean logits of n scored positions from `scored` on, which are rows `row`.. of the stream: those kept, or computed
 * again into spare. */
int study_clean_logits(const float **out, Study *study, float *spare, int64_t row, int64_t scored, int n);

int64_t scored_rows(const Corpus *corpus);      /* rows of the head: first_scored .. length of every segment */

#endif
