#include "core/model/hugging_face_config_write.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/hugging_face_names.h"
#include "core/model/json.h"
#include "core/model/model_build.h"
#include "core/model/rotary.h"

static const char *dtype_word(Dtype dtype) { return dtype == DTYPE_F32 ? "float32" : dtype == DTYPE_F16 ? "float16" : "bfloat16"; }

/* ---- rotary frequencies of a GGUF file ---- */

static bool same_frequencies(const double *a, const double *b, int n)
{
    const double tolerance = 2e-5;
    for (int i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance * fabs(b[i]))) return false;
    return true;
}

static bool scaling_fits(const Llama3Scaling *scaling, const ModelShape *shape, double theta)
{
    const int n = shape->head_dim / 2;
    double *frequencies = xmalloc(sizeof *frequencies * (size_t)n);
    rotary_frequencies(frequencies, shape->head_dim, theta);
    if (scaling) rotary_scale_llama3(frequencies, n, scaling);
    bool fits = same_frequencies(frequencies, shape->rotary, n);
    free(frequencies);
    return fits;
}

/* The lowest frequency is divided by the whole factor; the context that the model had before is a power of two. */
static bool find_scaling(Llama3Scaling *out, const ModelShape *shape, double theta)
{
    const int last = shape->head_dim / 2 - 1;
    const double lowest = pow(theta, -2.0 * last / shape->head_dim);
    *out = (Llama3Scaling){ .factor = (float)(lowest / shape->rotary[last]), .low = 1, .high = 4 };
    for (out->original_context = 16; out->original_context <= 1 << 24; out->original_context *= 2)
        if (scaling_fits(out, shape, theta)) return true;
    return false;
}

static int rope_scaling(json_t **out, const Model *model, double theta)
{
    Llama3Scaling scaling;
    *out = json_null();
    if (scaling_fits(NULL, &model->shape, theta)) return OK;
    if (!find_scaling(&scaling, &model->shape, theta))
        FAIL(ERR_UNSUPPORTED, "%s: its factors of the rotary frequencies are not those of rope scaling llama3, the only one that can be written to config.json",
             model->path);
    *out = json_pack("{s:s, s:f, s:f, s:f, s:i}", "rope_type", "llama3", "factor", scaling.factor, "low_freq_factor", scaling.low,
                     "high_freq_factor", scaling.high, "original_max_position_embeddings", (int)scaling.original_context);
    return OK;
}

/* ---- a config from the shape ---- */

/* In GGUF each bias is there or not; config.json has one word for the four of all blocks. */
static int attention_bias(bool *out, const Model *model, const Architecture *architecture)
{
    int there = 0, possible = 0;
    for (int block = 0; block < model->shape.n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q_BIAS; kind <= WEIGHT_O_BIAS; kind++, possible++) there += model_tensor(model, kind, block) != NULL;
    if (architecture->bias_setting && there != 0 && there != possible)
        FAIL(ERR_UNSUPPORTED, "%s: %d of %d attention biases are there, and config.json can only say all or none", model->path, there, possible);
    *out = there > 0;
    return OK;
}

/* The number that was written before it became a float32: 1e-05, not 9.9999997e-06. */
static double shortest(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    return strtod(text, NULL);
}

static void set_token(json_t *config, const char *key, const Model *model, const char *gguf_key)
{
    int64_t id;
    if (gguf_integer(model->gguf, gguf_key, &id) && id >= 0 && id < model->shape.vocabulary) json_object_set_new(config, key, json_integer(id));
}

static json_t *shape_config(const ModelShape *s, const Architecture *architecture)
{
    return json_pack("{s:[s], s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:i, s:b}", "architectures", architecture->class_name,
                     "model_type", architecture->name, "hidden_act", "silu", "hidden_size", s->width, "intermediate_size", s->feed_forward,
                     "num_hidden_layers", s->n_blocks, "num_attention_heads", s->n_heads, "num_key_value_heads", s->n_kv_heads,
                     "head_dim", s->head_dim, "rms_norm_eps", shortest(s->norm_epsilon), "vocab_size", s->vocabulary,
                     "max_position_embeddings", s->context, "tie_word_embeddings", s->tied);
}

static int config_of_gguf(json_t **out, const Model *model)
{
    const Architecture *architecture = architecture_find(model->shape.architecture);
    char *key = xformat("%s.rope.freq_base", model->shape.architecture);
    double theta = 10000;
    gguf_number(model->gguf, key, &theta);
    free(key);
    bool bias = false;
    TRY(attention_bias(&bias, model, architecture));
    json_t *scaling;
    TRY(rope_scaling(&scaling, model, theta));
    json_t *config = shape_config(&model->shape, architecture);
    json_object_set_new(config, "rope_theta", json_real(theta));
    json_object_set_new(config, "rope_scaling", scaling);
    if (architecture->bias_setting) json_object_set_new(config, "attention_bias", json_boolean(bias));
    set_token(config, "bos_token_id", model, "tokenizer.ggml.bos_token_id");
    set_token(config, "eos_token_id", model, "tokenizer.ggml.eos_token_id");
    *out = config;
    return OK;
}

/* ---- both kinds ---- */

static int config_of_directory(json_t **out, const Model *model)
{
    char *path = xformat("%s/" HUGGING_FACE_CONFIG, model->path);
    int status = json_object_from_file(out, path);
    free(path);
    return status;
}

/* Both generations of the key: transformers 5 writes "dtype". */
static void set_dtype(json_t *config, Dtype dtype)
{
    const bool new_key = json_object_get(config, "dtype") != NULL, old_key = json_object_get(config, "torch_dtype") != NULL;
    if (new_key) json_object_set_new(config, "dtype", json_string(dtype_word(dtype)));
    if (old_key || !new_key) json_object_set_new(config, "torch_dtype", json_string(dtype_word(dtype)));
}

int hugging_face_config_make(json_t **out, const Model *model, Dtype dtype)
{
    TRY(model->gguf ? config_of_gguf(out, model) : config_of_directory(out, model));
    set_dtype(*out, dtype);
    return OK;
}

char *hugging_face_json_text(const json_t *object)
{
    enum { USUAL = 15, EXACT = 17 };
    for (size_t digits = USUAL;; digits++) {
        char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(digits));
        json_t *read = json_loads(text, 0, NULL);
        bool same = digits == EXACT || json_equal(read, object);
        json_decref(read);
        if (!same) free(text);
        else return text;
    }
}
