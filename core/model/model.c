#include "core/model/model.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/model/model_build.h"
#include "core/model/random_model.h"

const char *const layer_type_name[LAYER_TYPES] = { "q", "k", "v", "o", "gate", "up", "down" };

static int read_any(Model *model)
{
    struct stat status;
    if (stat(model->path, &status) != 0)
        FAIL(ERR_FILE, "%s: %s; a model is a Hugging Face directory or a .gguf file (make model fetches the default one)", model->path, strerror(errno));
    return S_ISDIR(status.st_mode) ? hugging_face_read(model) : gguf_model_read(model);
}

int model_open(Model **out, const char *path)
{
    if (!strncmp(path, RANDOM_MODEL, strlen(RANDOM_MODEL))) return model_random(out, path + strlen(RANDOM_MODEL));
    Model *model = xcalloc(1, sizeof *model);
    model->path = xstrdup(path);
    model->hash = xcalloc(1, HASH_TEXT);
    int status = read_any(model);
    if (status != OK) model_close(&model);
    else *out = model;
    return status;
}

void model_close(Model **model)
{
    Model *closing = *model;
    if (!closing) return;
    safetensors_close(&closing->files);
    gguf_close(&closing->gguf);
    random_weights_free(closing->random);
    free(closing->shape.rotary);
    free(closing->weights);
    free(closing->layers);
    free(closing->hash);
    free(closing->path);
    free(closing);
    *model = NULL;
}

const ModelShape *model_shape(const Model *model) { return &model->shape; }
const char *model_path(const Model *model) { return model->path; }
int model_layer_count(const Model *model) { return model->shape.n_blocks * LAYER_TYPES; }
const Layer *model_layer(const Model *model, int index) { return &model->layers[index]; }
int model_layer_index(int block, WeightKind type) { return block * LAYER_TYPES + (int)type; }

const Tensor *model_tensor(const Model *model, WeightKind kind, int block)
{
    assert(block >= 0 && block < model->shape.n_blocks);
    return model->weights[block * WEIGHT_COUNT + (int)kind];
}

/* ---- reading ---- */

static bool rotated(WeightKind kind)
{
    return kind == WEIGHT_Q || kind == WEIGHT_K || kind == WEIGHT_Q_BIAS || kind == WEIGHT_K_BIAS;
}

/* Where the file keeps a row: halves split put index i of a head beside i + head_dim/2, adjacent
 * pairs put them at 2i and 2i + 1. */
static int64_t row_in_file(const Model *model, WeightKind kind, int64_t row)
{
    if (!model->adjacent_pairs || !rotated(kind)) return row;
    int64_t head_dim = model->shape.head_dim, index = row % head_dim, half = head_dim / 2;
    return row - index + 2 * (index % half) + index / half;
}

/* The exponent of an infinity or a NaN is all ones.  Written on the bits so that it vectorizes. */
static bool all_finite(const float *values, int64_t n)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        bad |= (bits & 0x7f800000) == 0x7f800000;
    }
    return !bad;
}

/* The tensor that holds a weight: that of the embedding where the head is tied. */
static const Tensor *tensor_of(const Model *model, WeightKind kind, int block)
{
    return model_tensor(model, kind == WEIGHT_HEAD && model->shape.tied ? WEIGHT_EMBEDDING : kind, block);
}

static int64_t columns(const Tensor *tensor) { return tensor->rank == 2 ? tensor->shape[1] : 1; }

static size_t row_bytes(const Tensor *tensor)
{
    return (size_t)(columns(tensor) / dtype_block_weights(tensor->dtype)) * dtype_block_bytes(tensor->dtype);
}

static int not_finite(const Model *model, const Tensor *tensor, int64_t row)
{
    FAIL(ERR_FORMAT, "%s: tensor '%s' holds a value that is not finite (row %lld)", model->path, tensor->name, (long long)row);
}

int model_read(float *out, const Model *model, WeightKind kind, int block, int64_t first, int64_t n)
{
    const Tensor *tensor = tensor_of(model, kind, block);
    assert(tensor && first >= 0 && n >= 0 && first <= tensor->shape[0] - n);
    const int64_t cols = columns(tensor);
    for (int64_t row = first; row < first + n; row++, out += cols) {
        int64_t from = row_in_file(model, kind, row);
        dtype_to_float(out, tensor->data + (size_t)from * row_bytes(tensor), cols, tensor->dtype);
        if (!all_finite(out, cols)) return not_finite(model, tensor, from);
    }
    return OK;
}

const unsigned char *model_half(bool *bf16, const Model *model, WeightKind kind, int block, int64_t first)
{
    const Tensor *tensor = tensor_of(model, kind, block);
    if ((tensor->dtype != DTYPE_F16 && tensor->dtype != DTYPE_BF16) || (model->adjacent_pairs && rotated(kind))) return NULL;
    *bf16 = tensor->dtype == DTYPE_BF16;
    return tensor->data + (size_t)first * row_bytes(tensor);
}

static bool all_finite_half(const unsigned char *data, int64_t n, uint16_t exponent)
{
    uint16_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return !bad;
}

int model_check(const Model *model, WeightKind kind, int block, int64_t first, int64_t n)
{
    const Tensor *tensor = tensor_of(model, kind, block);
    const uint16_t exponent = tensor->dtype == DTYPE_BF16 ? 0x7f80 : 0x7c00;
    assert(first >= 0 && n >= 0 && first <= tensor->shape[0] - n);
    for (int64_t row = first; row < first + n; row++)
        if (!all_finite_half(tensor->data + (size_t)row * row_bytes(tensor), columns(tensor), exponent)) return not_finite(model, tensor, row);
    return OK;
}

/* ---- identity ---- */

static void hash_shape(Hash *hash, const ModelShape *s)
{
    char *text = xformat("%s blocks %d width %d heads %d %d of %d feed_forward %d vocabulary %d context %d epsilon %a tied %d\n",
                         s->architecture, s->n_blocks, s->width, s->n_heads, s->n_kv_heads, s->head_dim, s->feed_forward,
                         s->vocabulary, s->context, (double)s->norm_epsilon, s->tied);
    hash_add(hash, text, strlen(text));
    hash_add(hash, s->rotary, (size_t)(s->head_dim / 2) * sizeof *s->rotary);
    free(text);
}

int model_hash(char out[HASH_TEXT], const Model *model)
{
    if (!*model->hash) {
        Hash *hash = hash_begin();
        hash_shape(hash, &model->shape);
        for (int i = 0; i < model->shape.n_blocks * WEIGHT_COUNT; i++) {
            const Tensor *tensor = model->weights[i];
            if (!tensor) continue;
            hash_add(hash, tensor->name, strlen(tensor->name) + 1);
            hash_add(hash, dtype_name(tensor->dtype), strlen(dtype_name(tensor->dtype)) + 1);
            hash_add(hash, tensor->data, tensor->n_bytes);
        }
        hash_end(hash, model->hash);
    }
    memcpy(out, model->hash, HASH_TEXT);
    return OK;
}
