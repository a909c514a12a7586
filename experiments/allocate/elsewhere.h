/*
 * elsewhere.h - what of a model file an allocation does not decide about
 */
#ifndef EXPERIMENTS_ALLOCATE_ELSEWHERE_H
#define EXPERIMENTS_ALLOCATE_ELSEWHERE_H

#include "core/allocate/constraints.h"

/* *bytes = everything in the model that no layer of the table covers that takes part, as it is stored there: embedding,
 * head, norms, biases, excluded and unlisted layers; of a GGUF file the header and the tokenizer too.  ERR_ARGUMENT where
 * the table has a layer that the model lacks, or with another number of weights. */
int bytes_elsewhere(int64_t *bytes, const char *path, const ChoiceTable *table, const Constraints *constraints);

#endif
