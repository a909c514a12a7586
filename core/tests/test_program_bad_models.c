/* test_program_bad_models.c - model files that are missing, damaged, of another kind, or do not fit together */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/bad_input.h"
#include "core/tests/model_files.h"
#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

#define GOLDEN "core/tests/golden/tiny"
#define WEIGHTS TINY "/model.safetensors"

/* ---- Hugging Face directories ---- */

static void only(const char *name, const char *part)
{
    char *from = xformat(TINY "/%s", part), *to = xformat("%s/%s", name, part);
    mkdir(scratch_path(name), 0777);
    if (*part) file_copy(to, from);
    free(from);
    free(to);
}

static void make_empty(void) { mkdir(scratch_path("empty"), 0777); }
static void make_no_weights(void) { only("no-weights", "config.json"); }
static void make_no_config(void) { only("no-config", "model.safetensors"); }

static void make_bad_json(void)
{
    model_copy("bad-json", TINY);
    scratch_text("bad-json/config.json", "{\"model_type\": \"llama\",\n \"hidden_size\": }\n");
}

static void make_no_key(void)
{
    model_copy("no-key", TINY);
    config_set("no-key", "hidden_size", NULL);
}

static void make_bad_key(void)
{
    model_copy("bad-key", TINY);
    config_set("bad-key", "num_hidden_layers", json_string("two"));
}

static void make_gpt2(void)
{
    model_copy("gpt2", TINY);
    config_set("gpt2", "model_type", json_string("gpt2"));
}

static void make_awq(void)
{
    model_copy("awq", TINY);
    config_set("awq", "quantization_config", json_pack("{s:s}", "quant_method", "awq"));
}

static void make_wide(void)
{
    model_copy("wide", TINY);
    config_set("wide", "intermediate_size", json_integer(128));
}

static void make_deep(void)
{
    model_copy("deep", TINY);
    config_set("deep", "num_hidden_layers", json_integer(3));
}

static void cut_weights(const char *name, long n)
{
    char *path = xformat("%s/model.safetensors", name);
    only(name, "config.json");
    file_cut(path, WEIGHTS, n);
    free(path);
}

static void make_truncated(void) { cut_weights("truncated", -1000); }
static void make_no_header(void) { cut_weights("no-header", 100); }
static void make_zero(void) { cut_weights("zero", 0); }

static void make_pointer(void)
{
    only("pointer", "config.json");
    scratch_text("pointer/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n");
}

static void poked(const char *name, float value)
{
    double norm;
    model_copy(name, TINY);
    tensor_poke(&norm, name, "model.layers.1.self_attn.v_proj.weight", value);
}

static void make_nan(void) { poked("nan", NAN); }
static void make_infinite(void) { poked("infinite", INFINITY); }

static void make_lost_shard(void)
{
    static const char *const parts[] = { "config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors" };
    mkdir(scratch_path("lost-shard"), 0777);
    for (int i = 0; i < 3; i++) {
        char *from = xformat(GOLDEN "/llama-sharded/%s", parts[i]), *to = xformat("lost-shard/%s", parts[i]);
        file_copy(to, from);
        free(from);
        free(to);
    }
}

static void make_ids(void) { scratch_text("a.ids", "1 2 3 4\n5 6 7 0\n"); }
static void make_text(void) { scratch_text("a.txt", "the wind in the water\n"); }

static void make_nan_and_ids(void)
{
    make_nan();
    make_ids();
}

