/*
 * hugging_face_copies.h - tiny models, the directories that hugging_face_write makes of them, and what must be the same in both
 */
#ifndef CORE_TESTS_HUGGING_FACE_COPIES_H
#define CORE_TESTS_HUGGING_FACE_COPIES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/model/hugging_face_write.h"
#include "core/tests/program.h"

#define GOLDEN "core/tests/golden/tiny/"
enum { ENOUGH = 1 << 30 };

static inline Model *opened(const char *path)
{
    Model *model = NULL;
    if (model_open(&model, path) != OK) fail_msg("%s", err_last());
    return model;
}

static inline Model *open_tiny(const char *name)
{
    char *path = xformat(GOLDEN "%s", name);
    Model *model = opened(path);
    free(path);
    return model;
}

static inline int64_t count(const Tensor *tensor) { return tensor->shape[0] * (tensor->rank == 2 ? tensor->shape[1] : 1); }

static inline float *weights_of(const Model *model, WeightKind kind, int block)
{
    const Tensor *tensor = model_tensor(model, kind, block);
    float *w = xmalloc((size_t)count(tensor) * sizeof *w);
    if (model_read(w, model, kind, block, 0, tensor->shape[0]) != OK) fail_msg("%s", err_last());
    return w;
}

static inline void assert_same_shape(const ModelShape *a, const ModelShape *b, double frequency_tolerance)
{
    assert_string_equal(a->architecture, b->architecture);
    assert_int_equal(a->n_blocks, b->n_blocks);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->n_heads, b->n_heads);
    assert_int_equal(a->n_kv_heads, b->n_kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->feed_forward, b->feed_forward);
    assert_int_equal(a->vocabulary, b->vocabulary);
    assert_int_equal(a->context, b->context);
    assert_int_equal(a->tied, b->tied);
    assert_true(a->norm_epsilon == b->norm_epsilon);
    assert_int_equal(a->n_parameters, b->n_parameters);
    for (int i = 0; i < a->head_dim / 2; i++) assert_true(fabs(a->rotary[i] - b->rotary[i]) <= frequency_tolerance * a->rotary[i]);
}

/* Every weight bit for bit, but that of one layer if it is scaled. */
static inline void assert_same_weights(const Model *a, const Model *b, int scaled_layer, float scale)
{
    for (int block = 0; block < model_shape(a)->n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q; kind < WEIGHT_COUNT; kind++) {
            const Tensor *tensor = model_tensor(a, kind, block);
            assert_int_equal(tensor != NULL, model_tensor(b, kind, block) != NULL);
            if (!tensor) continue;
            float *left = weights_of(a, kind, block), *right = weights_of(b, kind, block);
            if (kind <= WEIGHT_DOWN && model_layer_index(block, kind) == scaled_layer)
                for (int64_t i = 0; i < count(tensor); i++) left[i] *= scale;
            assert_memory_equal(left, right, (size_t)count(tensor) * sizeof *left);
            free(left);
            free(right);
        }
}

static inline HuggingFaceOutput plain_output(void) { return (HuggingFaceOutput){ .dtype = DTYPE_F32, .file_bytes = ENOUGH, .force = true }; }

static inline Model *written(const Model *model, const char *name, const HuggingFaceOutput *output)
{
    int64_t n_bytes;
    const char *path = scratch_path(name);
    if (hugging_face_write(&n_bytes, path, model, output) != OK) fail_msg("%s", err_last());
    return opened(path);
}

static inline json_t *config_of(const char *name)
{
    char *path = xformat("%s/config.json", scratch_path(name));
    json_t *config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    free(path);
    return config;
}

#endif
