/*
 * quantized.h - models as choices quantized them, in their stored form: what takes long is not done again for another text
 *
 * Room for so many bytes; where they do not suffice, the model that was begun first goes.
 */
#ifndef CORE_MEASURE_QUANTIZED_H
#define CORE_MEASURE_QUANTIZED_H

#include "core/base/stage.h"
#include "core/quantize/packed.h"

/* cost: of all its layers.  layer [n_layers]: no planes where it is not kept. */
typedef struct { char *text; StageCost cost; int64_t bytes; Packed *layer; } QuantizedModel;
typedef struct { int n_layers, n; int64_t room; QuantizedModel *model; } QuantizedModels;

void quantized_free(QuantizedModels *models);

/* A layer of the model of this text, or NULL.  Borrowed until the next is kept. */
const Packed *quantized_find(const QuantizedModels *models, const char *text, int layer);

/* Takes packed, which took this much to make. */
void quantized_keep(QuantizedModels *models, const char *text, int layer, Packed *packed, const StageCost *cost);

StageCost quantized_cost(const QuantizedModels *models, const char *text);

#endif
