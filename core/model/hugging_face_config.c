#include "core/model/hugging_face_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/json.h"
#include "core/model/model_build.h"
#include "core/model/rotary.h"

/* A config.json and where it stands. */
typedef struct { const json_t *json; const char *path; } Source;

/* NULL where the key is absent or null: the two mean the same in these files. */
static const json_t *find(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static bool flag(const json_t *object, const char *key) { return json_is_true(find(object, key)); }

static int dimension(int *out, Source source, const char *key, int largest)
{
    const json_t *value = find(source.json, key);
    if (!value) FAIL(ERR_FORMAT, "%s: %s is missing", source.path, key);
    json_int_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    if (n < 1 || n > largest) FAIL(ERR_FORMAT, "%s: %s is not a whole number from 1 to %d", source.path, key, largest);
    *out = (int)n;
    return OK;
}

static int positive(double *out, const json_t *object, const char *key, Source source)
{
    const json_t *value = find(object, key);
    if (!value) FAIL(ERR_FORMAT, "%s: %s is missing", source.path, key);
    double number = json_number_value(value);           /* 0 where it is no number */
    if (!(number > 0 && isfinite(number))) FAIL(ERR_FORMAT, "%s: %s is not a positive number", source.path, key);
    *out = number;
    return OK;
}

/* ---- what kind of model ---- */

static int check_class(Source source, const Architecture *architecture)
{
    const json_t *classes = find(source.json, "architectures");
    const char *name = json_string_value(json_array_get(classes, 0));
    if (name && strcmp(name, architecture->class_name) != 0)
        FAIL(ERR_UNSUPPORTED, "%s: architecture %.64s; for model_type %s we do %s", source.path, name,
             architecture->name, architecture->class_name);
    return OK;
}

static int read_architecture(HuggingFaceConfig *config, Source source)
{
    const char *name = json_string_value(find(source.json, "model_type"));
    if (!name) FAIL(ERR_FORMAT, "%s: model_type is missing", source.path);
    config->architecture = architecture_find(name);
    if (!config->architecture)
        FAIL(ERR_UNSUPPORTED, "%s: model_type %.64s; we do llama, mistral, qwen2 and qwen3", source.path, name);
    snprintf(config->shape.architecture, sizeof config->shape.architecture, "%s", name);
    return check_class(source, config->architecture);
}

static int read_dimensions(HuggingFaceConfig *config, Source source)
{
    ModelShape *shape = &config->shape;
    double epsilon = 0;
    TRY(dimension(&shape->width, source, "hidden_size", LARGEST_DIMENSION));
    TRY(dimension(&shape->feed_forward, source, "intermediate_size", LARGEST_DIMENSION));
    TRY(dimension(&shape->n_blocks, source, "num_hidden_layers", MOST_BLOCKS));
    TRY(dimension(&shape->n_heads, source, "num_attention_heads", MOST_HEADS));
    TRY(dimension(&shape->vocabulary, source, "vocab_size", LARGEST_DIMENSION));
    TRY(dimension(&shape->context, source, "max_position_embeddings", 1 << 30));
    shape->n_kv_heads = shape->n_heads;
    if (find(source.json, "num_key_value_heads") || !config->architecture->kv_heads_optional)
        TRY(dimension(&shape->n_kv_heads, source, "num_key_value_heads", MOST_HEADS));
    if (find(source.json, "head_dim")) TRY(dimension(&shape->head_dim, source, "head_dim", LARGEST_DIMENSION));
    else if (shape->width % shape->n_heads == 0) shape->head_dim = shape->width / shape->n_heads;
    else FAIL(ERR_FORMAT, "%s: hidden_size %d is not a multiple of num_attention_heads %d, and there is no head_dim",
              source.path, shape->width, shape->n_heads);
    TRY(positive(&epsilon, source.json, "rms_norm_eps", source));
    shape->norm_epsilon = (float)epsilon;
    shape->tied = flag(source.json, "tie_word_embeddings");
    config->attention_bias = config->architecture->bias_setting && flag(source.json, "attention_bias");
    return model_check_shape(shape, source.path);
}

/* ---- settings that change the function ---- */

static int check_window(const HuggingFaceConfig *config, Source source)
{
    const json_t *types = find(source.json, "layer_types"), *type;
    size_t i;
    json_array_foreach(types, i, type) {
        const char *name = json_string_value(type);
        if (!name || strcmp(name, "full_attention") != 0)
            FAIL(ERR_UNSUPPORTED, "%s: layer_types has %.64s; we do full_attention only", source.path,
                 name ? name : "something that is no name");
    }
    enum { MISTRAL_DEFAULT = 4096 };                    /* transformers' default where the key is absent */
    json_int_t window = json_object_get(source.json, "sliding_window") || !config->architecture->always_windowed
        ? json_integer_value(find(source.json, "sliding_window")) : MISTRAL_DEFAULT;
    bool used = config->architecture->always_windowed || flag(source.json, "use_sliding_window");
    if (used && window > 0 && window < config->shape.context)
        FAIL(ERR_UNSUPPORTED, "%s: attention in a sliding window of %lld tokens; we do full attention only", source.path,
             (long long)window);
    return OK;
}

static int check_settings(const HuggingFaceConfig *config, Source source)
{
    static const char *const unsupported_flags[] = { "mlp_bias", "rope_interleaved", "use_mrope" };
    for (size_t i = 0; i < sizeof unsupported_flags / sizeof *unsupported_flags; i++)
        if (flag(source.json, unsupported_flags[i]))
            FAIL(ERR_UNSUPPORTED, "%s: %s is true, which we do not do", source.path, unsupported_flags[i]);
    if (find(source.json, "quantization_config"))
        FAIL(ERR_UNSUPPORTED, "%s: the checkpoint is quantized (quantization_config); we read F32, F16 and BF16 checkpoints, or GGUF",
             source.path);
    const char *activation = json_string_value(find(source.json, "hidden_act"));
    if (activation && strcmp(activation, "silu") != 0)
        FAIL(ERR_UNSUPPORTED, "%s: hidden_act %.64s; we do silu only", source.path, activation);
    return check_window(config, source);
}

/* ---- rotary frequencies ---- */

static int scale_llama3(ModelShape *shape, const json_t *rope, Source source)
{
    Llama3Scaling scaling;
    TRY(positive(&scaling.factor, rope, "factor", source));
    TRY(positive(&scaling.low, rope, "low_freq_factor", source));
    TRY(positive(&scaling.high, rope, "high_freq_factor", source));
    TRY(positive(&scaling.original_context, rope, "original_max_position_embeddings", source));
    if (!(scaling.high > scaling.low)) FAIL(ERR_FORMAT, "%s: high_freq_factor is not above low_freq_factor", source.path);
    rotary_scale_llama3(shape->rotary, shape->head_dim / 2, &scaling);
    return OK;
}

static int check_rope(const json_t *rope, Source source)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)rope, key, value)
        if (json_is_object(value))
            FAIL(ERR_UNSUPPORTED, "%s: rotary settings of their own for %.64s; we do one setting for all layers", source.path, key);
    const json_t *holders[] = { rope, source.json };
    for (int i = 0; i < 2; i++) {
        const json_t *partial = find(holders[i], "partial_rotary_factor");
        if (partial && json_number_value(partial) != 1.0)
            FAIL(ERR_UNSUPPORTED, "%s: partial_rotary_factor is not 1; we rotate whole heads only", source.path);
    }
    return OK;
}

