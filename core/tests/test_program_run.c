/*
 * test_program_run.c - `run` from end to end on a tiny model: resume, sweeps, what must not change the
 * results
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>

#include "core/tests/predict_config.h"
#include "core/tests/program_results.h"
#include "core/tests/program_tokenizer.h"

/* Null run, 3 layers x 2 levels x 2 draws, 3 uniform models, 1 allocation. */
enum { MEASUREMENTS = 1 + 12 + 3 + 1 };

static void run_to(const char *path, const char *output, const char *option, const char *value)
{
    char *set = xformat("output=%s", output);
    Ran ran = program("run", path, "--quiet", "--set", set, option, value, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    free(set);
}

/* ---- the example that the README points to ---- */

static void test_example(void **state)
{
    (void)state;
    char *set = xformat("output=%s", scratch_path("tiny.h5"));
    Ran ran = program("run", "configs/tiny.yaml", "--set", set, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, " measurements were run, 0 were in the store."));
    assert_non_null(strstr(ran.out, "linearity export "));
    int done = 0, all = 0;
    assert_int_equal(sscanf(last_line(ran.err), "%d/%d measurements  100%%", &done, &all), 2);
    assert_true(done == all && all >= 85);
    assert_null(strstr(ran.out, "nan"));
    ran_free(&ran);
    Ran list = program("export", scratch_path("tiny.h5"), NULL);
    static const char *const tables[] = { "measurements\n", "coefficients\n", "choices\n", "allocations\n", "predictions\n", "responses\n", "floor\n", "runs\n" };
    for (int i = 0; i < 8; i++) assert_non_null(strstr(list.out, tables[i]));
    ran_free(&list);
    free(set);
}

/* ---- export ---- */

static void test_formats(void **state)
{
    (void)state;
    const char *output = scratch_path("formats.h5");
    run_to(scratch_text("formats.yaml", predict_config), output, "--threads", "1");
    Ran csv = program("export", output, "coefficients", NULL), md = program("export", output, "coefficients", "--format", "md", NULL);
    Ran tex = program("export", output, "coefficients", "--format=tex", NULL), json = program("export", output, "coefficients", "--json", NULL);
    assert_int_equal(strncmp(csv.out, "layer,block,type,weights,", 25), 0);
    assert_non_null(strstr(csv.out, ",alpha,alpha_se,"));
    assert_int_equal(strncmp(md.out, "| layer", 7), 0);
    assert_non_null(strstr(tex.out, "\\toprule"));
    json_t *rows = json_loads(json.out, 0, NULL);
    assert_int_equal(json_array_size(rows), 6);         /* 3 layers, 2 estimators */
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "r2")));
    assert_null(strstr(csv.out, "nan"));
    json_decref(rows);
    ran_free(&csv), ran_free(&md), ran_free(&tex), ran_free(&json);
    Ran names = program("export", output, "--json", NULL);
    rows = json_loads(names.out, 0, NULL);
    assert_true(json_array_size(rows) >= 10);
    json_decref(rows);
    ran_free(&names);
}

/* ---- nothing that should not matter does ---- */

static void test_threads_and_folder(void **state)
{
    (void)state;
    const char *path = scratch_text("same.yaml", predict_config), *one = scratch_path("one.h5"), *two = scratch_path("not-yet/two.h5");
    run_to(path, one, "--threads", "1");
    run_to(path, two, "--threads", "2");
    assert_same_tables(one, two);
}

/* With the least memory nothing is kept: weights, boundary states and clean logits are made again each time. */
static void test_memory(void **state)
{
    (void)state;
    char *text = xstrdup(predict_config), least[32] = "", unit[8] = "";
    memcpy(strstr(text, "4, length"), "80,", 3);
    const char *path = scratch_text("memory.yaml", text), *large = scratch_path("large.h5"), *small = scratch_path("small.h5");
    Ran ran = program("run", path, "--dry-run", NULL);
    const char *said = strstr(ran.out, "the least is ");
    assert_true(said && sscanf(said, "the least is %20s %3s", least, unit) == 2);
    strcat(least, unit);
    ran_free(&ran);
    ran = program("run", path, "--memory", least, "--dry-run", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_non_null(strstr(ran.out, "weights converted block by block, clean logits computed again, no block boundary kept"));
    ran_free(&ran);
    run_to(path, large, "--memory", "1GB");
    run_to(path, small, "--memory", least);
    assert_same_tables(large, small);
    free(text);
}

/* ---- dry run, resume, --set ---- */

static int n_files;
static int count_file(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)path, (void)info, (void)type, (void)walk;
    n_files++;
    return 0;
}

static int files_in(const char *folder)
{
    n_files = 0;
    nftw(folder, count_file, 8, FTW_PHYS);
    return n_files;
}

