/* test_program_quantize.c - linearity quantize: what it prints is what the directory it wrote has; nothing is half there */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <time.h>

#include "core/model/hugging_face_names.h"
#include "core/model/safetensors_write.h"
#include "core/model/tensor_set.h"
#include "core/tests/bad_input.h"
#include "core/tests/model_files.h"
#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

#define GOLDEN "core/tests/golden/tiny/"
static const char ids[] = "5 1 3 7 6 0 2 4\n1 2 3 4 5 6\n";

static json_t *parsed(Ran ran)
{
    if (ran.status != 0) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *root = json_loads(ran.out, 0, NULL);
    if (!root) print_error("not JSON: %.200s\n", ran.out);
    assert_non_null(root);
    ran_free(&ran);
    return root;
}

static const char *text_of(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

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

/* The same layers in the same shape; the norms too where norm is set. */
static void assert_same_info(const char *model, const char *out)
{
    json_t *a = parsed(program("info", model, "--json", NULL)), *b = parsed(program("info", out, "--json", NULL)), *layer;
    size_t i;
    json_array_foreach(json_object_get(a, "layers"), i, layer) {
        json_t *other = json_array_get(json_object_get(b, "layers"), i);
        assert_string_equal(text_of(other, "dtype"), "F32");
        json_object_set_new(layer, "dtype", json_string("F32"));
        json_object_del(layer, "norm");
        json_object_del(other, "norm");
    }
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

/* ---- what is printed is what is there ---- */

/* t^2 of every layer as kl finds it in the files, to the last bit; bits as the method defines them; info the same. */
static void check_model(const char *model, const char *dtype, double least_t2, double most_t2)
{
    const char *out = scratch_path("q");
    json_t *root = parsed(program("quantize", model, "--method", "rtn", "--set", "bits=3", "--set", "group=16", "--set", "symmetric=yes", "--dtype", dtype,
                                  "--out", out, "--force", "--json", "--quiet", NULL));
    json_t *layers = json_object_get(root, "layers"), *read = kl_layers(model, out), *layer;
    assert_int_equal(json_object_size(root), 2);
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

/* ---- the directory ---- */

static void test_force(void **state)
{
    (void)state;
    const char *out = scratch_path("again"), *index = "again/model.safetensors.index.json";
    Ran ran = program("quantize", TINY, "--method", "rtn", "--shard-size", "50000", "--out", out, "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    assert_true(file_there(scratch_path(index)));
    char *before = file_read(scratch_path("again/config.json"), NULL);
    ran = program("quantize", GOLDEN "qwen3-qknorm", "--method", "rtn", "--out", out, "--quiet", NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "again: the folder is not empty; --force"));
    assert_int_equal(strchr(ran.err, '\n') - ran.err + 1, strlen(ran.err));
    ran_free(&ran);
    char *after = file_read(scratch_path("again/config.json"), NULL);
    assert_string_equal(before, after);
    ran = program("quantize", GOLDEN "qwen3-qknorm", "--method", "rtn", "--out", out, "--force", "--quiet", NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    assert_false(file_there(scratch_path(index)));              /* nothing of the old one is left */
    assert_same_info(GOLDEN "qwen3-qknorm", out);
    free(before);
    free(after);
}

/* ---- stopping ---- */

enum { BLOCKS = 8, WIDTH = 512, FEED_FORWARD = 2048 };

static Tensor large_tensor(char *name, int64_t rows, int64_t cols)
{
    Tensor tensor = { .name = name, .dtype = DTYPE_F16, .rank = cols ? 2 : 1, .shape = { rows, cols } };
    assert_int_equal(tensor_measure(&tensor), OK);
    return tensor;
}

/* A model of zeros that takes a second or so: its bytes are a hole in a file. */
static const char *make_large(void)
{
    enum { PER_BLOCK = 9, COUNT = 3 + BLOCKS * PER_BLOCK };
    static const WeightKind kind[PER_BLOCK] = { WEIGHT_Q, WEIGHT_K, WEIGHT_V, WEIGHT_O, WEIGHT_GATE, WEIGHT_UP, WEIGHT_DOWN, WEIGHT_ATTENTION_NORM,
                                                WEIGHT_FEED_FORWARD_NORM };
    static const int64_t shape[PER_BLOCK][2] = { { WIDTH, WIDTH }, { WIDTH, WIDTH }, { WIDTH, WIDTH }, { WIDTH, WIDTH }, { FEED_FORWARD, WIDTH },
                                                 { FEED_FORWARD, WIDTH }, { WIDTH, FEED_FORWARD }, { WIDTH, 0 }, { WIDTH, 0 } };
    Tensor tensors[COUNT];
    int n = 0;
    tensors[n++] = large_tensor(xstrdup("model.embed_tokens.weight"), 100, WIDTH);
    tensors[n++] = large_tensor(xstrdup("model.norm.weight"), WIDTH, 0);
    tensors[n++] = large_tensor(xstrdup("lm_head.weight"), 100, WIDTH);
    for (int b = 0; b < BLOCKS; b++)
        for (int k = 0; k < PER_BLOCK; k++)
            tensors[n++] = large_tensor(xformat(HUGGING_FACE_BLOCKS "%d.%s", b, hugging_face_names[kind[k]]), shape[k][0], shape[k][1]);
    mkdir(scratch_path("large"), 0777);
    SafetensorsFile *file = NULL;
    const char *path = scratch_path("large/model.safetensors");
    assert_int_equal(safetensors_create(&file, path, tensors, n), OK);
    safetensors_abandon(&file);
    FILE *header = fopen(path, "rb");
    uint64_t size;
    assert_true(header && fread(&size, sizeof size, 1, header) == 1);
    fclose(header);
    size += sizeof size;
    for (int i = 0; i < n; i++) {
        size += tensors[i].n_bytes;
        free((char *)tensors[i].name);
    }
    assert_int_equal(truncate(path, (off_t)size), 0);
    scratch_text("large/config.json", "{\"model_type\": \"llama\", \"hidden_size\": 512, \"intermediate_size\": 2048, \"num_hidden_layers\": 8,"
                 " \"num_attention_heads\": 8, \"vocab_size\": 100, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-5}");
    return scratch_path("large");
}

static void wait_for(const char *path)
{
    const struct timespec pause = { 0, 1000000 };
    for (int i = 0; i < 20000 && !file_there(path); i++) nanosleep(&pause, NULL);
    assert_true(file_there(path));
}

/* Starts on the large model and sends a signal when the first bytes are written. */
static int stopped_by(int signal, const char *model, const char *out, const char *err)
{
    char *written = xformat("%s.linearity-tmp/model.safetensors", out);
    const char *words[] = { "quantize", model, "--method", "rtn", "--set", "group=16", "--out", out, "--force", "--quiet", NULL };
    pid_t pid = program_start(words, scratch_path("stop.out"), err);
    wait_for(written);
    kill(pid, signal);
    free(written);
    return program_wait(pid);
}

static void test_stopping(void **state)
{
    (void)state;
    const char *model = make_large(), *out = scratch_path("stopped"), *err = scratch_path("stop.err");
    char *temporary = xformat("%s.linearity-tmp", out);
    for (int old = 0; old < 2; old++) {                         /* where nothing was, and over an older directory */
        assert_int_equal(stopped_by(SIGINT, model, out, err), 130);
        char *said = file_read(err, NULL);
        assert_string_equal(said, "linearity: interrupted; nothing was written\n");
        free(said);
        assert_false(file_there(temporary));
        assert_int_equal(file_there(out), old);
        assert_int_equal(stopped_by(SIGKILL, model, out, err), 1000 + SIGKILL);
        assert_true(file_there(temporary));
        assert_int_equal(file_there(out), old);
        if (old) assert_same_info(TINY, out);
        Ran ran = program("quantize", TINY, "--method", "rtn", "--out", out, "--force", "--quiet", NULL);
        assert_int_equal(ran.status, 0);
        ran_free(&ran);
        assert_false(file_there(temporary));                    /* what the killed one left */
        assert_same_info(TINY, out);
    }
    free(temporary);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state)
{
    (void)state;
    const char *out = scratch_path("full");
    char *temporary = xformat("%s.linearity-tmp", out);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(100000);
    Ran ran = program("quantize", TINY, "--method", "rtn", "--out", out, NULL);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(ran.status, 1);
    assert_string_equal(ran.out, "");
    assert_non_null(strstr(last_line(ran.err), "model.safetensors: "));
    assert_non_null(strstr(last_line(ran.err), "File too large"));
    assert_false(file_there(out) || file_there(temporary));
    ran_free(&ran);
    free(temporary);
}

/* ---- what users get wrong ---- */

#define QUANTIZE "quantize", TINY, "--method"

static void make_file(void) { scratch_text("file", "x"); }

static void make_house(void)
{
    mkdir(scratch_path("house"), 0777);
    scratch_text("house/config.json", "{}");
    scratch_text("house/thesis.tex", "years of work");
}

static void make_nested(void)
{
    mkdir(scratch_path("nest"), 0777);
    model_copy("nest/model", TINY);
}

static void make_left(void) { model_copy("left.linearity-tmp", TINY); }

static void make_large_value(void)
{
    double norm;
    model_copy("hot", TINY);
    tensor_poke(&norm, "hot", "model.norm.weight", 1e6f);
}

static const BadInput bad[] = {
    { "no method", 2, { "quantize", TINY, "--out", "@x" }, { "--method is missing", "the quantizer" }, NULL },
    { "no place", 2, { QUANTIZE, "rtn" }, { "--out is missing" }, NULL },
    { "method with a slip", 2, { QUANTIZE, "rtm", "--out", "@x" }, { "unknown method 'rtm'; did you mean 'rtn'?" }, NULL },
    { "method unlike any", 2, { QUANTIZE, "magnificent", "--out", "@x" }, { "unknown method 'magnificent'; methods are: rtn" }, NULL },
    { "noise", 2, { QUANTIZE, "gaussian", "--out", "@x" }, { "--method gaussian: noise is not a quantizer; methods are: rtn" }, NULL },
    { "signs", 2, { QUANTIZE, "sign", "--out", "@x" }, { "noise is not a quantizer" }, NULL },
    { "key with a slip", 2, { QUANTIZE, "rtn", "--set", "bit=3", "--out", "@x" }, { "--set: unknown key 'bit'; did you mean 'bits'?" }, NULL },
    { "key without a value", 2, { QUANTIZE, "rtn", "--set", "bits", "--out", "@x" }, { "--set 'bits'", "key=value" }, NULL },
    { "bits out of range", 2, { QUANTIZE, "rtn", "--set", "bits=9", "--out", "@x" }, { "--set", "bits", "2 to 8" }, NULL },
    { "context of no text", 2, { QUANTIZE, "rtn", "--context", "9", "--out", "@x" }, { "--context is of --calibration TEXT, which is not given" }, NULL },
    { "layers that are not there", 1, { QUANTIZE, "rtn", "--layers", "blocks.2.q", "--out", "@x" }, { "no layer matches 'blocks.2.q'; did you mean 'blocks.0.q'?" }, NULL },
    { "no such model", 1, { "quantize", "@none", "--method", "rtn", "--out", "@x" }, { "none: No such file" }, NULL },
    { "a file in the place", 1, { QUANTIZE, "rtn", "--out", "@file" }, { "file: there is a file of this name" }, make_file },
    { "a place in no folder", 1, { QUANTIZE, "rtn", "--out", "@no/such/x" }, { "no/such/x: cannot be made (No such file or directory)" }, NULL },
    { "a place in a file", 1, { QUANTIZE, "rtn", "--out", "@file/x" }, { "file/x: cannot be made (Not a directory)" }, make_file },
    { "an empty place", 2, { QUANTIZE, "rtn", "--out", "" }, { "--out", "no value" }, NULL },
    { "a folder of other things", 1, { QUANTIZE, "rtn", "--out", "@house" }, { "house holds 'thesis.tex'", "choose another place" }, make_house },
    { "the same with force", 1, { QUANTIZE, "rtn", "--out", "@house", "--force" }, { "holds 'thesis.tex'", "would be lost" }, make_house },
    { "over the model itself", 1, { "quantize", "@nest/model", "--method", "rtn", "--out", "@nest/model", "--force" }, { "the model that is read lies there" }, make_nested },
    { "over what holds it", 1, { "quantize", "@nest/model", "--method", "rtn", "--out", "@nest", "--force" }, { "the model that is read lies there" }, make_nested },
    { "what a killed run left", 1, { "quantize", "@left.linearity-tmp", "--method", "rtn", "--out", "@left" }, { "left is no model to read", "killed" }, make_left },
    { "a value too large for f16", 1, { "quantize", "@hot", "--method", "rtn", "--out", "@x", "--dtype", "f16", "--quiet" }, { "'model.norm.weight' has a value that F16 cannot hold" }, make_large_value },
};

static void test_bad_input(void **state)
{
    (void)state;
    BAD_CHECK_ALL(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_back), cmocka_unit_test(test_gguf), cmocka_unit_test(test_layers), cmocka_unit_test(test_text_output),
        cmocka_unit_test(test_tokenizer_comes_along), cmocka_unit_test(test_unused_calibration_is_said), cmocka_unit_test(test_force),
        cmocka_unit_test(test_stopping), cmocka_unit_test(test_full_disk), cmocka_unit_test(test_bad_input),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
