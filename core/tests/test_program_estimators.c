/*
 * test_program_estimators.c - every estimator against exact traces of a model that can be enumerated, and the recipe of the
 * paper against its formula
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_rows.h"

#define V8 "core/tests/golden/tiny/llama-v8"

enum { COPIES = 1024, TOKENS = 11 };

/* The 12 ids of the references, a window each time. */
static const char *write_ids(void)
{
    json_t *golden = json_load_file(V8 "/golden.json", 0, NULL), *ids = json_object_get(json_object_get(golden, "fisher"), "ids");
    char *text = xstrdup("");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        char *longer = xformat("%s%lld%s", text, (long long)json_integer_value(json_array_get(ids, i)), i + 1 < json_array_size(ids) ? " " : "\n");
        free(text);
        text = longer;
    }
    const char *path = scratch_path("same.ids");
    FILE *file = fopen(path, "w");
    for (int i = 0; i < COPIES; i++) fputs(text, file);
    fclose(file);
    free(text);
    json_decref(golden);
    return path;
}

static void run_config(const char *yaml, const char *name)
{
    char *set = xformat("output=%s", scratch_path(name));
    Ran ran = program("run", scratch_text("estimators.yaml", yaml), "--quiet", "--set", set, NULL);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    ran_free(&ran);
    free(set);
}

static const char *golden_type(const char *type)
{
    static const char *const name[][2] = { { "q", "self_attn.q_proj" }, { "k", "self_attn.k_proj" }, { "v", "self_attn.v_proj" }, { "o", "self_attn.o_proj" },
                                           { "gate", "mlp.gate_proj" }, { "up", "mlp.up_proj" }, { "down", "mlp.down_proj" } };
    for (int i = 0; i < 7; i++)
        if (!strcmp(name[i][0], type)) return name[i][1];
    return "";
}

/* a = ||W||^2 / (2 d) x the trace of the Hessian of the loss: the Fisher's for the KL, the NLL's own otherwise. */
static double exact(const json_t *fisher, const char *type, bool nll)
{
    char *key = xformat("layers.0.%s", golden_type(type));
    const json_t *matrix = json_object_get(json_object_get(fisher, "matrices"), key), *hessian = json_object_get(json_object_get(fisher, "hessian"), key);
    double mean_w2 = json_number_value(json_object_get(matrix, "mean_w2_trF")) / json_number_value(json_object_get(matrix, "trF"));
    double trace = nll ? json_number_value(json_object_get(hessian, "trace")) : json_number_value(json_object_get(matrix, "trF")) / TOKENS;
    free(key);
    return mean_w2 * trace / 2;
}

static void test_exact_traces(void **state)
{
    (void)state;
    char *yaml = xformat("experiment: estimators\nmodel: " V8 "\ntext: {file: %s}\nnoise: {scale: matrix, t2: [0.00001]}\nbootstrap: 200\n"
                         "estimators: [fisher, fisher-sampled, hutchinson, kl, nll-pair, nll-control]\n", write_ids());
    run_config(yaml, "exact.h5");
    free(yaml);
    json_t *golden = json_load_file(V8 "/golden.json", 0, NULL), *rows = rows_of("exact.h5", "estimates");
    assert_int_equal(json_array_size(rows), 6 * 7);
    for (size_t row = 0; row < 6 * 7; row++) {
        const char *estimator = word(rows, row, "estimator");
        bool nll = !strncmp(estimator, "nll", 3) || !strcmp(estimator, "hutchinson");
        double want = exact(json_object_get(golden, "fisher"), word(rows, row, "type"), nll);
        double z = (number(rows, row, "alpha") - want) / number(rows, row, "alpha_se");
        if (!(fabs(z) <= 4.5)) fail_msg("%s, %s: %g, exactly %g, %g standard errors", estimator, word(rows, row, "layer"), number(rows, row, "alpha"), want, z);
    }
    json_decref(golden);
    json_decref(rows);
}

/* alpha = sum_j [exp(mean NLL_j) - exp(mean NLL)] t_j^2 / sum_j t_j^4, the mean of both sweeps, from the measurements in the store. */
static void test_recipe(void **state)
{
    (void)state;
    run_config("experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 5, length: 20}}\ncheck: {layers: [blocks.1.up], t2: [0.1]}\n"
               "estimators: [fisher, paper]\npaper: {t2: [0.001, 0.004, 0.01], draws: 2}\nbootstrap: 200\n", "paper.h5");
    json_t *measured = rows_of("paper.h5", "measurements"), *estimates = rows_of("paper.h5", "estimates"), *table = rows_of("paper.h5", "estimators");
    double clean = NAN, sum[2] = { 0 }, squares[2] = { 0 };
    for (size_t i = 0; i < json_array_size(measured); i++)
        if (!strcmp(word(measured, i, "label"), "clean")) clean = exp(number(measured, i, "nll"));
    for (size_t i = 0; i < json_array_size(measured); i++) {
        if (!strstr(word(measured, i, "label"), "blocks.1.up paper ")) continue;
        int sweep = strstr(word(measured, i, "label"), "sweep 1") != NULL;
        double t2 = number(measured, i, "t2");
        sum[sweep] += (exp(number(measured, i, "nll")) - clean) * t2, squares[sweep] += t2 * t2;
    }
    double a = sum[0] / squares[0], b = sum[1] / squares[1];
    size_t last = json_array_size(estimates) - 1;
    assert_string_equal(word(estimates, last, "estimator"), "paper");
    assert_true(near(number(estimates, last, "alpha"), (a + b) / 2, 1e-9));
    assert_true(number(estimates, last, "alpha_se") >= fabs(a - b) / 2);         /* the draws' scatter is in it */
    assert_int_equal((int)number(table, 0, "layers"), 14);
    assert_int_equal((int)number(table, 1, "layers"), 1);
    assert_true(number(table, 1, "passes") > 2 * 3 * 0.3 && number(table, 1, "passes_all") > 14 * 0.8 * number(table, 1, "passes"));
    json_decref(measured);
    json_decref(estimates);
    json_decref(table);
}

static void test_unknown_name(void **state)
{
    (void)state;
    char *set = xformat("output=%s", scratch_path("unknown.h5"));
    Ran ran = program("run", scratch_text("unknown.yaml", "experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 2, length: 8}}\nestimators: [fischer]\n"),
                      "--set", set, NULL);
    assert_int_equal(ran.status, 1);
    assert_non_null(strstr(ran.err, "there is no estimator 'fischer'; did you mean 'fisher'?"));
    assert_false(file_there(scratch_path("unknown.h5")));
    ran_free(&ran);
    free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_exact_traces), cmocka_unit_test(test_recipe), cmocka_unit_test(test_unknown_name) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
