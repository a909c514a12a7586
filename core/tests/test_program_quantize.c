/* test_program_quantize.c - linearity quantize: what it prints is what the directory it wrote has */
#include "core/tests/program_quantize.h"

#include <math.h>

#include "core/tests/model_files.h"
#include "core/tests/program_tokenizer.h"

static const char ids[] = "5 1 3 7 6 0 2 4\n1 2 3 4 5 6\n";

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static json_t *kl_layers(const char *model, const char *out)
{
    json_t *root = parsed(program("kl", model, out, scratch_text("a.ids", ids), "--json", "--quiet", NULL)), *layers = json_object_get(root, "layers");
    assert_true(isfinite(number(root, "kl")));
    json_incref(layers);
    json_decref(root);
    return layers;
}

/* t^2 of every layer as kl finds it in the files, to the last bit; bits as the method defines them; info the same. */
static void check_model(const char *model, const char *dtype, double least_t2, double most_t2)
{
    const char *out = scratch_path("q");
    json_t *root = parsed(program("quantize", model, "--method", "rtn", "--set", "bits=3", "--set", "group=16", "--set", "symmetric=yes", "--dtype", dtype,
                                  "--out", out, "--force", "--json", "--quiet", NULL));
    json_t *layers = json_object_get(root, "layers"), *read = kl_layers(model, out), *layer;
    const json_t *stages = json_object_get(root, "stages"), *whole = json_array_get(stages, 0);
    assert_int_equal(json_object_size(root), 3);
    assert_int_equal(json_array_size(stages), 1);           /* nothing is collected for this method */
    assert_string_equal(text_of(whole, "stage"), "in all");
    assert_true(number(whole, "seconds") > 0 && number(whole, "peak") > 1e6);
    assert_int_equal(json_array_size(layers), json_array_size(read));
    double bits = 0, weights = 0;
    json_t *info = parsed(program("info", model, "--json", NULL)), *shapes = json_object_get(info, "layers");
    size_t i;
    json_array_foreach(layers, i, layer) {
        json_t *shape = json_array_get(shapes, i);
        const double cols = number(shape, "cols"), n = cols * number(shape, "rows");
        assert_int_equal(json_object_size(layer), 5);
        assert_string_equal(text_of(layer, "name"), text_of(json_array_get(read, i), "name"));
        assert_true(number(layer, "t2") == number(json_array_get(read, i), "t2"));
        assert_true(number(layer, "t2") > least_t2 && number(layer, "t2") < most_t2);
        assert_true(fabs(number(layer, "bits") - (3 + ceil(cols / 16) * 16 / cols)) <= 1e-12);
        assert_true(number(layer, "code_bits") == 3);
        assert_true(number(layer, "seconds") >= 0 && number(layer, "seconds") < 60);
        bits += n * number(layer, "bits");
        weights += n;
    }
    assert_true(fabs(number(root, "bits") - bits / weights) <= 1e-12);
    if (!strcmp(dtype, "f32")) assert_same_info(model, out);
    json_decref(info);
    json_decref(read);
    json_decref(root);
}

static void test_read_back(void **state)
{
    (void)state;
    static const char *const model[] = { "llama-mha-untied", "llama3-gqa-tied", "qwen2-bias-tied", "qwen3-qknorm", "llama-sharded", "llama-v8" };
    for (int i = 0; i < 6; i++) {
        char *path = xformat(GOLDEN "%s", model[i]);
        check_model(path, "f32", 0.01, 0.1);
        free(path);
    }
    check_model(TINY, "bf16", 0.01, 0.1);      /* t^2 is that of what was written, its rounding included */
    check_model(TINY, "f16", 0.01, 0.1);
}

static void test_gguf(void **state)
{
    (void)state;
    Model *model = NULL;
    assert_int_equal(model_open(&model, TINY), OK);
    GgufWriter writer = gguf_from_model(model, "llama", 1e4);
    Bytes file = gguf_finish(&writer, 3);
    const char *path = scratch_path("tiny.gguf"), *out = scratch_path("from-gguf");
    bytes_write(&file, path);
    bytes_free(&file);
    model_close(&model);
    check_model(path, "f32", 0.01, 0.1);
    Ran ran = program("quantize", path, "--method", "rtn", "--out", out, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.err, "has no tokenizer, since the model is a GGUF file"));
    ran_free(&ran);
}

/* Layers that are not chosen stay as they are, bit for bit. */
static void test_layers(void **state)
{
    (void)state;
    const char *out = scratch_path("some");
    json_t *root = parsed(program("quantize", TINY, "--method", "rtn", "--layers", "blocks.1.*", "--layers", "blocks.0.q", "--out", out, "--json", "--quiet", NULL));
    json_t *layers = json_object_get(root, "layers"), *read = kl_layers(TINY, out), *layer;
    assert_int_equal(json_array_size(layers), 8);
    assert_string_equal(text_of(json_array_get(layers, 0), "name"), "blocks.0.q");
    size_t i, next = 0;
    json_array_foreach(read, i, layer) {
        const json_t *mine = json_array_get(layers, next);
        const bool chosen = mine && !strcmp(text_of(mine, "name"), text_of(layer, "name"));
        assert_true(number(layer, "t2") == (chosen ? number(mine, "t2") : 0));
        next += chosen;
    }
    assert_int_equal(next, 8);
    json_decref(read);
    json_decref(root);
}

static void test_text_output(void **state)
{
    (void)state;
    const char *out = scratch_path("text");
    Ran ran = program("quantize", TINY, "--method", "rtn", "--set", "group=0", "--out", out, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "layer                    t^2      bits code bits  seconds\nblocks.0.q "));
    assert_non_null(strstr(ran.out, "\n14 layers, 46080 weights: "));
    assert_non_null(strstr(ran.out, "4 of them codes; t^2 0.0"));
    assert_non_null(strstr(ran.out, "geometric mean"));
    assert_null(strstr(ran.out, "nan"));
    assert_non_null(strstr(ran.err, "14/14 layers  100%"));
    ran_free(&ran);
}

static void test_tokenizer_comes_along(void **state)
{
    (void)state;
    const char *model = model_copy("speaker", TINY), *out = scratch_path("speaks");
    tokenizer_write("speaker", false);
    Ran ran = program("quantize", model, "--method", "rtn", "--out", out, "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.err, "");
    ran_free(&ran);
    json_t *a = parsed(program("tokenize", model, scratch_text("t.txt", "the wind"), "--json", NULL));
    json_t *b = parsed(program("tokenize", out, scratch_text("t.txt", "the wind"), "--json", NULL));
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

static void test_unused_calibration_is_said(void **state)
{
    (void)state;
    Ran ran = program("quantize", TINY, "--method", "rtn", "--calibration", "no.txt", "--context", "64", "--out", scratch_path("uncalibrated"), NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.err, "rtn does not look at inputs: --calibration is not used"));
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back), cmocka_unit_test(test_gguf), cmocka_unit_test(test_layers), cmocka_unit_test(test_text_output),
        cmocka_unit_test(test_tokenizer_comes_along), cmocka_unit_test(test_unused_calibration_is_said),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
