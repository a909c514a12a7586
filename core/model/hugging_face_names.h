/*
 * hugging_face_names.h - what the tensors and the files of a Hugging Face directory are called
 */
#ifndef CORE_MODEL_HUGGING_FACE_NAMES_H
#define CORE_MODEL_HUGGING_FACE_NAMES_H

#include <stdbool.h>

#include "core/model/model.h"

#define HUGGING_FACE_CONFIG "config.json"
#define HUGGING_FACE_SINGLE "model.safetensors"
#define HUGGING_FACE_INDEX  "model.safetensors.index.json"
#define HUGGING_FACE_SHARD  "model-%05d-of-%05d.safetensors"       /* number from 1, count */

#define HUGGING_FACE_BLOCKS "model.layers."                         /* then the block, a dot and the name */
extern const char *const hugging_face_names[WEIGHT_COUNT];

/* What may lie beside the weights and is no part of the model as we compute it: tokenizer and generation settings; ends with NULL. */
extern const char *const hugging_face_companions[];

/* Is this one of the names above, so that a directory which holds nothing else can be made again? */
bool hugging_face_is_file(const char *name);

#endif
