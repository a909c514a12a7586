/* Models: the tiny checkpoints, the default model, the two orders of rotation, identity. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/err.h"
#include "core/model/model.h"

#define TINY "core/tests/golden/tiny/"

static Model *open_model(const char *path)
{
    Model *model = NULL;
    if (model_open(&model, path) != OK) fail_msg("%s", err_last());
    return model;
}

typedef struct {
    const char *path, *architecture;
    int n_blocks, width, n_heads, n_kv_heads, head_dim, feed_forward, vocabulary;
    bool tied;
    int64_t n_parameters;
} Expected;

static const Expected tiny[] = {
    { TINY "llama-mha-untied", "llama", 2, 48, 4, 4, 12, 96, 97, false, 0 },
    { TINY "llama3-gqa-tied", "llama", 3, 64, 4, 2, 16, 128, 97, true, 0 },
    { TINY "qwen2-bias-tied", "qwen2", 2, 56, 4, 2, 14, 112, 97, true, 0 },
    { TINY "qwen3-qknorm", "qwen3", 2, 48, 4, 2, 16, 96, 97, false, 0 },
    { TINY "llama-sharded", "llama", 2, 48, 6, 1, 8, 80, 101, false, 0 },
    { TINY "llama-v8", "llama", 1, 32, 2, 1, 16, 48, 8, false, 0 },
};

static void tiny_checkpoints_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tiny / sizeof *tiny; i++) {
        Model *model = open_model(tiny[i].path);
        model_close(&model);
    }
}

static void weight_check(const char *name, WeightKind kind, int block, const Model *model, const json_t *golden)
{
    const json_t *check = json_object_get(golden, name);
    assert_non_null(check);
    const Tensor *tensor = model_tensor(model, kind, block);
    int64_t cols = tensor->rank == 2 ? tensor->shape[1] : 1, n = tensor->shape[0] * cols;
    float *w = malloc((size_t)n * sizeof *w);
    assert_int_equal(model_read(w, model, kind, block, 0, tensor->shape[0]), OK);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += w[i];
        squares += (double)w[i] * w[i];
    }
    free(w);
    double want = json_real_value(json_object_get(check, "sum")), norm = json_real_value(json_object_get(check, "norm"));
    assert_true(fabs(sum - want) <= 1e-9 * fabs(want));
    assert_true(fabs(sqrt(squares) - norm) <= 1e-9 * norm);
}

static void default_model_has_the_reference_weights(void **state)
{
    (void)state;
    const char *path = getenv("LINEARITY_MODEL");
    if (!path || access(path, R_OK) != 0) {
        print_message("SKIPPED: LINEARITY_MODEL does not name a file\n");
        skip();
    }
    Model *model = open_model(path);
    json_t *golden = json_load_file("core/tests/golden/smollm2.json", 0, NULL);
    const json_t *checks = json_object_get(golden, "weight_check");
    weight_check("model.embed_tokens.weight", WEIGHT_EMBEDDING, 0, model, checks);
    weight_check("model.layers.0.self_attn.q_proj.weight", WEIGHT_Q, 0, model, checks);
    weight_check("model.layers.0.self_attn.k_proj.weight", WEIGHT_K, 0, model, checks);
    weight_check("model.layers.29.mlp.down_proj.weight", WEIGHT_DOWN, 29, model, checks);
    weight_check("model.norm.weight", WEIGHT_FINAL_NORM, 0, model, checks);
    json_decref(golden);
    model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_checkpoints_open),
        cmocka_unit_test(default_model_has_the_reference_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
