/* test_program_task_runs.c - experiments on questions with choices: accuracies in their tables, errors over items, what is said and refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_task.h"

static const char config[] =
    "experiment: %s\n"
    "model: %s\n"
    "text: {file: %s, protocol: choices, skip: 6}\n"
    "calibration: {file: %s, protocol: answers, windows: 6}\n"
    "choices:\n"
    "  - rtn: {bits: [2, 8], group: 16}\n"
    "  - gptq: {bits: 2, group: 16}\n"
    "dynamic: {windows: 4, rules: types}\n"
    "bootstrap: 200\n";

static char *config_for(const char *experiment)
{
    return xformat(config, experiment, scratch_path("m"), scratch_path("task.jsonl"), scratch_path("task.jsonl"));
}

/* A table of whole models has what the command says of the quantized model as a file. */
static void test_quantizers_on_a_task(void **state)
{
    (void)state;
    quantize_model();
    char *yaml = config_for("quantizers"), *said = run_said("tasks.yaml", yaml, "tasks.h5", NULL);
    json_t *rows = rows_of("tasks.h5", "quantizers"), *r = printed("tasks", scratch_path("m"), scratch_path("task.jsonl"), scratch_path("q"), "--skip", "6");
    assert_int_equal(json_array_size(rows), 3);
    const char *const same[] = { "acc_change", "acc_change_se", "acc_gained", "acc_lost", "acc_p", "acc_norm_change", "acc_norm_p", "kl", "kl_se" };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) assert_true(fabs(number(rows, 0, same[i]) - value(r, same[i])) <= 1e-6);
    assert_true(near(number(rows, 0, "acc"), value(r, "acc_other"), 1e-12) && near(number(rows, 0, "acc_norm_se"), value(r, "acc_norm_other_se"), 1e-12));
    assert_true(number(rows, 1, "acc_below_error") == 1 && near(number(rows, 1, "acc"), value(r, "acc"), .1));     /* eight bits hardly change an answer */
    assert_non_null(strstr(said, "items rightly"));
    assert_non_null(strstr(said, "below its error"));
    json_decref(rows);
    json_decref(r);
    free(said);
    free(yaml);
}

/* ---- errors over items ---- */

/* Sums over the scored tokens of all choices of an item, which share its question. */
typedef struct { double x[ITEMS]; } ByItem;

/* sum a / sum b; with b = tokens a mean.  se^2 = n / (n - 1) sum_i (a_i - ratio b_i)^2 / (sum b)^2 over the n items. */
static void assert_ratio(const json_t *rows, size_t row, const char *name, const ByItem *a, const ByItem *b, int n)
{
    double above = 0, below = 0, squares = 0;
    for (int i = 0; i < n; i++) above += a->x[i], below += b->x[i];
    for (int i = 0; i < n; i++) squares += pow(a->x[i] - above / below * b->x[i], 2);
    const double se = sqrt(squares * n / (n - 1)) / below;
    char *se_name = xformat("%s_se", name);
    if (!near(number(rows, row, name), above / below, 1e-9)) fail_msg("%s of row %zu: %g, not %g", name, row, number(rows, row, name), above / below);
    if (!near(number(rows, row, se_name), se, 1e-9)) fail_msg("%s of row %zu: %g, not %g", se_name, row, number(rows, row, se_name), se);
    free(se_name);
}

static size_t labelled(const json_t *measurements, const char *label)
{
    for (size_t m = 0; m < json_array_size(measurements); m++)
        if (!strcmp(word(measurements, m, "label"), label)) return m;
    fail_msg("nothing was measured as %s", label);
    return 0;
}

/* Of `ppl` too: the NLL of a task's choices. */
static void test_ppl_errs_over_items(void **state)
{
    (void)state;
    json_t *task = printed("tasks", scratch_path("m"), scratch_path("task.jsonl"), NULL, NULL, NULL);
    json_t *ppl = printed("ppl", scratch_path("m"), scratch_path("task.jsonl"), "--protocol", "choices", NULL);
    ByItem nats = { { 0 } }, tokens = { { 0 } };
    for (size_t i = 0; i < ITEMS; i++)
        for (size_t c = 0; c < CHOICES; c++) {
            const json_t *row = json_array_get(json_object_get(task, "rows"), i);
            nats.x[i] -= json_number_value(json_array_get(json_object_get(row, "loglikelihood"), c));
            tokens.x[i] += json_number_value(json_array_get(json_object_get(row, "tokens"), c));
        }
    json_t *rows = json_array();
    json_array_append(rows, ppl);
    assert_ratio(rows, 0, "nll", &nats, &tokens, ITEMS);
    json_decref(rows);
    json_decref(ppl);
    json_decref(task);
}

