/*
 * gguf_names.h - what the tensors of a GGUF file are called
 */
#ifndef CORE_MODEL_GGUF_NAMES_H
#define CORE_MODEL_GGUF_NAMES_H

#include "core/model/model.h"

#define GGUF_BLOCKS "blk."                      /* then the block, a dot and the name */
extern const char *const gguf_names[WEIGHT_COUNT];

#endif
