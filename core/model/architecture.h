/*
 * architecture.h - what distinguishes the model families that we compute
 */
#ifndef CORE_MODEL_ARCHITECTURE_H
#define CORE_MODEL_ARCHITECTURE_H

#include <stdbool.h>

typedef struct {
    const char *name;               /* model_type in config.json, general.architecture in GGUF     */
    const char *class_name;         /* the entry of "architectures" in config.json                 */
    bool qkv_bias;                  /* q, k and v always have biases                               */
    bool bias_setting;              /* "attention_bias" of config.json adds them to q, k, v and o  */
    bool qk_norm;                   /* q and k are normalized per head                             */
    bool kv_heads_optional;         /* num_key_value_heads defaults to num_attention_heads         */
    bool always_windowed;           /* "sliding_window" holds whatever "use_sliding_window" says   */
    bool in_gguf;                   /* GGUF knows it by this name                                  */
    bool gguf_adjacent_pairs;       /* and rotates index 2i with 2i + 1                            */
} Architecture;

const Architecture *architecture_find(const char *name);        /* NULL where we do not know it */

#endif
