/* test_hugging_face_write.c - a written directory is the model again: weights in any dtype and shards, config.json, what lies beside them */
#include "core/tests/hugging_face_copies.h"

#include "core/model/hugging_face_config_write.h"
#include "core/model/hugging_face_names.h"
#include "core/model/model_build.h"

enum { TINY_MODELS = 6 };
static const char *const tiny[TINY_MODELS] = { "llama-mha-untied", "llama3-gqa-tied", "qwen2-bias-tied", "qwen3-qknorm", "llama-sharded", "llama-v8" };

/* ---- weights ---- */

static void a_copy_is_the_model(void **state)
{
    (void)state;
    for (int i = 0; i < TINY_MODELS; i++) {
        Model *model = open_tiny(tiny[i]);
        HuggingFaceOutput output = plain_output();
        Model *copy = written(model, "copy", &output);
        assert_same_shape(model_shape(model), model_shape(copy), 0);
        assert_same_weights(model, copy, -1, 1);
        assert_int_equal(model_tensor(copy, WEIGHT_Q, 0)->dtype, DTYPE_F32);
        model_close(&copy);
        model_close(&model);
    }
}

/* No file is larger than it may be, unless it is a single tensor, and no two neighbours would have fitted into one. */
static void assert_file_sizes(const Model *copy, int64_t most)
{
    int64_t before = 0;
    for (int i = 0; i < copy->files.n_maps; i++) {
        int64_t used = 0, n = 0;
        for (int t = 0; t < copy->files.tensors.n; t++) {
            const Tensor *tensor = &copy->files.tensors.tensors[t];
            const bool here = tensor->data >= copy->files.maps[i].data && tensor->data < copy->files.maps[i].data + copy->files.maps[i].n_bytes;
            used += here ? (int64_t)tensor->n_bytes : 0;
            n += here;
        }
        assert_true(n == 1 || used <= most);
        assert_true(i == 0 || before + used > most);
        before = used;
    }
}

/* Shards of every size, from one tensor each to all in one. */
static void shards_are_the_model(void **state)
{
    (void)state;
    Model *model = open_tiny("qwen2-bias-tied");
    int last = 1000;
    for (int64_t bytes = 1; bytes < 1 << 19; bytes = 4 * bytes + 17) {
        HuggingFaceOutput output = plain_output();
        output.file_bytes = bytes;
        Model *copy = written(model, "shards", &output);
        assert_same_weights(model, copy, -1, 1);
        assert_file_sizes(copy, bytes);
        int n = 0;
        char *name = NULL;
        do {                                        /* shards 1 to n are there, and no others */
            free(name);
            name = xformat("shards/model-%05d-of-%05d.safetensors", 1, ++n);
        } while (!file_there(scratch_path(name)) && n < 100);
        assert_int_equal(file_there(scratch_path("shards/model.safetensors")), n == 100);
        assert_int_equal(file_there(scratch_path("shards/model.safetensors.index.json")), n < 100);
        assert_true((n == 100 ? 1 : n) <= last);
        last = n == 100 ? 1 : n;
        if (bytes == 1) assert_int_equal(n, 1 + 2 * 12 + 1);        /* embedding, two blocks of 7 matrices, 3 biases, 2 norms; norm */
        free(name);
        model_close(&copy);
    }
    assert_int_equal(last, 1);
    model_close(&model);
}

typedef struct { int next, layer; float scale; } Scaling;

static int scale_layer(float *w, const Model *model, int index, void *context)
{
    Scaling *scaling = context;
    assert_int_equal(index, scaling->next++);       /* in order, each once */
    const Layer *layer = model_layer(model, index);
    for (int64_t i = 0; i < layer->rows * layer->cols && index == scaling->layer; i++) w[i] *= scaling->scale;
    return OK;
}

static void a_layer_is_replaced(void **state)
{
    (void)state;
    Model *model = open_tiny("llama3-gqa-tied");
    for (int layer = 0; layer < model_layer_count(model); layer += 5) {
        Scaling scaling = { .layer = layer, .scale = -0.75f };
        HuggingFaceOutput output = plain_output();
        output.replace = scale_layer;
        output.context = &scaling;
        Model *copy = written(model, "replaced", &output);
        assert_int_equal(scaling.next, model_layer_count(model));
        assert_same_weights(model, copy, layer, scaling.scale);
        model_close(&copy);
    }
    model_close(&model);
}

static int fail_late(float *w, const Model *model, int index, void *context)
{
    (void)w, (void)model, (void)context;
    if (index == 5) FAIL(ERR_BUDGET, "layer five");
    return OK;
}

static void a_failure_leaves_nothing(void **state)
{
    (void)state;
    Model *model = open_tiny("llama-mha-untied");
    HuggingFaceOutput output = plain_output();
    output.replace = fail_late;
    int64_t n_bytes;
    const char *path = scratch_path("failed");
    assert_int_equal(hugging_face_write(&n_bytes, path, model, &output), ERR_BUDGET);
    assert_string_equal(err_last(), "layer five");
    char *temporary = xformat("%s.linearity-tmp", path);
    assert_false(file_there(path) || file_there(temporary));
    free(temporary);
    model_close(&model);
}

