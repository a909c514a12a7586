/* Models: the tiny checkpoints, the default model, the two orders of rotation, identity. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/tests/model_files.h"

#define TINY "core/tests/golden/tiny/"
enum { TINY_MODELS = 6 };

static const struct {
    const char *path, *architecture;
    int n_blocks, width, n_heads, n_kv_heads, head_dim, feed_forward, vocabulary;
    bool tied;
    double theta;
    int64_t n_parameters;           /* counted by hand from the dimensions */
} tiny[TINY_MODELS] = {
    { TINY "llama-mha-untied", "llama", 2, 48, 4, 4, 12, 96, 97, false, 1e4, 2 * (4 * 48 * 48 + 3 * 48 * 96 + 2 * 48) + 48 + 2 * 97 * 48 },
    { TINY "llama3-gqa-tied", "llama", 3, 64, 4, 2, 16, 128, 97, true, 5e5, 3 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128 + 2 * 64) + 64 + 97 * 64 },
    { TINY "qwen2-bias-tied", "qwen2", 2, 56, 4, 2, 14, 112, 97, true, 1e6,
      2 * (2 * 56 * 56 + 2 * 28 * 56 + 56 + 2 * 28 + 3 * 56 * 112 + 2 * 56) + 56 + 97 * 56 },
    { TINY "qwen3-qknorm", "qwen3", 2, 48, 4, 2, 16, 96, 97, false, 1e6,
      2 * (2 * 64 * 48 + 2 * 32 * 48 + 2 * 16 + 3 * 48 * 96 + 2 * 48) + 48 + 2 * 97 * 48 },
    { TINY "llama-sharded", "llama", 2, 48, 6, 1, 8, 80, 101, false, 1e4, 2 * (2 * 48 * 48 + 2 * 8 * 48 + 3 * 48 * 80 + 2 * 48) + 48 + 2 * 101 * 48 },
    { TINY "llama-v8", "llama", 1, 32, 2, 1, 16, 48, 8, false, 1e4, 2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 48 + 2 * 32 + 32 + 2 * 8 * 32 },
};

static Model *open_model(const char *path)
{
    Model *model = NULL;
    if (model_open(&model, path) != OK) fail_msg("%s", err_last());
    return model;
}

static int64_t columns(const Tensor *tensor) { return tensor->rank == 2 ? tensor->shape[1] : 1; }

/* All rows of a weight; the caller frees. */
static float *read_weight(const Model *model, WeightKind kind, int block)
{
    const Tensor *tensor = model_tensor(model, kind, block);
    float *values = malloc((size_t)(tensor->shape[0] * columns(tensor)) * sizeof *values);
    if (model_read(values, model, kind, block, 0, tensor->shape[0]) != OK) fail_msg("%s", err_last());
    return values;
}

static void tiny_checkpoints_have_their_shapes(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Model *model = open_model(tiny[i].path);
        const ModelShape *s = model_shape(model);
        assert_string_equal(s->architecture, tiny[i].architecture);
        assert_int_equal(s->n_blocks, tiny[i].n_blocks);
        assert_int_equal(s->width, tiny[i].width);
        assert_int_equal(s->n_heads, tiny[i].n_heads);
        assert_int_equal(s->n_kv_heads, tiny[i].n_kv_heads);
        assert_int_equal(s->head_dim, tiny[i].head_dim);
        assert_int_equal(s->feed_forward, tiny[i].feed_forward);
        assert_int_equal(s->vocabulary, tiny[i].vocabulary);
        assert_int_equal(s->context, 512);
        assert_int_equal(s->tied, tiny[i].tied);
        assert_int_equal(s->n_parameters, tiny[i].n_parameters);
        bool qwen2 = strcmp(s->architecture, "qwen2") == 0, qwen3 = strcmp(s->architecture, "qwen3") == 0;
        assert_int_equal(model_tensor(model, WEIGHT_Q_BIAS, 0) != NULL, qwen2);
        assert_null(model_tensor(model, WEIGHT_O_BIAS, 0));
        assert_int_equal(model_tensor(model, WEIGHT_K_NORM, s->n_blocks - 1) != NULL, qwen3);
        assert_int_equal(model_tensor(model, WEIGHT_HEAD, 0) == NULL, s->tied);
        model_close(&model);
        assert_null(model);
        model_close(&model);
    }
}

