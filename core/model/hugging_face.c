#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/model/hugging_face_config.h"
#include "core/model/model_build.h"

static const char *const names[WEIGHT_COUNT] = {
    [WEIGHT_Q] = "self_attn.q_proj.weight", [WEIGHT_K] = "self_attn.k_proj.weight",
    [WEIGHT_V] = "self_attn.v_proj.weight", [WEIGHT_O] = "self_attn.o_proj.weight",
    [WEIGHT_GATE] = "mlp.gate_proj.weight", [WEIGHT_UP] = "mlp.up_proj.weight", [WEIGHT_DOWN] = "mlp.down_proj.weight",
    [WEIGHT_Q_BIAS] = "self_attn.q_proj.bias", [WEIGHT_K_BIAS] = "self_attn.k_proj.bias",
    [WEIGHT_V_BIAS] = "self_attn.v_proj.bias", [WEIGHT_O_BIAS] = "self_attn.o_proj.bias",
    [WEIGHT_ATTENTION_NORM] = "input_layernorm.weight", [WEIGHT_FEED_FORWARD_NORM] = "post_attention_layernorm.weight",
    [WEIGHT_Q_NORM] = "self_attn.q_norm.weight", [WEIGHT_K_NORM] = "self_attn.k_norm.weight",
    [WEIGHT_EMBEDDING] = "model.embed_tokens.weight", [WEIGHT_FINAL_NORM] = "model.norm.weight", [WEIGHT_HEAD] = "lm_head.weight",
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Old checkpoints keep the rotary frequencies; some tied ones keep the embedding twice. */
static int check_extra(const Model *model, const Tensor *tensor)
{
    if (ends_with(tensor->name, ".rotary_emb.inv_freq")) return OK;
    if (model->shape.tied && strcmp(tensor->name, names[WEIGHT_HEAD]) == 0) {
        const Tensor *embedding = model_tensor(model, WEIGHT_EMBEDDING, 0);
        if (tensor->n_bytes == embedding->n_bytes && memcmp(tensor->data, embedding->data, tensor->n_bytes) == 0) return OK;
        FAIL(ERR_UNSUPPORTED, "%s: tie_word_embeddings is set, but '%s' differs from the embedding", model->path, tensor->name);
    }
    FAIL(ERR_UNSUPPORTED, "%s: tensor '%.200s' has no place in a %s model of %d blocks as we compute it", model->path, tensor->name,
         model->shape.architecture, model->shape.n_blocks);
}

static int open_tensors(Safetensors *out, const char *directory)
{
    char *single = xformat("%s/model.safetensors", directory), *index = xformat("%s/model.safetensors.index.json", directory);
    int status;
    if (access(single, F_OK) == 0) status = safetensors_open(out, single);
    else if (access(index, F_OK) == 0) status = safetensors_open_index(out, index);
    else status = err_set(ERR_FILE, "%s: neither model.safetensors nor model.safetensors.index.json is there (other formats, such as .bin, are not read)", directory);
    free(single);
    free(index);
    return status;
}

int hugging_face_read(Model *model)
{
    HuggingFaceConfig config;
    char *path = xformat("%s/config.json", model->path);
    int status = access(path, F_OK) == 0 ? hugging_face_config_read(&config, path)
               : err_set(ERR_FILE, "%s: there is no config.json, so this is not the directory of a Hugging Face model", model->path);
    free(path);
    TRY(status);
    model->shape = config.shape;
    TRY(open_tensors(&model->files, model->path));
    WeightPlan plan = { .tensors = &model->files.tensors, .block_prefix = "model.layers.", .names = names, .check_extra = check_extra };
    weight_plan_expect(&plan, config.architecture, config.attention_bias ? WEIGHT_REQUIRED : WEIGHT_ABSENT, model->shape.tied);
    return model_bind(model, &plan);
}