static json_t *measurements, *windows, *forms, *layers;

/* column of the windows of a measurement; "": their tokens. */
static ByItem sums(size_t measurement, const char *column)
{
    ByItem out = { { 0 } };
    for (size_t w = 0; w < json_array_size(windows); w++)
        if (number(windows, w, "measurement") == (double)measurement)
            out.x[(int)number(windows, w, "window") / CHOICES] += number(windows, w, "tokens") * (*column ? number(windows, w, column) : 1);
    return out;
}

/* sum_l a^G_lw t2_l over the tokens; the coefficients of each window are a record. */
static ByItem predicted(size_t measurement)
{
    ByItem out = { { 0 } };
    double t2[64] = { 0 }, tokens[ITEMS * CHOICES];
    for (size_t l = 0; l < json_array_size(layers); l++)
        if (number(layers, l, "measurement") == (double)measurement) t2[(int)number(layers, l, "layer")] = number(layers, l, "t2");
    for (size_t w = 0; w < json_array_size(windows); w++)
        if (number(windows, w, "measurement") == (double)measurement) tokens[(int)number(windows, w, "window")] = number(windows, w, "tokens");
    for (size_t f = 0; f < json_array_size(forms); f++) {
        const int window = atoi(word(measurements, (size_t)number(forms, f, "measurement"), "label") + strlen("fisher window "));
        out.x[window / CHOICES] += number(forms, f, "group") * t2[(int)number(forms, f, "layer")] * tokens[window];
    }
    return out;
}

/* Every error of the tables again from what the store has of single windows: three windows of an item are one thing. */
static void test_errors_are_over_items(void **state)
{
    (void)state;
    enum { N = ITEMS - 6 };
    char *yaml = config_for("quantizers"), *said = run_said("items.yaml", yaml, "items.h5", NULL);
    json_t *rows = rows_of("items.h5", "quantizers"), *rivals = rows_of("items.h5", "rivals");
    measurements = rows_of("items.h5", "measurements"), windows = rows_of("items.h5", "measurement_windows");
    forms = rows_of("items.h5", "measurement_forms"), layers = rows_of("items.h5", "measurement_layers");
    for (size_t i = 0; i < 3; i++) {
        const size_t m = labelled(measurements, word(rows, i, "choice"));
        const ByItem kl = sums(m, "kl"), tokens = sums(m, ""), sum = predicted(m);
        assert_ratio(rows, i, "kl", &kl, &tokens, N);
        assert_ratio(rows, i, "ratio", &kl, &sum, N);
    }
    assert_int_equal(json_array_size(rivals), 1);
    const ByItem better = sums(labelled(measurements, word(rivals, 0, "choice")), "kl"), other = sums(labelled(measurements, word(rivals, 0, "rival")), "kl");
    assert_ratio(rivals, 0, "kl_ratio", &better, &other, N);
    json_t *all[] = { rows, rivals, measurements, windows, forms, layers };
    for (int i = 0; i < 6; i++) json_decref(all[i]);
    assert_null(strstr(said, "windows of their own"));
    free(said);
    free(yaml);
}

/* One point of a sweep on a task, the other on its text: the table has the columns, empty where there is no task. */
static void test_sweep_of_protocols(void **state)
{
    (void)state;
    char *yaml = config_for("quantizers"), *swept = xformat("%ssweep: {text.protocol: [answers, choices]}\n", yaml);
    free(run_said("sweep.yaml", swept, "sweep.h5", NULL));
    json_t *rows = rows_of("sweep.h5", "quantizers");
    assert_int_equal(json_array_size(rows), 6);
    for (size_t i = 0; i < 6; i++) {
        const bool task = !strcmp(word(rows, i, "text.protocol"), "choices");
        assert_int_equal(task, i >= 3);
        assert_int_equal(isfinite(number(rows, i, "acc")), task);
        assert_true(number(rows, i, "kl") > 0);
    }
    json_decref(rows);
    free(swept);
    free(yaml);
}

static void test_dynamic_on_a_task(void **state)
{
    (void)state;
    const char *const settings[] = { "budgets=[4.5]", "experiment=[dynamic, sensitivity]", NULL };
    static const char shared[] = "Choices of one question are windows of their own";
    char *yaml = config_for("dynamic"), *said = run_said("dynamic.yaml", yaml, "dynamic.h5", settings);
    json_t *rows = rows_of("dynamic.h5", "models");
    for (size_t i = 0; i < json_array_size(rows); i++) assert_true(number(rows, i, "acc") >= 0 && number(rows, i, "acc") <= 1 && number(rows, i, "acc_norm_change") >= -1);
    assert_non_null(strstr(said, "guessing 33.3 %"));
    const char *once = strstr(said, shared);                        /* intervals of neither are over items */
    assert_true(once && !strstr(once + 1, shared));
    json_decref(rows);
    free(said);
    free(yaml);
}

