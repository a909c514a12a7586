/*
 * random_model.h - a model of a given shape with random weights and no file, for benchmarks and prices
 *
 * bf16 weights, normal with standard deviation .02, gains of 1.  All tensors show the same few megabytes again and again, so that a
 * model of any size costs no memory to speak of.
 */
#ifndef CORE_MODEL_RANDOM_MODEL_H
#define CORE_MODEL_RANDOM_MODEL_H

#include "core/model/model.h"

#define RANDOM_MODEL "random:"      /* before a name, where a model's path is asked for */

/* "llama-3.1-8b", "smollm2-135m" ..., NULL-terminated. */
extern const char *const random_model_names[];

/* ERR_ARGUMENT for another name, with those that there are.  Has no tokenizer: its text is random, or token ids in a file. */
int model_random(Model **out, const char *name);

#endif
