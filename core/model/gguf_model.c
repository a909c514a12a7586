#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/architecture.h"
#include "core/model/gguf_directory.h"
#include "core/model/gguf_names.h"
#include "core/model/model_build.h"
#include "core/model/rotary.h"

const char *const gguf_names[WEIGHT_COUNT] = {
    [WEIGHT_Q] = "attn_q.weight", [WEIGHT_K] = "attn_k.weight", [WEIGHT_V] = "attn_v.weight", [WEIGHT_O] = "attn_output.weight",
    [WEIGHT_GATE] = "ffn_gate.weight", [WEIGHT_UP] = "ffn_up.weight", [WEIGHT_DOWN] = "ffn_down.weight",
    [WEIGHT_Q_BIAS] = "attn_q.bias", [WEIGHT_K_BIAS] = "attn_k.bias", [WEIGHT_V_BIAS] = "attn_v.bias",
    [WEIGHT_O_BIAS] = "attn_output.bias",
    [WEIGHT_ATTENTION_NORM] = "attn_norm.weight", [WEIGHT_FEED_FORWARD_NORM] = "ffn_norm.weight",
    [WEIGHT_Q_NORM] = "attn_q_norm.weight", [WEIGHT_K_NORM] = "attn_k_norm.weight",
    [WEIGHT_EMBEDDING] = "token_embd.weight", [WEIGHT_FINAL_NORM] = "output_norm.weight", [WEIGHT_HEAD] = "output.weight",
};
static const char rope_factors[] = "rope_freqs.weight";

/* "llama.block_count": the file's architecture before the key. */
typedef struct { char text[128]; } Key;

static Key key_of(const Model *model, const char *name)
{
    Key key;
    snprintf(key.text, sizeof key.text, "%s.%s", model->shape.architecture, name);
    return key;
}

static bool has(const Model *model, const char *name) { return gguf_find_pair(model->gguf, key_of(model, name).text) != NULL; }

static int dimension(int *out, const Model *model, const char *name, int largest)
{
    Key key = key_of(model, name);
    int64_t n = 0;
    if (!has(model, name)) FAIL(ERR_FORMAT, "%s: key %s is missing", model->path, key.text);
    if (!gguf_integer(model->gguf, key.text, &n) || n < 1 || n > largest)
        FAIL(ERR_FORMAT, "%s: key %s is not a whole number from 1 to %d", model->path, key.text, largest);
    *out = (int)n;
    return OK;
}

static int number(double *out, const Model *model, const char *name)
{
    Key key = key_of(model, name);
    if (!gguf_number(model->gguf, key.text, out)) FAIL(ERR_FORMAT, "%s: key %s is missing or not a number", model->path, key.text);
    return OK;
}

static int read_architecture(const Architecture **out, Model *model)
{
    GgufString name;
    if (!gguf_string(model->gguf, "general.architecture", &name)) FAIL(ERR_FORMAT, "%s: key general.architecture is missing", model->path);
    char *text = model->shape.architecture;
    snprintf(text, sizeof model->shape.architecture, "%.*s", name.length < 31 ? (int)name.length : 31, name.data);
    *out = architecture_find(text);
    if (!*out || !(*out)->in_gguf)
        FAIL(ERR_UNSUPPORTED, "%s: architecture %s; of GGUF files we do llama, qwen2 and qwen3", model->path, text);
    model->adjacent_pairs = (*out)->gguf_adjacent_pairs;
    return OK;
}

/* The vocabulary is what the embedding has rows for. */
static int read_vocabulary(Model *model)
{
    const Tensor *embedding = gguf_find(model->gguf, gguf_names[WEIGHT_EMBEDDING]);
    if (!embedding) FAIL(ERR_FORMAT, "%s: tensor '%s' is missing", model->path, gguf_names[WEIGHT_EMBEDDING]);
    if (embedding->shape[0] > LARGEST_DIMENSION) FAIL(ERR_FORMAT, "%s: the embedding has too many rows", model->path);
    int rows = (int)embedding->shape[0], said = rows;
    if (has(model, "vocab_size")) TRY(dimension(&said, model, "vocab_size", LARGEST_DIMENSION));
    if (said != rows) FAIL(ERR_FORMAT, "%s: vocab_size is %d, but the embedding has %d rows", model->path, said, rows);
    model->shape.vocabulary = rows;
    return OK;
}

static int read_head_dim(Model *model)
{
    ModelShape *shape = &model->shape;
    static const char *const same[] = { "attention.value_length", "rope.dimension_count" };
    if (has(model, "attention.key_length")) TRY(dimension(&shape->head_dim, model, "attention.key_length", LARGEST_DIMENSION));
    else if (shape->width % shape->n_heads == 0) shape->head_dim = shape->width / shape->n_heads;
    else FAIL(ERR_FORMAT, "%s: width %d is not a multiple of %d heads, and there is no %s.attention.key_length",
              model->path, shape->width, shape->n_heads, shape->architecture);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        int n = shape->head_dim;
        if (has(model, same[i])) TRY(dimension(&n, model, same[i], LARGEST_DIMENSION));
        if (n != shape->head_dim)
            FAIL(ERR_UNSUPPORTED, "%s: %s is %d, the head dimension %d; we do equal ones only", model->path, same[i], n, shape->head_dim);
    }
    return OK;
}

