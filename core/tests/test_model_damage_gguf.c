/* Damaged models: settings and names of a GGUF that are wrong, missing or of another architecture (run under the sanitizers too). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/model_damage.h"

static void gguf_settings_are_checked(void **state)
{
    (void)state;
    static const struct { const char *key; float value; const char *text; int code; const char *says; } extras[] = {
        { "llama.rope.scaling.type", 0, "yarn", ERR_UNSUPPORTED, "rope scaling of type yarn" },
        { "llama.rope.scaling.type", 0, "none", OK, "" },
        { "llama.rope.scaling.type", 0, "linear", OK, "" },
        { "llama.rope.scaling.factor", 2, NULL, ERR_UNSUPPORTED, "llama.rope.scaling.factor is 2" },
        { "llama.rope.scaling.factor", 1, NULL, OK, "" },
        { "llama.rope.scale_linear", 4, NULL, ERR_UNSUPPORTED, "llama.rope.scale_linear is 4" },
        { "llama.expert_count", 8, NULL, ERR_UNSUPPORTED, "llama.expert_count is 8" },
        { "llama.expert_count", 0, NULL, OK, "" },
        { "llama.attention.causal", 0, NULL, ERR_UNSUPPORTED, "llama.attention.causal is 0" },
        { "llama.attention.scale", NAN, NULL, ERR_UNSUPPORTED, "llama.attention.scale is" },
        { "llama.attention.sliding_window", 4096, NULL, ERR_UNSUPPORTED, "sliding window" },
        { "llama.attention.value_length", 8, NULL, ERR_FORMAT, "llama.attention.value_length is not a whole number" },
        { "tokenizer.ggml.model", 0, "gpt2", OK, "" },
    };
    Model *model = NULL;
    assert_int_equal(model_open(&model, SMALL), OK);
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        GgufWriter writer = gguf_from_model(model, "llama", 1e4);
        if (extras[i].text) gguf_put_string(&writer, extras[i].key, extras[i].text);
        else gguf_put_f32(&writer, extras[i].key, extras[i].value);
        Bytes file = gguf_finish(&writer, 3);
        bytes_write(&file, gguf_path);
        bytes_free(&file);
        assert_refused(gguf_path, extras[i].code, extras[i].says);
    }
    model_close(&model);
}

/* The same key or tensor under a name of the same length: what was needed is gone. */
static void change_name(const char *from, const char *to)
{
    Bytes file = { 0 };
    bytes_add(&file, gguf.data, gguf.n);
    char *place = memmem(file.data, file.n, from, strlen(from));
    assert_non_null(place);
    memcpy(place, to, strlen(from));
    bytes_write(&file, gguf_path);
    bytes_free(&file);
}

static void what_a_gguf_lacks_is_named(void **state)
{
    (void)state;
    static const struct { const char *from, *to; int code; const char *says; } changes[] = {
        { "general.architecture", "general.architectura", ERR_FORMAT, "general.architecture is missing" },
        { "llama.block_count", "llama.block_counx", ERR_FORMAT, "llama.block_count is missing" },
        { "llama.embedding_length", "llama.embedding_lengtx", ERR_FORMAT, "llama.embedding_length is missing" },
        { "layer_norm_rms_epsilon", "layer_norm_rms_epsilox", ERR_FORMAT, "layer_norm_rms_epsilon is missing" },
        { "token_embd.weight", "token_embx.weight", ERR_FORMAT, "'token_embd.weight' is missing" },
        { "blk.0.ffn_up.weight", "blk.1.ffn_up.weight", ERR_FORMAT, "'blk.0.ffn_up.weight' is missing" },
        { "output.weight", "outpux.weight", ERR_FORMAT, "'blk.0.attn_output.weight' is missing" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_name(changes[i].from, changes[i].to);
        assert_refused(gguf_path, changes[i].code, changes[i].says);
    }
}

static void other_architectures_are_named(void **state)
{
    (void)state;
    GgufWriter writer = { 0 };
    gguf_put_string(&writer, "general.architecture", "gemma3");
    Bytes file = gguf_finish(&writer, 3);
    bytes_write(&file, gguf_path);
    bytes_free(&file);
    assert_refused(gguf_path, ERR_UNSUPPORTED, "architecture gemma3; of GGUF files we do llama, qwen2 and qwen3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gguf_settings_are_checked, restore),
        cmocka_unit_test_setup(what_a_gguf_lacks_is_named, restore),
        cmocka_unit_test_setup(other_architectures_are_named, restore),
    };
    return cmocka_run_group_tests_name("model_damage_gguf", tests, make_files, remove_files);
}
