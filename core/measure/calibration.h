/*
 * calibration.h - what a text shows of the inputs of every layer: evidence for data-aware quantizers
 *
 *     H = 2 X X' / n   [cols][cols]          mean |x_j|   [cols]          over all n rows of the calibration text
 *
 * (H: GPTQ, arXiv 2210.17323; mean |x|: AWQ, arXiv 2306.00978.)  Collected once per block for all that ask, layers that read the same
 * input sharing one H.  Blocks pass in order, so that a walk through the model costs one forward pass and keeps one block's
 * evidence; that of other blocks is kept as far as memory allows, and collected again from the start where it was not.
 *
 * A sequential calibration shows the inputs as they are in the model quantized so far: each layer that was replaced stays
 * replaced for the layers behind it (GPTQ's "true-sequential").  It goes forward only.
 */
#ifndef CORE_MEASURE_CALIBRATION_H
#define CORE_MEASURE_CALIBRATION_H

#include "core/network/inputs.h"
#include "core/perturb/perturbation.h"

typedef struct Calibration Calibration;

/* Bytes at work beside what is kept, the evidence of one block included; and bytes of the evidence of all blocks. */
int64_t calibration_bytes(const ModelShape *shape, const Corpus *corpus, const Kernels *kernels, bool sequential);
int64_t calibration_evidence_bytes(const ModelShape *shape);

/* keep: bytes for evidence of blocks passed.  Model and corpus must outlive it.  Runs nothing yet. */
int  calibration_open(Calibration **out, const Model *model, const Corpus *corpus, const Kernels *kernels, int64_t keep, bool sequential);
void calibration_close(Calibration **calibration);

/* Evidence for a layer, borrowed until the next call.  ERR_INTERRUPTED; ERR_UNSUPPORTED where a sequential calibration is asked
 * for a block that it has passed. */
int calibration_evidence(Evidence *out, Calibration *calibration, int layer);

/* Sequential: from now on the layer is w [rows][cols].  Blocks come in order here too; fails as calibration_evidence does. */
int calibration_replace(Calibration *calibration, int layer, const float *w);

/* "calibration HASH hf context 256 windows 32": what evidence depends on besides the model, for keys.  The caller frees. */
char *calibration_text(const Corpus *corpus);

#endif