/* bfloat16 to bfloat16 loses nothing; a float32 model is rounded once. */
static void dtypes_are_kept_and_rounded(void **state)
{
    (void)state;
    Model *model = open_tiny("llama3-gqa-tied");
    HuggingFaceOutput output = plain_output();
    output.dtype = DTYPE_BF16;
    Model *copy = written(model, "bf16", &output);
    assert_same_weights(model, copy, -1, 1);
    model_close(&copy);
    model_close(&model);
    model = open_tiny("llama-mha-untied");
    output.dtype = DTYPE_F16;
    copy = written(model, "f16", &output);
    const Tensor *tensor = model_tensor(copy, WEIGHT_UP, 1);
    assert_int_equal(tensor->dtype, DTYPE_F16);
    float *w = weights_of(model, WEIGHT_UP, 1), *v = weights_of(copy, WEIGHT_UP, 1);
    int changed = 0;
    for (int64_t i = 0; i < count(tensor); i++) {
        assert_true(fabs((double)v[i] - w[i]) <= 0x1p-11 * fabs((double)w[i]) + 0x1p-25);
        changed += v[i] != w[i];
    }
    assert_true(changed > count(tensor) / 2);
    free(w);
    free(v);
    model_close(&copy);
    model_close(&model);
}

/* ---- config.json and what lies beside it ---- */

/* A directory's own config but for the dtype, whichever generation of the key it has. */
static void a_directory_keeps_its_config(void **state)
{
    (void)state;
    static const char *const key[] = { "torch_dtype", "dtype" };
    for (int i = 0; i < 2; i++) {
        const char *path = model_copy("original", TINY);
        json_t *config = config_of("original");
        json_object_del(config, "torch_dtype");
        json_object_set_new(config, key[i], json_string("bfloat16"));
        json_object_set_new(config, "something_new", json_pack("{s:[f, f], s:n}", "a", 0.1, 1e-300, "b"));
        char *file = xformat("%s/config.json", path);
        assert_int_equal(json_dump_file(config, file, 0), 0);
        Model *model = opened(path);
        HuggingFaceOutput output = plain_output();
        output.dtype = DTYPE_F16;
        Model *copy = written(model, "kept", &output);
        json_object_set_new(config, key[i], json_string("float16"));
        json_t *got = config_of("kept");
        assert_true(json_equal(got, config));
        json_decref(got);
        json_decref(config);
        free(file);
        model_close(&copy);
        model_close(&model);
    }
}

static void companions_come_along(void **state)
{
    (void)state;
    static const char *const file[] = { "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
                                        "vocab.json", "merges.txt", "tokenizer.model" };
    const char *path = model_copy("companions", TINY);
    for (int i = 0; i < 7; i++) {
        char *name = xformat("companions/%s", file[i]);
        scratch_bytes(name, file[i], i == 5 ? 0 : strlen(file[i]) + 1);      /* an empty one, and zero bytes */
        free(name);
    }
    scratch_text("companions/README.md", "stays");
    Model *model = opened(path);
    HuggingFaceOutput output = plain_output();
    Model *copy = written(model, "with", &output);
    for (int i = 0; i < 7; i++) {
        char *name = xformat("with/%s", file[i]);
        size_t n;
        char *bytes = file_read(scratch_path(name), &n);
        assert_non_null(bytes);
        assert_int_equal(n, i == 5 ? 0 : strlen(file[i]) + 1);
        assert_memory_equal(bytes, file[i], n);
        free(bytes);
        free(name);
    }
    assert_false(file_there(scratch_path("with/README.md")));
    model_close(&copy);
    model_close(&model);
}

static void names_are_known(void **state)
{
    (void)state;
    static const char *const ours[] = { "config.json", "model.safetensors", "model.safetensors.index.json", "model-00001-of-00012.safetensors", "merges.txt" };
    static const char *const others[] = { "model-1-of-2.safetensors", "model-00001-of-00012.safetensors.tmp", "README.md", "config.json~", "adapter.safetensors" };
    for (int i = 0; i < 5; i++) {
        assert_true(hugging_face_is_file(ours[i]));
        assert_false(hugging_face_is_file(others[i]));
    }
}

/* ---- numbers ---- */

static void numbers_read_back(void **state)
{
    (void)state;
    json_t *object = json_pack("{s:f, s:f, s:f, s:f, s:i, s:s}", "eps", 1e-5, "theta", 5e5, "third", 1.0 / 3, "float", (double)1e-5f, "n", 7, "word", "a/\xc3\xa9\"");
    char *text = hugging_face_json_text(object);
    json_t *read = json_loads(text, 0, NULL);
    assert_true(json_equal(read, object));
    free(text);
    json_decref(read);
    json_decref(object);
    object = json_pack("{s:f, s:f}", "eps", 1e-5, "theta", 5e5);
    text = hugging_face_json_text(object);
    assert_string_equal(text, "{\n  \"eps\": 1e-5,\n  \"theta\": 500000.0\n}");
    free(text);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_the_model), cmocka_unit_test(shards_are_the_model), cmocka_unit_test(a_layer_is_replaced),
        cmocka_unit_test(a_failure_leaves_nothing), cmocka_unit_test(dtypes_are_kept_and_rounded), cmocka_unit_test(a_directory_keeps_its_config),
        cmocka_unit_test(companions_come_along), cmocka_unit_test(names_are_known), cmocka_unit_test(numbers_read_back),
    };
    int failed = cmocka_run_group_tests_name("hugging_face_write", tests, NULL, NULL);
    scratch_remove();
    return failed;
}
