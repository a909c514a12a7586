/* test_hugging_face_write_gguf.c - a GGUF file becomes the directory it came from; what config.json cannot say is refused */
#include "core/tests/hugging_face_copies.h"

#include "core/tests/model_files.h"

/* The model as a GGUF file with these rope factors (NULL: none). */
static const char *gguf_of(const Model *model, double theta, const float *factors)
{
    GgufWriter writer = gguf_from_model(model, model_shape(model)->architecture, theta);
    if (factors) gguf_put_tensor(&writer, "rope_freqs.weight", factors, 1, (int64_t[]){ model_shape(model)->head_dim / 2 });
    gguf_put_u32(&writer, "tokenizer.ggml.bos_token_id", 3);
    gguf_put_u32(&writer, "tokenizer.ggml.eos_token_id", 4);
    Bytes file = gguf_finish(&writer, 3);
    const char *path = scratch_path("a.gguf");
    bytes_write(&file, path);
    bytes_free(&file);
    return path;
}

/* The Hugging Face model, through GGUF with its other order of rows, and back. */
static void gguf_becomes_the_same_directory(void **state)
{
    (void)state;
    static const struct { const char *name; double theta; } row[] = { { "llama-mha-untied", 1e4 }, { "qwen2-bias-tied", 1e6 }, { "qwen3-qknorm", 1e6 }, { "llama-v8", 1e4 } };
    for (int i = 0; i < 4; i++) {
        Model *model = open_tiny(row[i].name), *gguf = opened(gguf_of(model, row[i].theta, NULL));
        HuggingFaceOutput output = plain_output();
        Model *copy = written(gguf, "from-gguf", &output);
        assert_same_shape(model_shape(model), model_shape(copy), 1e-15);
        assert_same_weights(model, copy, -1, 1);
        json_t *config = config_of("from-gguf");
        assert_int_equal(json_integer_value(json_object_get(config, "eos_token_id")), 4);
        assert_int_equal(json_integer_value(json_object_get(config, "bos_token_id")), 3);
        assert_true(json_real_value(json_object_get(config, "rms_norm_eps")) == (strstr(row[i].name, "qwen") ? 1e-6 : 1e-5));
        assert_string_equal(json_string_value(json_object_get(config, "torch_dtype")), "float32");
        json_decref(config);
        model_close(&copy);
        model_close(&gguf);
        model_close(&model);
    }
}

/* As the converter of llama.cpp writes them, in float32. */
static void llama3_factors(float out[8], double theta, float factor, float low, float high, float context)
{
    for (int i = 0; i < 8; i++) {
        float frequency = 1 / powf((float)theta, (float)(2 * i) / 16), wave = 2 * (float)M_PI / frequency;
        float smooth = (context / wave - low) / (high - low);
        out[i] = wave < context / high ? 1 : wave > context / low ? factor : 1 / ((1 - smooth) / factor + smooth);
    }
}

static void rope_factors_become_llama3(void **state)
{
    (void)state;
    Model *model = open_tiny("llama3-gqa-tied");
    static const struct { float factor, context; } row[] = { { 8, 64 }, { 8, 8192 }, { 32, 8192 }, { 2.5f, 256 } };
    for (int i = 0; i < 4; i++) {
        float factors[8];
        llama3_factors(factors, 5e5, row[i].factor, 1, 4, row[i].context);
        Model *gguf = opened(gguf_of(model, 5e5, factors));
        HuggingFaceOutput output = plain_output();
        Model *copy = written(gguf, "llama3", &output);
        assert_same_shape(model_shape(gguf), model_shape(copy), 2e-5);
        if (i == 0) assert_same_shape(model_shape(model), model_shape(copy), 1e-15);
        json_t *config = config_of("llama3"), *scaling = json_object_get(config, "rope_scaling");
        assert_true(json_number_value(json_object_get(scaling, "factor")) == (double)row[i].factor);
        json_decref(config);
        model_close(&copy);
        model_close(&gguf);
    }
    model_close(&model);
}

static void assert_refused(const char *path, const char *says)
{
    Model *model = opened(path);
    HuggingFaceOutput output = plain_output();
    int64_t n_bytes;
    const char *out = scratch_path("refused");
    assert_int_equal(hugging_face_write(&n_bytes, out, model, &output), ERR_UNSUPPORTED);
    if (!strstr(err_last(), says)) fail_msg("said: %s", err_last());
    assert_false(file_there(out));
    model_close(&model);
}

/* One of them off by a thousandth, other constants of the same scaling, all frequencies divided alike. */
static void other_factors_are_refused(void **state)
{
    (void)state;
    Model *model = open_tiny("llama3-gqa-tied");
    float factors[8];
    llama3_factors(factors, 5e5, 8, 1, 4, 64);
    factors[3] *= 1.001f;
    assert_refused(gguf_of(model, 5e5, factors), "not those of rope scaling llama3");
    llama3_factors(factors, 5e5, 8, 0.3f, 2.5f, 64);
    assert_refused(gguf_of(model, 5e5, factors), "not those of rope scaling llama3");
    for (int i = 0; i < 8; i++) factors[i] = 4;
    assert_refused(gguf_of(model, 5e5, factors), "not those of rope scaling llama3");
    for (int i = 0; i < 8; i++) factors[i] = 1;                 /* no scaling at all */
    Model *gguf = opened(gguf_of(model, 5e5, factors));
    HuggingFaceOutput output = plain_output();
    Model *copy = written(gguf, "ones", &output);
    json_t *config = config_of("ones");
    assert_true(json_is_null(json_object_get(config, "rope_scaling")));
    json_decref(config);
    model_close(&copy);
    model_close(&gguf);
    model_close(&model);
}

/* Biases of q and k, but none of v and o: GGUF can, config.json cannot. */
static void some_biases_are_refused(void **state)
{
    (void)state;
    Model *model = open_tiny("llama-mha-untied");
    for (int kinds = 2; kinds <= 4; kinds += 2) {
        static const char *const name[] = { "attn_q", "attn_k", "attn_v", "attn_output" };
        const float bias[48] = { 1, 2, 3 };
        GgufWriter writer = gguf_from_model(model, "llama", 1e4);
        for (int block = 0; block < 2; block++)
            for (int i = 0; i < kinds; i++) {
                char *tensor = xformat("blk.%d.%s.bias", block, name[i]);
                gguf_put_tensor(&writer, tensor, bias, 1, (int64_t[]){ 48 });
                free(tensor);
            }
        Bytes file = gguf_finish(&writer, 3);
        bytes_write(&file, scratch_path("biases.gguf"));
        bytes_free(&file);
        if (kinds < 4) {
            assert_refused(scratch_path("biases.gguf"), "4 of 8 attention biases are there");
            continue;
        }
        Model *gguf = opened(scratch_path("biases.gguf"));
        HuggingFaceOutput output = plain_output();
        Model *copy = written(gguf, "biased", &output);
        assert_same_weights(gguf, copy, -1, 1);
        assert_non_null(model_tensor(copy, WEIGHT_O_BIAS, 1));
        model_close(&copy);
        model_close(&gguf);
    }
    model_close(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_becomes_the_same_directory), cmocka_unit_test(rope_factors_become_llama3),
        cmocka_unit_test(other_factors_are_refused), cmocka_unit_test(some_biases_are_refused),
    };
    int failed = cmocka_run_group_tests_name("hugging_face_write_gguf", tests, NULL, NULL);
    scratch_remove();
    return failed;
}
