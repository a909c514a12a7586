/*
 * safetensors.h - the tensors of a mapped .safetensors file, or of the shards that an index names
 */
#ifndef CORE_MODEL_SAFETENSORS_H
#define CORE_MODEL_SAFETENSORS_H

#include "core/model/file_map.h"
#include "core/model/tensor_set.h"

typedef struct {
    FileMap *maps;
    int n_maps;
    TensorSet tensors;
} Safetensors;

/* Checks dtype, shape, size and place of every tensor; the data leave no gap and nothing is shared. */
int  safetensors_open(Safetensors *out, const char *path);

/* All shards of a model.safetensors.index.json, which lie beside it; each tensor stands in the shard
 * that the index says, and nothing else stands there. */
int  safetensors_open_index(Safetensors *out, const char *index_path);

void safetensors_close(Safetensors *files);

#endif
