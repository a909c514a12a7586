#include "core/model/hugging_face_names.h"

#include <stddef.h>
#include <string.h>

#include "core/base/glob.h"

const char *const hugging_face_names[WEIGHT_COUNT] = {
    [WEIGHT_Q] = "self_attn.q_proj.weight", [WEIGHT_K] = "self_attn.k_proj.weight",
    [WEIGHT_V] = "self_attn.v_proj.weight", [WEIGHT_O] = "self_attn.o_proj.weight",
    [WEIGHT_GATE] = "mlp.gate_proj.weight", [WEIGHT_UP] = "mlp.up_proj.weight", [WEIGHT_DOWN] = "mlp.down_proj.weight",
    [WEIGHT_Q_BIAS] = "self_attn.q_proj.bias", [WEIGHT_K_BIAS] = "self_attn.k_proj.bias",
    [WEIGHT_V_BIAS] = "self_attn.v_proj.bias", [WEIGHT_O_BIAS] = "self_attn.o_proj.bias",
    [WEIGHT_ATTENTION_NORM] = "input_layernorm.weight", [WEIGHT_FEED_FORWARD_NORM] = "post_attention_layernorm.weight",
    [WEIGHT_Q_NORM] = "self_attn.q_norm.weight", [WEIGHT_K_NORM] = "self_attn.k_norm.weight",
    [WEIGHT_EMBEDDING] = "model.embed_tokens.weight", [WEIGHT_FINAL_NORM] = "model.norm.weight", [WEIGHT_HEAD] = "lm_head.weight",
};

const char *const hugging_face_companions[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "tokenizer.model", "chat_template.jinja", "generation_config.json", NULL,
};

bool hugging_face_is_file(const char *name)
{
    static const char *const own[] = { HUGGING_FACE_CONFIG, HUGGING_FACE_SINGLE, HUGGING_FACE_INDEX, NULL };
    for (int i = 0; own[i]; i++)
        if (!strcmp(name, own[i])) return true;
    for (int i = 0; hugging_face_companions[i]; i++)
        if (!strcmp(name, hugging_face_companions[i])) return true;
    return glob_match("model-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].safetensors", name);
}