static void layers_are_block_major(void **state)
{
    (void)state;
    Model *model = open_model(TINY "qwen3-qknorm");
    assert_int_equal(model_layer_count(model), 14);
    for (int i = 0; i < 14; i++) {
        const Layer *layer = model_layer(model, i);
        assert_int_equal(model_layer_index(layer->block, layer->type), i);
        const Tensor *tensor = model_tensor(model, layer->type, layer->block);
        assert_int_equal(layer->rows, tensor->shape[0]);
        assert_int_equal(layer->cols, tensor->shape[1]);
    }
    assert_string_equal(model_layer(model, 0)->name, "blocks.0.q");
    assert_string_equal(model_layer(model, 13)->name, "blocks.1.down");
    model_close(&model);
}

static void a_tied_head_reads_the_embedding(void **state)
{
    (void)state;
    Model *model = open_model(TINY "qwen2-bias-tied");
    float *embedding = read_weight(model, WEIGHT_EMBEDDING, 0), head[3 * 56];
    assert_int_equal(model_read(head, model, WEIGHT_HEAD, 0, 90, 3), OK);
    assert_memory_equal(head, embedding + 90 * 56, sizeof head);
    free(embedding);
    model_close(&model);
}

/* transformers' default: theta^(-2i/d).  Llama 3: original context 64, so waves of at most 16 positions
 * are kept, those of 64 and more divided by 8, and one lies between. */
static void rotary_frequencies_are_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Model *model = open_model(tiny[i].path);
        const ModelShape *s = model_shape(model);
        int kept = 0, divided = 0, blended = 0;
        for (int k = 0; k < s->head_dim / 2; k++) {
            double plain = exp(-2.0 * k / s->head_dim * log(tiny[i].theta)), ratio = s->rotary[k] / plain, wave = 2 * M_PI / plain;
            double blend = (64 / wave - 1) / 3;
            double want = strstr(tiny[i].path, "llama3") == NULL || wave < 16 ? 1 : wave > 64 ? 1.0 / 8 : (1 - blend) / 8 + blend;
            assert_true(fabs(ratio / want - 1) <= 1e-13);
            *(want == 1 ? &kept : want == 1.0 / 8 ? &divided : &blended) += 1;
        }
        if (strstr(tiny[i].path, "llama3")) {
            assert_true(kept >= 1 && divided >= 1);
            assert_int_equal(blended, 1);
        } else assert_int_equal(kept, s->head_dim / 2);
        model_close(&model);
    }
}

static void assert_equal_weights(const Model *a, const Model *b)
{
    for (int block = 0; block < model_shape(a)->n_blocks; block++)
        for (WeightKind kind = WEIGHT_Q; kind < WEIGHT_COUNT; kind++) {
            const Tensor *tensor = model_tensor(a, kind, block);
            assert_int_equal(tensor != NULL, model_tensor(b, kind, block) != NULL);
            if (!tensor) continue;
            float *left = read_weight(a, kind, block), *right = read_weight(b, kind, block);
            assert_memory_equal(left, right, (size_t)(tensor->shape[0] * columns(tensor)) * sizeof *left);
            free(left);
            free(right);
        }
    assert_int_equal(model_shape(a)->n_parameters, model_shape(b)->n_parameters);
}

static Model *open_as_gguf(const Model *model, const char *architecture, double theta, const float *factors, uint32_t version)
{
    char *folder = folder_make(), *path = xformat("%s/model.gguf", folder);
    GgufWriter writer = gguf_from_model(model, architecture, theta);
    if (factors) gguf_put_tensor(&writer, "rope_freqs.weight", factors, 1, (int64_t[]){ model_shape(model)->head_dim / 2 });
    Bytes file = gguf_finish(&writer, version);
    bytes_write(&file, path);
    bytes_free(&file);
    Model *copy = open_model(path);         /* stays mapped when the file is gone */
    free(path);
    folder_remove(folder);
    return copy;
}

static void gguf_reads_equal_to_hugging_face(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Model *model = open_model(tiny[i].path);
        int half = model_shape(model)->head_dim / 2;
        float *factors = NULL;
        if (strstr(tiny[i].path, "llama3")) {
            factors = malloc((size_t)half * sizeof *factors);
            for (int k = 0; k < half; k++)
                factors[k] = (float)(pow(tiny[i].theta, -2.0 * k / (2 * half)) / model_shape(model)->rotary[k]);
        }
        Model *copy = open_as_gguf(model, tiny[i].architecture, tiny[i].theta, factors, i % 2 ? 2 : 3);
        assert_equal_weights(model, copy);
        for (int k = 0; k < half; k++)
            assert_true(fabs(model_shape(copy)->rotary[k] / model_shape(model)->rotary[k] - 1) <= (factors ? 1e-7 : 1e-13));
        free(factors);
        model_close(&copy);
        model_close(&model);
    }
}

