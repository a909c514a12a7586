/*
 * hugging_face_config_write.h - the config.json of a model that is written as a Hugging Face directory
 *
 * That of a directory is kept, with whatever it holds besides what we read, and told the new dtype.  That of a GGUF file is
 * made from its shape.  Its factors of the rotary frequencies become rope scaling "llama3" with the constants that all Llama
 * models have (low_freq_factor 1, high_freq_factor 4) where that gives the same frequencies to 2e-5, far above the rounding
 * of the factors to float32.
 */
#ifndef CORE_MODEL_HUGGING_FACE_CONFIG_WRITE_H
#define CORE_MODEL_HUGGING_FACE_CONFIG_WRITE_H

#include <jansson.h>

#include "core/model/model.h"

/* The caller releases *out with json_decref.  ERR_UNSUPPORTED where config.json cannot say what the model computes: other
 * rotary factors, or biases on some of q, k, v and o only. */
int hugging_face_config_make(json_t **out, const Model *model, Dtype dtype);

/* As text with the fewest digits that read back as the same numbers; the caller frees. */
char *hugging_face_json_text(const json_t *object);

#endif
