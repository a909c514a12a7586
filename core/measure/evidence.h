/*
 * evidence.h - all that a text tells of a model's layers, collected once for all that ask
 *
 * Inputs come block by block (calibration.h), gradients of all layers from one backward pass (gradient_sums.h), masks from both and from the
 * quantized model (masks.h).  Nothing runs before something is asked for that needs it, and what nobody needs is not collected.
 * Studies on several texts may share a source.
 */
#ifndef CORE_MEASURE_EVIDENCE_H
#define CORE_MEASURE_EVIDENCE_H

#include "core/base/resources.h"
#include "core/base/stage.h"
#include "core/measure/calibration.h"

/* One layer and what is done to it.  Borrowed pointers. */
typedef struct { int layer; const Perturbation *perturbation; const Options *options; } MapEntry;

typedef struct EvidenceSource EvidenceSource;

/* What all that will be asked needs together: NEEDS_*, and masks: how many that keep anything, and shares of the weights that they keep, of all
 * together and of the largest. */
typedef struct { unsigned kinds; int masks; double kept, largest; } EvidenceNeeds;
void evidence_needs_add(EvidenceNeeds *needs, const Perturbation *perturbation, const Options *options);

/* Bytes to keep: evidence of inputs beside that of one block, and quantized models.  expected: NEEDS_* of all that will be asked, so
 * that one backward pass serves them all; more may be asked later. */
typedef struct { int64_t inputs, quantized; unsigned expected; } EvidencePlan;

/* Model and text must outlive it. */
int  evidence_open(EvidenceSource **out, const Model *model, const Corpus *text, const Kernels *kernels, const EvidencePlan *plan);
void evidence_close(EvidenceSource **source);

/* What an entry needs to know of its layer: *out = room filled, or NULL where it needs nothing.  Borrowed until the next call.  sequential:
 * inputs are those of the model quantized so far (evidence_sequential); NULL: of the clean one.  ERR_ARGUMENT where source is NULL, that is where
 * there is no calibration text; otherwise what calibration_evidence and gradient_sums return. */
int evidence_for(const Evidence **out, Evidence *room, EvidenceSource *source, const MapEntry *entry, Calibration *sequential);

/* perturbation_apply with all that the entry needs.  What looks at evidence and depends on nothing else is made once and kept in its stored form as
 * long as there is room.  source NULL: as in evidence_for. */
int evidence_apply(float *out, PerturbationError *error, EvidenceSource *source, const MapEntry *entry, const LayerWeights *weights, Draw draw,
                   Calibration *sequential);

/* A walk of its own through the model as it is quantized; the caller closes it, and tells it what became of each layer. */
int evidence_sequential(Calibration **out, EvidenceSource *source);

/* The sums of gradients of a layer that are asked for.  Borrowed as long as the source lives. */
int evidence_sums(const float **gradient, const float **fisher, EvidenceSource *source, bool with_gradient, bool with_fisher, int layer);

/* What was spent so far: on the backward pass, on the quantized models that scores look at, on scores and their largest. */
typedef struct { StageCost gradients, quantized, scores; } EvidenceCosts;
EvidenceCosts evidence_costs(const EvidenceSource *source);

/* And on quantizing layers as an entry has it, whichever layer it names. */
StageCost evidence_quantizing(const EvidenceSource *source, const MapEntry *entry);

const Model *evidence_model(const EvidenceSource *source);

/* The text, and bytes beside what is kept: all that the passes work with, and sums of gradients and masks (the host's), given what will be asked. */
const Corpus *evidence_corpus(const EvidenceSource *source);
int64_t evidence_bytes(const ModelShape *shape, const Corpus *text, const Kernels *kernels, unsigned expected, bool sequential);
int64_t evidence_host_bytes(const ModelShape *shape, const EvidenceNeeds *needs);

/* ERR_MEMORY where these bytes of the host, and `work` of the passes' own, are more than it has free. */
int evidence_check_host(const ModelShape *shape, const EvidenceNeeds *needs, int64_t work, const FreeMemory *host);

#endif