static int read_rope(ModelShape *shape, Source source)
{
    const json_t *rope = find(source.json, "rope_scaling");
    const json_t *parameters = find(source.json, "rope_parameters");
    if (!rope) rope = parameters;
    if (rope && !json_is_object(rope)) FAIL(ERR_FORMAT, "%s: rope_scaling or rope_parameters is not an object", source.path);
    TRY(check_rope(rope, source));

    double theta = 10000;
    const json_t *holders[] = { rope, parameters, source.json };
    for (int i = 2; i >= 0; i--)                        /* the most particular one counts */
        if (find(holders[i], "rope_theta")) TRY(positive(&theta, holders[i], "rope_theta", source));
    shape->rotary = xmalloc((size_t)(shape->head_dim / 2) * sizeof *shape->rotary);
    rotary_frequencies(shape->rotary, shape->head_dim, theta);

    const json_t *type = find(rope, "rope_type");
    if (!type) type = find(rope, "type");
    const char *name = type ? json_string_value(type) : "default";
    if (name && strcmp(name, "default") == 0) return OK;
    if (name && strcmp(name, "llama3") == 0) return scale_llama3(shape, rope, source);
    FAIL(ERR_UNSUPPORTED, "%s: rope scaling of type %.64s; we do default and llama3", source.path, name ? name : "that is no name");
}

static int read_config(HuggingFaceConfig *config, Source source)
{
    TRY(read_architecture(config, source));
    TRY(read_dimensions(config, source));
    TRY(check_settings(config, source));
    return read_rope(&config->shape, source);
}

int hugging_face_config_read(HuggingFaceConfig *out, const char *path)
{
    HuggingFaceConfig config = { 0 };
    json_t *json;
    TRY(json_object_from_file(&json, path));
    int status = read_config(&config, (Source){ json, path });
    json_decref(json);
    if (status != OK) free(config.shape.rotary);
    else *out = config;
    return status;
}
