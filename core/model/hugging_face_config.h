/*
 * hugging_face_config.h - config.json of a Hugging Face model, as the shape of what we can compute
 */
#ifndef CORE_MODEL_HUGGING_FACE_CONFIG_H
#define CORE_MODEL_HUGGING_FACE_CONFIG_H

#include "core/model/architecture.h"
#include "core/model/model.h"

typedef struct {
    const Architecture *architecture;
    ModelShape shape;                   /* without n_parameters; shape.rotary is the caller's to free */
    bool attention_bias;                /* q, k, v and o have biases                                  */
} HuggingFaceConfig;

/* Both generations of the file are read: rope_theta and rope_scaling at the top, or rope_parameters.
 * A setting that is absent has the default that transformers gives it, except that the dimensions
 * must be there.  ERR_UNSUPPORTED names the first setting that we would compute wrongly. */
int hugging_face_config_read(HuggingFaceConfig *out, const char *path);

#endif