static const BadInput directories[] = {
    { "no such model", 1, { "info", "@nowhere" }, { "nowhere", "No such file", "Hugging Face directory or a .gguf file", "make model" }, NULL },
    { "empty directory", 1, { "info", "@empty" }, { "empty", "config.json" }, make_empty },
    { "no weights", 1, { "info", "@no-weights" }, { "no-weights", "model.safetensors" }, make_no_weights },
    { "no config.json", 1, { "info", "@no-config" }, { "no-config: there is no config.json" }, make_no_config },
    { "config.json is not JSON", 1, { "info", "@bad-json" }, { "bad-json/config.json", "line 2" }, make_bad_json },
    { "config.json lacks a key", 1, { "info", "@no-key" }, { "no-key/config.json", "hidden_size is missing" }, make_no_key },
    { "config.json has a word for a number", 1, { "info", "@bad-key" }, { "num_hidden_layers", "whole number" }, make_bad_key },
    { "unknown architecture", 1, { "info", "@gpt2" }, { "gpt2", "llama, mistral, qwen2 and qwen3" }, make_gpt2 },
    { "quantized checkpoint", 1, { "info", "@awq" }, { "quantized", "GGUF" }, make_awq },
    { "sizes do not fit", 1, { "info", "@wide" }, { "tensor 'model.layers.0.mlp", "96", "128" }, make_wide },
    { "fewer blocks than said", 1, { "info", "@deep" }, { "tensor 'model.layers.2.", "is missing" }, make_deep },
    { "truncated weights", 1, { "info", "@truncated" }, { "truncated/model.safetensors", "incomplete" }, make_truncated },
    { "cut in the header", 1, { "info", "@no-header" }, { "no-header/model.safetensors", "incomplete" }, make_no_header },
    { "weights of no bytes", 1, { "info", "@zero" }, { "zero/model.safetensors", "empty" }, make_zero },
    { "LFS pointer for weights", 1, { "info", "@pointer" }, { "pointer/model.safetensors", "git lfs pull" }, make_pointer },
    { "NaN weight", 1, { "info", "@nan" }, { "model.layers.1.self_attn.v_proj.weight", "not finite" }, make_nan },
    { "NaN weight, on a text", 1, { "ppl", "@nan", "@a.ids", "--quiet" }, { "model.layers.1.self_attn.v_proj.weight", "not finite" }, make_nan_and_ids },
    { "infinite weight", 1, { "info", "@infinite", "--json" }, { "not finite" }, make_infinite },
    { "a shard is missing", 1, { "info", "@lost-shard" }, { "model-00002-of-00002.safetensors", "No such file" }, make_lost_shard },
    { "weights for a directory", 1, { "info", WEIGHTS }, { "not a GGUF file", "its directory" }, NULL },
};

/* ---- GGUF ---- */

static void gguf_write(const char *name, const char *architecture, uint32_t version, const char *pre)
{
    Model *model = NULL;
    if (model_open(&model, TINY) != OK) abort();
    GgufWriter writer = gguf_from_model(model, architecture, 10000);
    if (pre) {
        gguf_put_string(&writer, "tokenizer.ggml.model", "gpt2");
        gguf_put_string(&writer, "tokenizer.ggml.pre", pre);
        gguf_put(&writer, "tokenizer.ggml.tokens", 9, NULL, 0);
        bytes_u32(&writer.pairs, 8);
        bytes_u64(&writer.pairs, 1);
        gguf_put_text(&writer.pairs, "a");
    }
    Bytes file = gguf_finish(&writer, version);
    bytes_write(&file, scratch_path(name));
    bytes_free(&file);
    model_close(&model);
}

static void make_gguf_header(void)
{
    gguf_write("whole.gguf", "llama", 3, NULL);
    file_cut("header.gguf", scratch_path("whole.gguf"), 300);
}

static void make_gguf_data(void)
{
    gguf_write("whole.gguf", "llama", 3, NULL);
    file_cut("data.gguf", scratch_path("whole.gguf"), -4096);
}

static void make_gguf_architecture(void) { gguf_write("mamba.gguf", "mamba", 3, NULL); }
static void make_gguf_version(void) { gguf_write("version.gguf", "llama", 9, NULL); }
static void make_gguf_text(void) { scratch_text("text.gguf", "this is not a model\n"); }
static void make_gguf_pre(void)
{
    gguf_write("pre.gguf", "llama", 3, "grok-9");
    make_text();
}
static void make_gguf_silent(void)
{
    gguf_write("silent.gguf", "llama", 3, NULL);
    make_text();
}

