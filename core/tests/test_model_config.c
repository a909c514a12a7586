/* config.json: what is read, what is refused and with which words; the configs of real models. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/model/hugging_face_config.h"
#include "core/tests/file_folder.h"
#include "core/tests/model_files.h"

static int make_folder(void **state) { return folder_with(state, "config.json"); }

/* A sound config with the keys of `changes` (a JSON object) put over its own; "-" takes a key away. */
static int read_changed(HuggingFaceConfig *out, const char *changes)
{
    static const char sound[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
        " \"num_key_value_heads\": 2, \"vocab_size\": 100, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0}";
    json_t *config = json_loads(sound, 0, NULL), *change = json_loads(changes, 0, NULL), *value;
    const char *key;
    assert_non_null(change);
    json_object_foreach(change, key, value) {
        if (json_is_string(value) && strcmp(json_string_value(value), "-") == 0) json_object_del(config, key);
        else json_object_set(config, key, value);
    }
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
    json_decref(change);
    return hugging_face_config_read(out, path);
}

static HuggingFaceConfig read_sound(const char *changes)
{
    HuggingFaceConfig config;
    if (read_changed(&config, changes) != OK) fail_msg("%s: %s", changes, err_last());
    return config;
}

static void defaults_are_those_of_transformers(void **state)
{
    (void)state;
    HuggingFaceConfig config = read_sound("{\"rope_theta\": \"-\", \"num_key_value_heads\": \"-\"}");
    assert_int_equal(config.shape.n_kv_heads, 4);
    assert_int_equal(config.shape.head_dim, 16);
    assert_false(config.shape.tied);
    assert_false(config.attention_bias);
    assert_true(fabs(config.shape.rotary[4] - 0.01) <= 1e-17);          /* 10000^(-1/2) */
    free(config.shape.rotary);
    config = read_sound("{\"attention_bias\": true, \"head_dim\": 32, \"tie_word_embeddings\": true, \"rope_scaling\": null}");
    assert_int_equal(config.shape.head_dim, 32);
    assert_true(config.shape.tied && config.attention_bias);
    free(config.shape.rotary);
}

/* The two generations of the file say the same. */
static void rope_is_read_in_both_styles(void **state)
{
    (void)state;
    static const char *const styles[] = {
        "{\"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
        "\"original_max_position_embeddings\": 64}}",
        "{\"rope_theta\": 500000, \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 64}}",
        "{\"rope_theta\": \"-\", \"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
        "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}}",
        "{\"rope_theta\": 5e5}",
        "{\"rope_theta\": \"-\", \"rope_parameters\": {\"rope_theta\": 5e5, \"rope_type\": \"default\"}}",
        "{\"rope_theta\": 5e5, \"rope_scaling\": {\"rope_type\": \"default\"}}",
    };
    for (int i = 0; i < 6; i++) {
        HuggingFaceConfig config = read_sound(styles[i]), first = read_sound(styles[i < 3 ? 0 : 3]);
        assert_memory_equal(config.shape.rotary, first.shape.rotary, 8 * sizeof(double));
        assert_true(config.shape.rotary[0] == 1);
        assert_true(fabs(config.shape.rotary[7] / pow(5e5, -14.0 / 16) - (i < 3 ? 1.0 / 8 : 1)) <= 1e-14);
        free(config.shape.rotary);
        free(first.shape.rotary);
    }
}

static void what_we_do_not_do_is_named(void **state)
{
    (void)state;
    static const struct { const char *changes; int code; const char *says; } cases[] = {
        { "{\"model_type\": \"gemma2\"}", ERR_UNSUPPORTED, "model_type gemma2; we do llama, mistral, qwen2 and qwen3" },
        { "{\"model_type\": \"-\"}", ERR_FORMAT, "model_type is missing" },
        { "{\"architectures\": [\"LlamaForSequenceClassification\"]}", ERR_UNSUPPORTED, "architecture LlamaForSequenceClassification" },
        { "{\"architectures\": [\"LlamaForCausalLM\"]}", OK, "" },
        { "{\"hidden_size\": \"-\"}", ERR_FORMAT, "hidden_size is missing" },
        { "{\"intermediate_size\": \"-\"}", ERR_FORMAT, "intermediate_size is missing" },
        { "{\"num_hidden_layers\": \"-\"}", ERR_FORMAT, "num_hidden_layers is missing" },
        { "{\"num_attention_heads\": null}", ERR_FORMAT, "num_attention_heads is missing" },
        { "{\"vocab_size\": \"-\"}", ERR_FORMAT, "vocab_size is missing" },
        { "{\"max_position_embeddings\": \"-\"}", ERR_FORMAT, "max_position_embeddings is missing" },
        { "{\"rms_norm_eps\": \"-\"}", ERR_FORMAT, "rms_norm_eps is missing" },
        { "{\"model_type\": \"qwen2\", \"num_key_value_heads\": \"-\"}", ERR_FORMAT, "num_key_value_heads is missing" },
        { "{\"hidden_size\": 0}", ERR_FORMAT, "hidden_size is not a whole number from 1" },
        { "{\"hidden_size\": -64}", ERR_FORMAT, "hidden_size is not a whole number from 1" },
        { "{\"hidden_size\": 64.5}", ERR_FORMAT, "hidden_size is not a whole number from 1" },
        { "{\"num_hidden_layers\": 1000000000}", ERR_FORMAT, "num_hidden_layers is not a whole number from 1 to 4096" },
        { "{\"vocab_size\": 9000000000000000000}", ERR_FORMAT, "vocab_size is not" },
        { "{\"hidden_size\": 65}", ERR_FORMAT, "hidden_size 65 is not a multiple of num_attention_heads 4" },
        { "{\"num_key_value_heads\": 3}", ERR_FORMAT, "4 attention heads cannot share 3" },
        { "{\"head_dim\": 15}", ERR_FORMAT, "head dimension 15 is odd" },
        { "{\"rms_norm_eps\": 2}", ERR_FORMAT, "norm epsilon 2" },
        { "{\"rms_norm_eps\": \"small\"}", ERR_FORMAT, "rms_norm_eps is not a positive number" },
        { "{\"hidden_act\": \"gelu\"}", ERR_UNSUPPORTED, "hidden_act gelu; we do silu only" },
        { "{\"hidden_act\": \"silu\"}", OK, "" },
        { "{\"mlp_bias\": true}", ERR_UNSUPPORTED, "mlp_bias is true" },
        { "{\"mlp_bias\": false, \"rope_interleaved\": false}", OK, "" },
        { "{\"rope_interleaved\": true}", ERR_UNSUPPORTED, "rope_interleaved is true" },
        { "{\"quantization_config\": {\"quant_method\": \"gptq\"}}", ERR_UNSUPPORTED, "quantization_config" },
        { "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}}", ERR_UNSUPPORTED, "rope scaling of type linear; we do default and llama3" },
        { "{\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0}}", ERR_UNSUPPORTED, "type yarn" },
        { "{\"rope_parameters\": {\"rope_type\": \"dynamic\"}}", ERR_UNSUPPORTED, "type dynamic" },
        { "{\"rope_scaling\": {\"rope_type\": 3}}", ERR_UNSUPPORTED, "that is no name" },
        { "{\"rope_scaling\": 8}", ERR_FORMAT, "not an object" },
        { "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}", ERR_FORMAT, "low_freq_factor is missing" },
        { "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 0, \"low_freq_factor\": 1}}", ERR_FORMAT, "factor is not a positive number" },
        { "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, "
          "\"original_max_position_embeddings\": 64}}", ERR_FORMAT, "high_freq_factor is not above" },
        { "{\"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e4}}}", ERR_UNSUPPORTED, "of their own for full_attention" },
        { "{\"partial_rotary_factor\": 0.5}", ERR_UNSUPPORTED, "partial_rotary_factor" },
        { "{\"rope_theta\": 0}", ERR_FORMAT, "rope_theta is not a positive number" },
        { "{\"model_type\": \"mistral\", \"sliding_window\": 256}", ERR_UNSUPPORTED, "sliding window of 256" },
        { "{\"model_type\": \"mistral\", \"sliding_window\": 512}", OK, "" },
        { "{\"model_type\": \"mistral\", \"sliding_window\": null, \"max_position_embeddings\": 32768}", OK, "" },
        { "{\"model_type\": \"mistral\", \"max_position_embeddings\": 32768}", ERR_UNSUPPORTED, "sliding window of 4096" },
        { "{\"model_type\": \"qwen2\", \"sliding_window\": 256, \"use_sliding_window\": false}", OK, "" },
        { "{\"model_type\": \"qwen2\", \"sliding_window\": 256, \"use_sliding_window\": true}", ERR_UNSUPPORTED, "sliding window of 256" },
        { "{\"model_type\": \"qwen3\", \"layer_types\": [\"full_attention\", \"sliding_attention\"]}", ERR_UNSUPPORTED, "sliding_attention" },
        { "{\"model_type\": \"qwen3\", \"layer_types\": [\"full_attention\", \"full_attention\"]}", OK, "" },
        { "{\"use_mrope\": true}", ERR_UNSUPPORTED, "use_mrope is true" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HuggingFaceConfig config = { .attention_bias = true };
        int status = read_changed(&config, cases[i].changes);
        if (status != cases[i].code || (status != OK && (!strstr(err_last(), cases[i].says) || !strstr(err_last(), path))))
            fail_msg("%s: %d, said: %s", cases[i].changes, status, err_last());
        if (status != OK) assert_true(config.attention_bias && !config.architecture);      /* untouched */
        free(config.shape.rotary);
    }
}

static void real_configs_are_read(void **state)
{
    (void)state;
    static const struct { const char *name, *architecture; int n_blocks, head_dim, n_kv_heads; bool tied; double theta; } real[] = {
        { "Llama-3.1-8B", "llama", 32, 128, 8, false, 5e5 }, { "Llama-3.2-1B", "llama", 16, 64, 8, true, 5e5 },
        { "Llama-3.2-3B", "llama", 28, 128, 8, true, 5e5 }, { "Qwen2.5-0.5B", "qwen2", 24, 64, 2, true, 1e6 },
        { "Qwen2.5-3B", "qwen2", 36, 128, 2, true, 1e6 }, { "Qwen2.5-7B", "qwen2", 28, 128, 4, false, 1e6 },
        { "Qwen2.5-14B", "qwen2", 48, 128, 8, false, 1e6 }, { "Qwen3-0.6B", "qwen3", 28, 128, 8, true, 1e6 },
        { "Qwen3-4B", "qwen3", 36, 128, 8, true, 1e6 }, { "Qwen3-8B", "qwen3", 36, 128, 8, false, 1e6 },
        { "SmolLM2-135M", "llama", 30, 64, 3, true, 1e5 },
    };
    const char *data = getenv("LINEARITY_DATA");
    if (!data || !*data) {
        print_message("SKIPPED: LINEARITY_DATA is not set\n");
        skip();
    }
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        char *file = xformat("%s/data/configs/%s.config.json", data, real[i].name);
        HuggingFaceConfig config;
        if (hugging_face_config_read(&config, file) != OK) fail_msg("%s", err_last());
        assert_string_equal(config.shape.architecture, real[i].architecture);
        assert_int_equal(config.shape.n_blocks, real[i].n_blocks);
        assert_int_equal(config.shape.head_dim, real[i].head_dim);
        assert_int_equal(config.shape.n_kv_heads, real[i].n_kv_heads);
        assert_int_equal(config.shape.tied, real[i].tied);
        double factor = strstr(real[i].name, "3.1") ? 8 : strstr(real[i].name, "3.2") ? 32 : 1;
        int half = real[i].head_dim / 2;
        assert_true(fabs(config.shape.rotary[half - 1] * factor / pow(real[i].theta, -(half - 1.0) / half) - 1) <= 1e-13);
        free(config.shape.rotary);
        free(file);
    }
    char *partial = xformat("%s/data/configs/Qwen2.5-1.5B-PARTIAL.config.json", data);
    HuggingFaceConfig config;
    assert_int_equal(hugging_face_config_read(&config, partial), ERR_FORMAT);
    assert_non_null(strstr(err_last(), "max_position_embeddings is missing"));
    free(partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_transformers),
        cmocka_unit_test(rope_is_read_in_both_styles),
        cmocka_unit_test(what_we_do_not_do_is_named),
        cmocka_unit_test(real_configs_are_read),
    };
    return cmocka_run_group_tests_name("model_config", tests, make_folder, remove_folder);
}
