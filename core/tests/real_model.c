/*
 * real_model.c - the checks on the default model that take minutes: `make check-real`
 *
 * Perplexity of WikiText-2 and the log-likelihoods of 600 multiple-choice items against PyTorch's; equal bytes for one and two threads
 * and for two memory settings, sampling included; the memory of the gradients' stage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "core/tests/program_results.h"

/* The default model, or the whole test is skipped aloud. */
static const char *real_model(void)
{
    const char *path = getenv("LINEARITY_MODEL");
    if (path && *path && file_there(path)) return path;
    printf("SKIPPED: the default model is not there; `make model` fetches it\n");
    skip();
    return NULL;
}

/* DATA/NAME, or the whole test is skipped aloud. */
static const char *real_data(const char *name)
{
    static char paths[2][512];
    static int next;
    char *path = paths[next++ % 2];
    const char *data = getenv("LINEARITY_DATA");
    snprintf(path, sizeof paths[0], "%s/%s", data ? data : "", name);
    if (data && *data && file_there(path)) return path;
    printf("SKIPPED: needs %s; say where: make check-real DATA=DIR\n", name);
    skip();
    return NULL;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static json_t *ppl_of(const char *text, const char *protocol, const char *windows, const char *bos)
{
    Ran ran = program("ppl", real_model(), text, "--protocol", protocol, "--windows", windows, "--bos", bos, "--json", "--quiet", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *result = json_loads(ran.out, 0, NULL);
    assert_non_null(result);
    ran_free(&ran);
    return result;
}

/* Every window of the golden file within 1e-5 nats of transformers' float32. */
static void compare_windows(const json_t *golden, const char *protocol, const char *bos)
{
    json_t *result = ppl_of(real_data("data/text/wiki.test.raw"), protocol, "4", bos);
    const json_t *got = json_object_get(result, "window_nll"), *want = json_object_get(json_object_get(golden, protocol), "nll_mean");
    assert_int_equal(json_array_size(got), 4);
    assert_int_equal(json_array_size(want), 4);
    for (size_t w = 0; w < 4; w++) {
        double error = fabs(json_number_value(json_array_get(got, w)) - json_number_value(json_array_get(want, w)));
        printf("%s window %zu: off by %.1e nats\n", protocol, w, error);
        assert_true(error <= 1e-5);
    }
    json_decref(result);
}

static void test_golden_windows(void **state)
{
    (void)state;
    real_model();
    json_t *golden = json_load_file("core/tests/golden/smollm2.json", 0, NULL);
    assert_non_null(golden);
    compare_windows(golden, "hf", "no");
    compare_windows(golden, "llama.cpp", "yes");
    json_decref(golden);
}

/* 16 windows of 512 tokens, no BOS: 3.58359 nats by PyTorch and transformers in float32. */
static void test_wikitext(void **state)
{
    (void)state;
    real_model();
    json_t *result = ppl_of(real_data("data/text/wiki.test.raw"), "hf", "16", "no");
    printf("NLL %.6f (PyTorch 3.58359), %.0f tokens/s\n", number(result, "nll"), number(result, "tokens_per_second"));
    assert_true(fabs(number(result, "nll") - 3.58359) <= 2e-5);
    assert_int_equal((int)number(result, "tokens"), 16 * 511);
    json_decref(result);
}

/* ---- tasks: goldens/tasks.json has what transformers says of the first 200 items of each ---- */

static double element(const json_t *row, const char *key, size_t i) { return json_number_value(json_array_get(json_object_get(row, key), i)); }

/* The largest distance between log-likelihoods of choices; tokens must be equal. */
static double compare_rows(const json_t *got, const json_t *want)
{
    double largest = 0;
    assert_int_equal(json_array_size(got), json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++) {
        const json_t *a = json_array_get(got, i), *b = json_array_get(want, i);
        const size_t choices = json_array_size(json_object_get(b, "loglikelihood"));
        assert_int_equal(json_array_size(json_object_get(a, "loglikelihood")), choices);
        for (size_t c = 0; c < choices; c++) {
            const double error = fabs(element(a, "loglikelihood", c) - element(b, "loglikelihood", c));
            assert_true(element(a, "tokens", c) == element(b, "tokens", c));
            assert_true(error <= 1e-3);
            largest = fmax(largest, error);
        }
    }
    return largest;
}

static void compare_task(const json_t *golden, const char *task)
{
    char *name = xformat("data/tasks/%s.jsonl", task);
    Ran ran = program("tasks", real_model(), real_data(name), "--windows", "200", "--bos", "no", "--json", "--quiet", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *result = json_loads(ran.out, 0, NULL);
    const json_t *want = json_object_get(golden, task);
    const double largest = compare_rows(json_object_get(result, "rows"), json_object_get(want, "rows"));
    printf("%s: acc %.3f, acc_norm %.3f (transformers: %.3f, %.3f); log-likelihoods within %.1e nats; %.0f s\n", task, number(result, "acc"),
           number(result, "acc_norm"), number(want, "acc"), number(want, "acc_norm"), largest, number(result, "seconds"));
    assert_true(fabs(number(result, "acc") - number(want, "acc")) <= 1e-12 && fabs(number(result, "acc_norm") - number(want, "acc_norm")) <= 1e-12);
    json_decref(result);
    ran_free(&ran);
    free(name);
}

static void test_tasks(void **state)
{
    (void)state;
    real_model();
    json_t *golden = json_load_file(real_data("goldens/tasks.json"), 0, NULL);
    assert_non_null(golden);
    compare_task(golden, "arc-easy");
    compare_task(golden, "piqa");
    compare_task(golden, "hellaswag");
    json_decref(golden);
}

static const char config[] =
    "experiment: [sensitivity, predict]\n"
    "model: %s\n"
    "text: {sample: {windows: 3, length: 48}}\n"
    "layers: [\"blocks.27.*\", \"blocks.28.down\", \"blocks.29.up\"]\n"
    "noise: {t2: [0.01, 0.1]}\n"
    "choices: [{rtn: {bits: [2, 3, 4]}}]\n"
    "budgets: [3.5]\n"
    "bootstrap: 200\n";

/* The results file of a run in a folder of its own, so that nothing is shared. */
static const char *run_with(const char *name, const char *threads, const char *memory)
{
    char *yaml = xformat(config, real_model()), *file = xformat("%s.yaml", name), *results = xformat("%s/run.h5", name);
    mkdir(scratch_path(name), 0777);
    const char *path = scratch_text(file, yaml), *output = scratch_path(results);
    char *set = xformat("output=%s", output);
    Ran ran = program("run", path, "--set", set, "--threads", threads, "--memory", memory, "--quiet", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    free(yaml), free(file), free(results), free(set);
    return output;
}

/* What there is while gradients are summed: no more than weights in float32, the sums, and one block's gradient. */
static void test_gradient_memory(void **state)
{
    (void)state;
    const double weights = 4 * 106168320., blocks = 30;
    Ran ran = program("quantize", real_model(), "--method", "tacq", "--set", "score=msg", "--calibration", real_data("data/text/wiki.test.raw"), "--context",
                      "512", "--windows", "8", "--layers", "blocks.0.k", "--out", scratch_path("msg"), "--json", "--quiet", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *root = json_loads(ran.out, 0, NULL), *stage = json_array_get(json_object_get(root, "stages"), 0);
    assert_string_equal(json_string_value(json_object_get(stage, "stage")), "gradients");
    const double peak = number(stage, "peak"), most = 2 * weights + weights / blocks;
    printf("gradients: %.0f MB resident of %.0f MB\n", peak / 1e6, most / 1e6);
    assert_true(peak > weights && peak <= most);
    json_decref(root);
    ran_free(&ran);
}

/* Text sampled anew each time: sampling, measuring and fitting all give the same bytes. */
static void test_same_bytes(void **state)
{
    (void)state;
    const char *one = run_with("one", "1", "4GiB"), *two = run_with("two", "2", "4GiB"), *lean = run_with("lean", "2", "300MiB");
    assert_same_tables(one, two);
    assert_same_tables(one, lean);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_golden_windows), cmocka_unit_test(test_wikitext), cmocka_unit_test(test_tasks),
                                        cmocka_unit_test(test_gradient_memory), cmocka_unit_test(test_same_bytes) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