static const BadInput gguf[] = {
    { "GGUF cut in its directory", 1, { "info", "@header.gguf" }, { "header.gguf", "incomplete" }, make_gguf_header },
    { "GGUF cut in its data", 1, { "info", "@data.gguf" }, { "data.gguf", "past the end of the file", "incomplete" }, make_gguf_data },
    { "GGUF of another architecture", 1, { "info", "@mamba.gguf" }, { "mamba", "llama, qwen2 and qwen3" }, make_gguf_architecture },
    { "GGUF of a version to come", 1, { "info", "@version.gguf" }, { "GGUF version 9" }, make_gguf_version },
    { "text named .gguf", 1, { "info", "@text.gguf" }, { "not a GGUF file" }, make_gguf_text },
    { "unknown pre-tokenizer", 1, { "ppl", "@pre.gguf", "@a.txt" }, { "'grok-9'", "smollm", ".ids" }, make_gguf_pre },
    { "GGUF without a tokenizer", 1, { "ppl", "@silent.gguf", "@a.txt" }, { "there is no tokenizer", ".ids" }, make_gguf_silent },
};

/* ---- tokenizers ---- */

static void with_tokenizer(const char *name, const char *text)
{
    char *path = xformat("%s/tokenizer.json", name);
    model_copy(name, TINY);
    if (text) scratch_text(path, text);
    make_text();
    free(path);
}

static void make_mute(void) { with_tokenizer("mute", NULL); }
static void make_unigram(void) { with_tokenizer("unigram", "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}"); }
static void make_broken(void) { with_tokenizer("broken", "{\"model\":\n"); }

static void make_foreign(void)
{
    with_tokenizer("foreign", NULL);
    tokenizer_write("foreign", false);
    scratch_text("foreign/tokenizer_config.json", "{\"bos_token\": \"<y>\"}");
}

static const BadInput tokenizers[] = {
    { "no tokenizer", 1, { "ppl", "@mute", "@a.txt" }, { "mute/tokenizer.json", ".ids" }, make_mute },
    { "no tokenizer to tokenize with", 1, { "tokenize", "@mute", "@a.txt" }, { "mute/tokenizer.json" }, make_mute },
    { "tokenizer of another type", 1, { "ppl", "@unigram", "@a.txt" }, { "'Unigram'", "BPE" }, make_unigram },
    { "tokenizer is not JSON", 1, { "ppl", "@broken", "@a.txt" }, { "broken/tokenizer.json:" }, make_broken },
    { "BOS that is no token", 1, { "ppl", "@foreign", "@a.txt" }, { "tokenizer_config.json", "<y>", "not in the vocabulary" }, make_foreign },
};

/* ---- two models ---- */

static const BadInput pairs[] = {
    { "kl of two vocabularies", 1, { "kl", TINY, GOLDEN "/llama-v8", "@a.ids", "--quiet" }, { "llama-v8", "not the same model" }, make_ids },
    { "kl of two shapes", 1, { "kl", TINY, GOLDEN "/qwen2-bias-tied", "@a.ids", "--quiet" }, { "blocks.0.q", "not the same model" }, make_ids },
    { "kl of two depths", 1, { "kl", TINY, GOLDEN "/llama3-gqa-tied", "@a.ids", "--quiet" }, { "14 layers", "21", "not the same model" }, make_ids },
    { "kl with nothing", 1, { "kl", TINY, "@nowhere", "@a.ids" }, { "No such file" }, make_ids },
};

static void test_directories(void **state) { (void)state; BAD_CHECK_ALL(directories); }
static void test_gguf(void **state) { (void)state; BAD_CHECK_ALL(gguf); }
static void test_tokenizers(void **state) { (void)state; BAD_CHECK_ALL(tokenizers); }
static void test_pairs(void **state) { (void)state; BAD_CHECK_ALL(pairs); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directories), cmocka_unit_test(test_gguf), cmocka_unit_test(test_tokenizers), cmocka_unit_test(test_pairs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