/* qwen2's weights under the name of llama: adjacent pairs, with biases that are reordered like their rows. */
static void biases_follow_their_rows(void **state)
{
    (void)state;
    Model *model = open_model(TINY "qwen2-bias-tied");
    Model *copy = open_as_gguf(model, "llama", 1e6, NULL, 3);
    assert_equal_weights(model, copy);
    const Tensor *ours = model_tensor(model, WEIGHT_Q_BIAS, 0);
    float *bias = read_weight(model, WEIGHT_Q_BIAS, 0);
    assert_true(memcmp(bias, model_tensor(copy, WEIGHT_Q_BIAS, 0)->data, (size_t)ours->shape[0] * sizeof *bias) != 0);
    free(bias);
    model_close(&copy);
    model_close(&model);
}

static void row_ranges_are_parts_of_the_whole(void **state)
{
    (void)state;
    Model *model = open_model(TINY "llama-mha-untied"), *copy = open_as_gguf(model, "llama", 1e4, NULL, 3);
    float *whole = read_weight(model, WEIGHT_Q, 1), part[48 * 48];
    for (int64_t first = 0; first < 48; first += 5)
        for (int64_t n = 0; first + n <= 48; n += 7) {
            assert_int_equal(model_read(part, copy, WEIGHT_Q, 1, first, n), OK);
            assert_memory_equal(part, whole + first * 48, (size_t)n * 48 * sizeof *part);
        }
    free(whole);
    model_close(&copy);
    model_close(&model);
}

/* The place of a model does not matter, one bit of a weight does. */
static void the_hash_is_of_the_content(void **state)
{
    (void)state;
    char first[HASH_TEXT], again[HASH_TEXT], other[HASH_TEXT];
    Model *model = open_model(TINY "llama-v8");
    assert_int_equal(model_hash(first, model), OK);
    assert_int_equal(model_hash(again, model), OK);
    assert_int_equal(strlen(first), 64);
    assert_string_equal(first, again);
    model_close(&model);

    char *folder = folder_make(), *config = xformat("%s/config.json", folder), *weights = xformat("%s/model.safetensors", folder);
    Bytes bytes = bytes_read(TINY "llama-v8/config.json");
    bytes_write(&bytes, config);
    bytes_free(&bytes);
    bytes = bytes_read(TINY "llama-v8/model.safetensors");
    for (int changed = 0; changed < 2; changed++) {
        bytes.data[bytes.n - 4] ^= (unsigned char)changed;
        bytes_write(&bytes, weights);
        model = open_model(folder);
        assert_int_equal(model_hash(other, model), OK);
        assert_int_equal(strcmp(first, other) != 0, changed);
        model_close(&model);
    }
    bytes_free(&bytes);
    free(config);
    free(weights);
    folder_remove(folder);
}

/* ---- the default model ---- */

static void check_weight(const char *name, WeightKind kind, int block, const Model *model, const json_t *golden)
{
    const json_t *check = json_object_get(golden, name);
    assert_non_null(check);
    const Tensor *tensor = model_tensor(model, kind, block);
    int64_t n = tensor->shape[0] * columns(tensor);
    float *w = read_weight(model, kind, block);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
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
    assert_int_equal(model_layer_count(model), 210);
    assert_int_equal(model_shape(model)->n_parameters, 134515008);
    json_t *golden = json_load_file("core/tests/golden/smollm2.json", 0, NULL);
    const json_t *checks = json_object_get(golden, "weight_check");
    check_weight("model.embed_tokens.weight", WEIGHT_EMBEDDING, 0, model, checks);
    check_weight("model.layers.0.self_attn.q_proj.weight", WEIGHT_Q, 0, model, checks);
    check_weight("model.layers.0.self_attn.k_proj.weight", WEIGHT_K, 0, model, checks);
    check_weight("model.layers.29.mlp.down_proj.weight", WEIGHT_DOWN, 29, model, checks);
    check_weight("model.norm.weight", WEIGHT_FINAL_NORM, 0, model, checks);
    json_decref(golden);
    model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_checkpoints_have_their_shapes),
        cmocka_unit_test(layers_are_block_major),
        cmocka_unit_test(a_tied_head_reads_the_embedding),
        cmocka_unit_test(rotary_frequencies_are_the_definition),
        cmocka_unit_test(gguf_reads_equal_to_hugging_face),
        cmocka_unit_test(biases_follow_their_rows),
        cmocka_unit_test(row_ranges_are_parts_of_the_whole),
        cmocka_unit_test(the_hash_is_of_the_content),
        cmocka_unit_test(default_model_has_the_reference_weights),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
