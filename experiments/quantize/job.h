/*
 * job.h - what the files of the command `quantize` share: a model being quantized, and what became of its layers
 */
#ifndef EXPERIMENTS_QUANTIZE_JOB_H
#define EXPERIMENTS_QUANTIZE_JOB_H

#include "core/base/progress.h"
#include "core/base/stage.h"
#include "core/measure/evidence.h"
#include "core/model/tensor.h"
#include "experiments/quantize/method.h"

typedef struct { bool chosen; double t2, bits, code_bits, seconds; } LayerResult;

typedef struct {
    const Options *options;
    Method method;
    Model *model;
    const Kernels *kernels;
    Corpus text;                    /* of the calibration */
    EvidenceSource *evidence;       /* NULL where the method does without */
    Calibration *sequential;        /* the inputs of the model quantized so far; NULL: those of the clean one are asked for */
    Dtype dtype;
    LayerResult *layer;             /* [layers of the model] */
    int n_layers;                   /* that are chosen */
    int64_t n_weights;              /* in them */
    float *out;                     /* [weights of the largest one] */
    int64_t n_bytes;                /* written */
    StageCost whole;                /* of all that is done */
    Progress *progress;
} QuantizeJob;

/* Bits and t^2 of every layer and of all, and what the stages took. */
void quantize_print_text(const QuantizeJob *job);
void quantize_print_json(const QuantizeJob *job);

#endif
