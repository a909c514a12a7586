/*
 * mask.h - which weights of a model are kept out of its quantized form: one threshold for all layers
 *
 *     K = floor(ratio x weights of all layers);  kept are the K weights of largest score      (TaCQ, arXiv 2504.07389)
 */
#ifndef CORE_SALIENCY_MASK_H
#define CORE_SALIENCY_MASK_H

#include "core/model/model.h"
#include "core/quantize/sparse.h"
#include "core/saliency/top_k.h"

typedef struct { int n_layers; KeptWeights *layer; } Mask;

int64_t mask_weights(const Model *model);               /* of all layers */
int64_t mask_count(double ratio, int64_t weights);

/* The k largest of a ranking that has at least as many.  A place is the index of a weight when all layers [rows][cols] lie one behind the other. */
void mask_make(Mask *out, const Model *model, const TopK *ranking, int64_t k);
void mask_free(Mask *mask);

#endif
