#include "core/model/architecture.h"

#include <stddef.h>
#include <string.h>

static const Architecture architectures[] = {
    { .name = "llama", .class_name = "LlamaForCausalLM", .bias_setting = true, .kv_heads_optional = true,
      .in_gguf = true, .gguf_adjacent_pairs = true },
    { .name = "mistral", .class_name = "MistralForCausalLM", .always_windowed = true },
    { .name = "qwen2", .class_name = "Qwen2ForCausalLM", .qkv_bias = true, .in_gguf = true },
    { .name = "qwen3", .class_name = "Qwen3ForCausalLM", .bias_setting = true, .qk_norm = true, .in_gguf = true },
};

const Architecture *architecture_find(const char *name)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(architectures[i].name, name) == 0) return &architectures[i];
    return NULL;
}