/* One question is one thing that was seen, however many choices it has: no error, no interval. */
static void test_one_item(void **state)
{
    (void)state;
    const char *const settings[] = { "text.windows=1", NULL };
    char *yaml = config_for("quantizers"), *said = run_said("one.yaml", yaml, "one.h5", settings);
    json_t *rows = rows_of("one.h5", "quantizers");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        assert_true(number(rows, i, "ratio") > 0 && number(rows, i, "predicted") > 0);
        static const char *const unknown[] = { "kl_se", "ratio_se", "predicted_low", "predicted_high" };
        for (int k = 0; k < 4; k++) assert_false(isfinite(number(rows, i, unknown[k])));
    }
    assert_non_null(strstr(said, "nothing here has an error or an interval"));
    json_decref(rows);
    free(yaml), free(said);
}

/* Questions that were calibrated on with their right answers are no test; others of the same file are. */
static void test_calibrated_questions_are_said(void **state)
{
    (void)state;
    const char *const again[] = { "text.skip=3", NULL };
    char *yaml = config_for("quantizers"), *apart = run_said("apart.yaml", yaml, "apart.h5", NULL), *seen = run_said("seen.yaml", yaml, "seen.h5", again);
    assert_null(strstr(apart, "calibration text do"));
    assert_non_null(strstr(seen, "3 of 81 windows of the text that is measured on begin as windows of the calibration text do"));
    free(yaml), free(apart), free(seen);
}

/* What a calibration text loses is said; with wrong answers among the right ones it is refused. */
static void test_calibration_on_a_task(void **state)
{
    (void)state;
    const char *const brief[] = { "calibration.context=9", NULL };
    char *yaml = config_for("quantizers"), *said = run_said("brief.yaml", yaml, "brief.h5", brief);
    assert_non_null(strstr(said, "windows of the calibration text lost their beginning: they are longer than 9 tokens."));
    Ran ran = program("run", scratch_text("wrong.yaml", yaml), "--set", "calibration.protocol=choices", "--set", "output=none.h5", "--quiet", NULL);
    assert_true(ran.status != 0);
    assert_non_null(strstr(ran.err, "calibration.protocol: choices would calibrate on the wrong answers too"));
    ran_free(&ran);
    ran = program("quantize", scratch_path("m"), "--method", "gptq", "--calibration", scratch_path("task.jsonl"), "--protocol", "choices", "--out", "none", NULL);
    assert_true(ran.status != 0);
    assert_non_null(strstr(ran.err, "--protocol choices would calibrate on the wrong answers too"));
    ran_free(&ran);
    free(yaml), free(said);
}

/* What is sure is so over items: the three choices of two questions are two things that were seen, not six. */
static void test_tacq_on_two_items(void **state)
{
    (void)state;
    const double one_degree = 12.706204736, five_degrees = 2.570581836;
    int between = 0;
    char *yaml = xformat("experiment: tacq\nmodel: %s\ntext: {file: %s, protocol: choices, skip: 6, windows: 2}\ncalibration: {file: %s, protocol: answers, windows: 6}\n"
                         "choices:\n  - gptq: {bits: [2, 3, 4], group: 0}\n  - tacq: {bits: 2, ratio: [0.01, 0.02, 0.03], score: [tacq, random]}\n",
                         scratch_path("m"), scratch_path("task.jsonl"), scratch_path("task.jsonl"));
    free(run_said("two.yaml", yaml, "two.h5", NULL));
    json_t *rows = rows_of("two.h5", "mask_rivals");
    assert_true(json_array_size(rows) > 4);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const double errors = fabs(number(rows, i, "ratio") - 1) / number(rows, i, "ratio_se");
        assert_true(number(rows, i, "sure") == (errors > one_degree));
        between += errors > five_degrees && errors < one_degree;
    }
    assert_true(between > 0);
    json_decref(rows);
    free(yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantizers_on_a_task), cmocka_unit_test(test_ppl_errs_over_items), cmocka_unit_test(test_errors_are_over_items),
        cmocka_unit_test(test_sweep_of_protocols), cmocka_unit_test(test_dynamic_on_a_task), cmocka_unit_test(test_one_item),
        cmocka_unit_test(test_calibrated_questions_are_said), cmocka_unit_test(test_calibration_on_a_task), cmocka_unit_test(test_tacq_on_two_items),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
