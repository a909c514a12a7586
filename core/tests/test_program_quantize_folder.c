/* test_program_quantize_folder.c - linearity quantize: nothing is half there, nothing else is lost, what users get wrong is said */
#include "core/tests/program_quantize.h"

#include <sys/resource.h>
#include <time.h>

#include "core/model/hugging_face_names.h"
#include "core/model/safetensors_write.h"
#include "core/model/tensor_set.h"
#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"

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
        cmocka_unit_test(test_force), cmocka_unit_test(test_stopping), cmocka_unit_test(test_full_disk), cmocka_unit_test(test_bad_input),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