static void test_dry_run(void **state)
{
    (void)state;
    model_copy("speaker", TINY);
    tokenizer_write("speaker", false);
    char *set = xformat("output=%s", scratch_path("dry/dry.h5")), *model = xformat("model=%s", scratch_path("speaker"));
    char *sampled = xstrdup(predict_config);
    memcpy(strstr(sampled, "random"), "sample", 6);
    scratch_text("dry.yaml", predict_config);
    scratch_text("dry-sampled.yaml", sampled);
    int before = files_in(scratch_folder);
    for (int i = 0; i < 2; i++) {
        Ran ran = program("run", scratch_path(i ? "dry-sampled.yaml" : "dry.yaml"), "--dry-run", "--set", set, "--set", model, NULL);
        if (ran.status) print_error("%s", ran.err);
        assert_int_equal(ran.status, 0);
        assert_non_null(strstr(ran.out, "measurements   17, of which 0 are in the store"));
        assert_non_null(strstr(ran.out, "FLOP"));
        assert_non_null(strstr(ran.out, "memory "));
        ran_free(&ran);
    }
    assert_int_equal(files_in(scratch_folder), before);
    free(set), free(model), free(sampled);
}

static void test_resume(void **state)
{
    (void)state;
    const char *path = scratch_text("again.yaml", predict_config), *output = scratch_path("again.h5");
    run_to(path, output, "--threads", "1");
    char *first = exported(output, "timings");
    Results before = results_read(output);
    char *set = xformat("output=%s", output);
    Ran ran = program("run", path, "--set", set, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "0 measurements were run, 17 were in the store."));
    ran_free(&ran);
    Results after = results_read(output);
    assert_results_equal(&before, &after);
    char *second = exported(output, "timings"), *runs = exported(output, "runs");
    assert_string_equal(first, second);
    results_free(&before), results_free(&after);
    ran = program("run", path, "--dry-run", "--set", set, NULL);
    assert_non_null(strstr(ran.out, "measurements   17, of which 16 are in the store"));    /* an allocation depends on results */
    ran_free(&ran);
    ran = program("run", path, "--set", set, "--set", "noise.draws=3", "--set", "experiment=sensitivity", NULL);
    assert_non_null(strstr(ran.out, "6 measurements were run, 13 were in the store."));
    ran_free(&ran);
    free(first), free(second), free(runs), free(set);
}

/* ---- text sampled from the model ---- */

static void test_sampled_text_is_kept(void **state)
{
    (void)state;
    model_copy("sampler", TINY);
    tokenizer_write("sampler", false);
    char *text = xstrdup(predict_config);
    memcpy(strstr(text, "random"), "sample", 6);
    char *model = xformat("model=%s", scratch_path("sampler")), *set = xformat("output=%s", scratch_path("sampled.h5"));
    scratch_text("sampled.yaml", text);
    for (int i = 0; i < 2; i++) {
        Ran ran = program("run", scratch_path("sampled.yaml"), "--set", model, "--set", set, "--set", "experiment=sensitivity", NULL);
        if (ran.status) print_error("%s", ran.err);
        assert_int_equal(ran.status, 0);
        assert_true((strstr(ran.err, "sampling 4 windows of 24 tokens") != NULL) == (i == 0));
        assert_non_null(strstr(ran.out, i == 0 ? "13 measurements were run, 0 " : "0 measurements were run, 13 "));
        ran_free(&ran);
    }
    assert_int_equal(files_in(scratch_path("sampled")), 2);         /* the folder and one .ids file */
    free(model), free(set), free(text);
}

/* ---- sweep ---- */

static void test_sweep(void **state)
{
    (void)state;
    char *text = xformat("%ssweep: {noise.group: [16, 48], text.random.length: [16, 24]}\n", predict_config), *set = xformat("output=%s", scratch_path("sweep.h5"));
    Ran ran = program("run", scratch_text("sweep.yaml", text), "--quiet", "--set", set, "--set", "experiment=sensitivity", NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "50 measurements were run, 2 were in the store."));     /* the null run does not depend on the group */
    ran_free(&ran);
    Ran json = program("export", scratch_path("sweep.h5"), "coefficients", "--json", NULL);
    json_t *rows = json_loads(json.out, 0, NULL);
    assert_int_equal(json_array_size(rows), 4 * 6);
    static const char *const group[] = { "16", "16", "48", "48" }, *const length[] = { "16", "24", "16", "24" };
    for (size_t i = 0; i < 24; i++) {
        const json_t *row = json_array_get(rows, i);
        assert_string_equal(json_string_value(json_object_get(row, "noise.group")), group[i / 6]);
        assert_string_equal(json_string_value(json_object_get(row, "text.random.length")), length[i / 6]);
    }
    json_decref(rows);
    ran_free(&json);
    free(text), free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example), cmocka_unit_test(test_formats), cmocka_unit_test(test_threads_and_folder), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_dry_run), cmocka_unit_test(test_resume), cmocka_unit_test(test_sampled_text_is_kept),
        cmocka_unit_test(test_sweep),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
