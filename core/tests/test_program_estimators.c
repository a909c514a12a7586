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
        if (!(number(rows, row, "alpha_se") <= (nll ? 0.3 : 0.1) * fabs(want))) fail_msg("%s, %s: standard error %g of %g", estimator, word(rows, row, "layer"), number(rows, row, "alpha_se"), want);
        if (!(fabs(z) <= 4.5)) fail_msg("%s, %s: %g, exactly %g, %g standard errors", estimator, word(rows, row, "layer"), number(rows, row, "alpha"), want, z);
    }
    json_decref(golden);
    json_decref(rows);
}

/* alpha = sum_j [exp(mean NLL_j) - exp(mean NLL)] t_j^2 / sum_j t_j^4 over both sweeps, from the measurements in the store. */
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
    size_t last = json_array_size(estimates) - 1;
    assert_string_equal(word(estimates, last, "estimator"), "paper");
    assert_true(near(number(estimates, last, "alpha"), (sum[0] + sum[1]) / (squares[0] + squares[1]), 1e-9));
    assert_true(number(estimates, last, "alpha_se") > 0);
    assert_int_equal((int)number(table, 0, "layers"), 14);
    assert_int_equal((int)number(table, 1, "layers"), 1);
    assert_true(number(table, 1, "passes") > 2 * 3 * 0.3 && number(table, 1, "passes_all") > 14 * 0.8 * number(table, 1, "passes"));
    json_decref(measured);
    json_decref(estimates);
    json_decref(table);
}

/* What the comparison says follows from the estimates: cost of 5 %, work for equal errors, ratios. */
static void test_comparison(void **state)
{
    (void)state;
    run_config("experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 6, length: 20}}\ncheck: {layers: [blocks.1.up, blocks.0.v, blocks.0.q]}\n"
               "noise: {group: 16, t2: [0.001]}\nestimators: [fisher, kl]\nbootstrap: 200\n", "compared.h5");
    json_t *estimates = rows_of("compared.h5", "estimates"), *table = rows_of("compared.h5", "estimators");
    enum { FISHER = 14, KL = 3 };
    assert_int_equal(json_array_size(estimates), FISHER + KL);
    double relative[KL], logs[KL], mean = 0, square = 0, injected = 0, fisher = 0;
    for (size_t i = 0; i < KL; i++) {
        size_t row = FISHER + i, same = 0;
        while (strcmp(word(estimates, same, "layer"), word(estimates, row, "layer"))) same++;
        relative[i] = number(estimates, row, "alpha_se") / number(estimates, row, "alpha");
        double other = number(estimates, same, "alpha_se") / number(estimates, same, "alpha");
        logs[i] = log(number(table, 1, "passes_all") / number(table, 0, "passes_all") * pow(relative[i] / other, 2));
        assert_true(near(number(estimates, row, "ratio"), number(estimates, row, "alpha") / number(estimates, same, "alpha"), 1e-9));
        assert_true(number(estimates, row, "ratio_se") > 0 && fabs(number(estimates, row, "ratio") - 1) < 6 * number(estimates, row, "ratio_se"));
        mean += logs[i] / KL, injected += number(estimates, row, "alpha"), fisher += number(estimates, same, "alpha");
    }
    for (size_t i = 0; i < KL; i++) square += pow(logs[i] - mean, 2);
    double median = fmax(fmin(relative[0], relative[1]), fmin(fmax(relative[0], relative[1]), relative[2]));
    assert_true(near(number(table, 1, "relative_se_median"), median, 1e-9));
    assert_true(near(number(table, 1, "five_median"), number(table, 1, "tokens") * number(table, 1, "passes_all") * pow(median / 0.05, 2), 1e-9));
    assert_true(near(number(table, 1, "work"), exp(mean), 1e-9));
    assert_true(near(number(table, 1, "work_high"), exp(mean + 4.302653 * sqrt(square / (KL - 1) / KL)), 1e-6));      /* Student's t, 2 degrees */
    assert_true(near(number(table, 1, "sum_ratio"), injected / fisher, 1e-9) && number(table, 1, "sum_ratio_se") > 0);
    assert_true(number(table, 0, "work") == 1 && number(table, 0, "sum_ratio") == 1);
    json_decref(estimates);
    json_decref(table);
}

static void refused(const char *name, const char *yaml, const char *sentence)
{
    char *set = xformat("output=%s", scratch_path(name));
    Ran ran = program("run", scratch_text("refused.yaml", yaml), "--set", set, NULL);
    if (!strstr(ran.err, sentence)) print_error("%s", ran.err);
    assert_true(ran.status == 1 && strstr(ran.err, sentence));
    ran_free(&ran);
    free(set);
}

/* Told before anything is measured. */
static void test_refusals(void **state)
{
    (void)state;
    refused("none.h5", "experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 2, length: 8}}\nlayers: [blocks.0.q]\ncheck: {layers: [blocks.1.q]}\n",
            "check.layers: none of the layers under study");
    refused("many.h5", "experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 2, length: 8}}\nnoise: {draws: 17}\nestimators: [nll-control]\n",
            "nll-control takes at most 16 draws");
    assert_false(file_there(scratch_path("none.h5")) || file_there(scratch_path("many.h5")));
}

/* One window has no errors, and nothing pretends that it has. */
static void test_one_window(void **state)
{
    (void)state;
    run_config("experiment: estimators\nmodel: " TINY "\ntext: {random: {windows: 1, length: 20}}\ncheck: {layers: [blocks.1.up]}\nestimators: [fisher, kl]\n", "one.h5");
    json_t *table = rows_of("one.h5", "estimators");
    assert_true(isnan(number(table, 0, "relative_se_median")) && isnan(number(table, 1, "work")));
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
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_exact_traces), cmocka_unit_test(test_recipe), cmocka_unit_test(test_comparison), cmocka_unit_test(test_refusals), cmocka_unit_test(test_one_window), cmocka_unit_test(test_unknown_name) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
