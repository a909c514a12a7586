/*
 * bench.h - how fast this machine does what the program does: one model, random text, nothing kept
 *
 * Every time is the median of some repetitions with their range.  Rates count multiplications and additions as network_flops
 * has them, and are set against what the same machine does in one large product and in one large copy, measured in the same run.
 */
#ifndef EXPERIMENTS_BENCH_BENCH_H
#define EXPERIMENTS_BENCH_BENCH_H

#include <stdbool.h>

#include "core/measure/study.h"

typedef struct { double median, least, most; int n; } Timing;

enum { MOST_OPERATIONS = 64 };

typedef struct {
    const Model *model;
    const Kernels *kernels;
    const Corpus *corpus;
    int repeats;
    int large;                      /* rows and columns of the large product and copy */
    int64_t memory;
    bool quiet;

    double product_rate;            /* FLOP/s of one large product             */
    double copy_rate;               /* bytes/s of one large copy, read + written */
    double open_seconds;            /* weights to the back end                 */
    Timing embed, forward;          /* forward: blocks, head and NLL, from the embeddings on */
    double forward_flops;
    int n_operations;
    OperationTime operation[MOST_OPERATIONS];   /* of one forward pass, where the back end can tell */
    int n_fisher_operations;
    OperationTime fisher_operation[MOST_OPERATIONS];        /* of one Fisher pass */
    Timing kl, fisher;              /* one layer's KL measurement, one Fisher pass over all layers */
    double kl_cost;                 /* of that measurement, in forward passes  */
    double sweep_passes;            /* of a sweep, in forward passes           */
    int sweep_measurements;
} Bench;

/* Seconds of f, run once to warm up and then n times; n >= 1. */
int bench_time(Timing *out, int n, int (*f)(void *context), void *context);

int bench_ceilings(Bench *bench);           /* ceilings.c */
int bench_forward(Bench *bench);            /* forward.c  */
int bench_measurements(Bench *bench);       /* measurements.c */

void bench_print(const Bench *bench);       /* print.c */
void bench_print_json(const Bench *bench);

#endif