static int read_shape(Model *model)
{
    ModelShape *shape = &model->shape;
    double epsilon = 0;
    TRY(dimension(&shape->n_blocks, model, "block_count", MOST_BLOCKS));
    TRY(dimension(&shape->width, model, "embedding_length", LARGEST_DIMENSION));
    TRY(dimension(&shape->feed_forward, model, "feed_forward_length", LARGEST_DIMENSION));
    TRY(dimension(&shape->context, model, "context_length", 1 << 30));
    TRY(dimension(&shape->n_heads, model, "attention.head_count", MOST_HEADS));
    shape->n_kv_heads = shape->n_heads;
    if (has(model, "attention.head_count_kv")) TRY(dimension(&shape->n_kv_heads, model, "attention.head_count_kv", MOST_HEADS));
    TRY(read_head_dim(model));
    TRY(number(&epsilon, model, "attention.layer_norm_rms_epsilon"));
    shape->norm_epsilon = (float)epsilon;
    shape->tied = gguf_find(model->gguf, gguf_names[WEIGHT_HEAD]) == NULL;
    TRY(read_vocabulary(model));
    return model_check_shape(shape, model->path);
}

/* Keys that change what is computed unless they have their neutral value or say "not set". */
static int check_settings(const Model *model)
{
    static const struct { const char *name; double neutral, unset; } settings[] = {
        { "expert_count", 0, 0 }, { "expert_used_count", 0, 0 }, { "rope.scaling.factor", 1, 0 }, { "rope.scale_linear", 1, 0 },
        { "rope.scaling.attn_factor", 1, 0 }, { "attention.causal", 1, 1 }, { "attention.clamp_kqv", 0, 0 },
        { "attention.max_alibi_bias", 0, 0 }, { "attention.scale", 0, 0 }, { "attn_logit_softcapping", 0, 0 },
        { "final_logit_softcapping", 0, 0 }, { "logit_scale", 1, 0 }, { "embedding_scale", 1, 0 }, { "residual_scale", 1, 0 },
        { "use_parallel_residual", 0, 0 },
    };
    GgufString type;
    Key key = key_of(model, "rope.scaling.type");
    if (gguf_string(model->gguf, key.text, &type) && !(type.length == 4 && memcmp(type.data, "none", 4) == 0)
        && !(type.length == 6 && memcmp(type.data, "linear", 6) == 0))      /* linear: its factor is checked below */
        FAIL(ERR_UNSUPPORTED, "%s: rope scaling of type %.*s; we do none, or factors in %s", model->path,
             type.length < 64 ? (int)type.length : 64, type.data, rope_factors);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        double value;
        key = key_of(model, settings[i].name);
        if (gguf_number(model->gguf, key.text, &value) && value != settings[i].neutral && value != settings[i].unset)
            FAIL(ERR_UNSUPPORTED, "%s: key %s is %g, which we do not do", model->path, key.text, value);
    }
    return OK;
}

static int check_parts(const Model *model)
{
    int64_t window, parts;
    Key key = key_of(model, "attention.sliding_window");
    if (gguf_find_pair(model->gguf, key.text)
        && !(gguf_integer(model->gguf, key.text, &window) && (window == 0 || window >= model->shape.context)))
        FAIL(ERR_UNSUPPORTED, "%s: attention in a sliding window (%s); we do full attention only", model->path, key.text);
    if (gguf_integer(model->gguf, "split.count", &parts) && parts > 1)
        FAIL(ERR_UNSUPPORTED, "%s: one of %lld parts of a model; merge them first", model->path, (long long)parts);
    return OK;
}

/* Long-context Llamas keep the divisor of each frequency in a tensor. */
static int divide_frequencies(Model *model)
{
    const Tensor *factors = gguf_find(model->gguf, rope_factors);
    if (!factors || !model->adjacent_pairs) return OK;
    int n = model->shape.head_dim / 2;
    if (factors->dtype != DTYPE_F32 || factors->rank != 1 || factors->shape[0] != n)
        FAIL(ERR_FORMAT, "%s: tensor '%s' is not %d F32 numbers", model->path, factors->name, n);
    for (int i = 0; i < n; i++) {
        float factor;
        memcpy(&factor, factors->data + (size_t)i * sizeof factor, sizeof factor);
        if (!(factor > 0 && isfinite(factor)))
            FAIL(ERR_FORMAT, "%s: tensor '%s' holds a factor that is not positive", model->path, factors->name);
        model->shape.rotary[i] /= (double)factor;
    }
    return OK;
}

static int read_rope(Model *model)
{
    double theta = 10000;
    ModelShape *shape = &model->shape;
    if (has(model, "rope.freq_base")) TRY(number(&theta, model, "rope.freq_base"));
    if (!(theta > 0 && isfinite(theta))) FAIL(ERR_FORMAT, "%s: rope.freq_base is not a positive number", model->path);
    shape->rotary = xmalloc((size_t)(shape->head_dim / 2) * sizeof *shape->rotary);
    rotary_frequencies(shape->rotary, shape->head_dim, theta);
    return divide_frequencies(model);
}

static int check_extra(const Model *model, const Tensor *tensor)
{
    if (model->adjacent_pairs && strcmp(tensor->name, rope_factors) == 0) return OK;
    FAIL(ERR_UNSUPPORTED, "%s: tensor '%.200s' has no place in a %s model of %d blocks as we compute it", model->path, tensor->name,
         model->shape.architecture, model->shape.n_blocks);
}

int gguf_model_read(Model *model)
{
    const Architecture *architecture = NULL;
    TRY(gguf_open(&model->gguf, model->path));
    TRY(read_architecture(&architecture, model));
    TRY(read_shape(model));
    TRY(check_settings(model));
    TRY(check_parts(model));
    TRY(read_rope(model));
    WeightPlan plan = { .tensors = &model->gguf->tensors, .block_prefix = GGUF_BLOCKS, .names = gguf_names, .check_extra = check_extra };
    Presence bias = architecture->bias_setting ? WEIGHT_OPTIONAL : WEIGHT_ABSENT;       /* here the tensors are the setting */
    weight_plan_expect(&plan, architecture, bias, model->shape.tied);
    return model_bind(model, &plan);
}
