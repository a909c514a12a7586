#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/model/hugging_face_config.h"
#include "core/model/hugging_face_names.h"
#include "core/model/model_build.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Old checkpoints keep the rotary frequencies; some tied ones keep the embedding twice. */
static int check_extra(const Model *model, const Tensor *tensor)
{
    if (ends_with(tensor->name, ".rotary_emb.inv_freq")) return OK;
    if (model->shape.tied && strcmp(tensor->name, hugging_face_names[WEIGHT_HEAD]) == 0) {
        const Tensor *embedding = model_tensor(model, WEIGHT_EMBEDDING, 0);
        if (tensor->n_bytes == embedding->n_bytes && memcmp(tensor->data, embedding->data, tensor->n_bytes) == 0) return OK;
        FAIL(ERR_UNSUPPORTED, "%s: tie_word_embeddings is set, but '%s' differs from the embedding", model->path, tensor->name);
    }
    FAIL(ERR_UNSUPPORTED, "%s: tensor '%.200s' has no place in a %s model of %d blocks as we compute it", model->path, tensor->name,
         model->shape.architecture, model->shape.n_blocks);
}

static int open_tensors(Safetensors *out, const char *directory)
{
    char *single = xformat("%s/" HUGGING_FACE_SINGLE, directory), *index = xformat("%s/" HUGGING_FACE_INDEX, directory);
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
    char *path = xformat("%s/" HUGGING_FACE_CONFIG, model->path);
    int status = access(path, F_OK) == 0 ? hugging_face_config_read(&config, path)
               : err_set(ERR_FILE, "%s: there is no config.json, so this is not the directory of a Hugging Face model", model->path);
    free(path);
    TRY(status);
    model->shape = config.shape;
    TRY(open_tensors(&model->files, model->path));
    WeightPlan plan = { .tensors = &model->files.tensors, .block_prefix = HUGGING_FACE_BLOCKS, .names = hugging_face_names, .check_extra = check_extra };
    weight_plan_expect(&plan, config.architecture, config.attention_bias ? WEIGHT_REQUIRED : WEIGHT_ABSENT, model->shape.tied);
    return model_bind(model, &plan);
}
