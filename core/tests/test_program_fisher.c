/*
 * test_program_fisher.c - what `run` tells of coefficients from a backward pass: consistent tables, windows found again,
 * predictions from them
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_rows.h"

static const char config[] =
    "experiment: [sensitivity, predict]\n"
    "model: " TINY "\n"
    "text: {random: {windows: 6, length: 24, seed: 1}}\n"
    "noise: {group: 16, t2: [0.003]}\n"
    "check: {layers: [\"blocks.0.v\", \"blocks.1.down\", \"blocks.1.k\"], t2: [0.03]}\n"
    "choices: [{rtn: {bits: [3, 4, 8], group: 16}}]\n"
    "bootstrap: 200\n";

enum { LAYERS = 14, WINDOWS = 6 };

static char *said(const char *name, const char *setting, const char *another)
{
    return run_said("fisher.yaml", config, name, (const char *[]){ setting, another, NULL });
}

/* alpha and its errors follow from the windows, which are all there. */
static void test_tables_follow_from_windows(void **state)
{
    (void)state;
    free(said("tables.h5", NULL, NULL));
    json_t *fits = rows_of("tables.h5", "coefficients"), *windows = rows_of("tables.h5", "coefficient_windows"), *covariance = rows_of("tables.h5", "covariance");
    assert_int_equal(json_array_size(windows), LAYERS * WINDOWS);
    assert_int_equal(json_array_size(covariance), LAYERS * (LAYERS + 1) / 2);
    for (size_t l = 0, pair = 0; l < LAYERS; pair += LAYERS - l, l++) {
        assert_string_equal(word(fits, l, "estimator"), "fisher");
        assert_string_equal(word(fits, l, "first_token"), "ordinary");
        static const char *const columns[] = { "alpha", "alpha_sigma", "rho" };
        for (int c = 0; c < 3; c++) {
            double mean = 0;
            for (size_t w = 0; w < WINDOWS; w++) mean += number(windows, l * WINDOWS + w, columns[c]) / WINDOWS;
            assert_true(mean > 0 && near(number(fits, l, columns[c]), mean, 1e-12));
        }
        double squares = 0, alpha = number(fits, l, "alpha"), top = number(windows, l * WINDOWS + (size_t)number(fits, l, "top_window"), "alpha");
        for (size_t w = 0; w < WINDOWS; w++) {
            squares += pow(number(windows, l * WINDOWS + w, "alpha") - alpha, 2);
            assert_true(fabs(number(windows, l * WINDOWS + w, "alpha") - alpha) <= fabs(top - alpha) * (1 + 1e-12));
        }
        assert_string_equal(word(covariance, pair, "layer"), word(fits, l, "layer"));
        assert_string_equal(word(covariance, pair, "other"), word(fits, l, "layer"));
        assert_true(near(number(covariance, pair, "covariance"), squares / WINDOWS / (WINDOWS - 1), 1e-9));
        assert_true(near(number(fits, l, "alpha_se"), sqrt(squares / WINDOWS / (WINDOWS - 1)), 0.25));      /* a bootstrap of 200 */
        assert_true(number(fits, l, "alpha_low") < alpha && alpha < number(fits, l, "alpha_high"));
        assert_true(near(number(fits, l, "top_share"), top / (WINDOWS * alpha), 1e-9));
        assert_true(number(fits, l, "contrast_se") > 0);
    }
    json_decref(fits);
    json_decref(windows);
    json_decref(covariance);
}

/* Layers that were disturbed one by one agree with the backward pass, as the table of checks says. */
static void test_checks(void **state)
{
    (void)state;
    char *text = said("checks.h5", "text.random.windows=24", NULL);
    assert_non_null(strstr(text, "Noise injected into 3 single layers gives "));
    json_t *checks = rows_of("checks.h5", "checks"), *fits = rows_of("checks.h5", "coefficients");
    assert_int_equal(json_array_size(checks), 3);
    for (size_t i = 0; i < 3; i++) {
        double ratio = number(checks, i, "ratio"), se = number(checks, i, "ratio_se");
        assert_true(near(ratio, number(checks, i, "injected") / number(checks, i, "fisher"), 1e-12));
        assert_true(se > 0 && fabs(ratio - 1) < 4.5 * se);
        int found = 0;
        for (size_t row = 0; row < json_array_size(fits); row++) {
            if (strcmp(word(fits, row, "layer"), word(checks, i, "layer"))) continue;
            if (!strcmp(word(fits, row, "estimator"), "fisher")) assert_true(near(number(fits, row, "alpha"), number(checks, i, "fisher"), 1e-12)), found++;
            if (!strcmp(word(fits, row, "estimator"), "kl")) assert_true(near(number(fits, row, "alpha"), number(checks, i, "injected"), 1e-9)), found++;
        }
        assert_int_equal(found, 2);
    }
    json_decref(checks);
    json_decref(fits);
    free(text);
}

/* More windows: those that the store has are not run again, and count for the same. */
static void test_windows_are_found_again(void **state)
{
    (void)state;
    static const char *const only = "experiment=sensitivity";
    free(said("more.h5", only, NULL));
    char *again = said("more.h5", only, NULL), *more = said("more.h5", only, "text.random.windows=9");
    assert_non_null(strstr(again, "\n0 measurements were run, "));
    assert_non_null(strstr(more, " 6 were in the store."));
    free(said("fresh.h5", only, "text.random.windows=9"));
    char *a = exported(scratch_path("more.h5"), "coefficients"), *b = exported(scratch_path("fresh.h5"), "coefficients");
    assert_string_equal(a, b);
    free(a), free(b), free(again), free(more);
}

static void test_predictions(void **state)
{
    (void)state;
    free(said("predict.h5", NULL, NULL));
    json_t *models = rows_of("predict.h5", "predictions"), *choices = rows_of("predict.h5", "choices"), *fits = rows_of("predict.h5", "coefficients");
    for (size_t c = 0; c < 3; c++) {
        double sum = 0;
        for (size_t l = 0; l < LAYERS; l++) {
            sum += number(choices, l * 3 + c, "cost");
            assert_true(near(number(choices, l * 3 + c, "cost"), number(fits, l, "alpha") * number(choices, l * 3 + c, "t2"), 1e-12));
        }
        assert_true(near(number(models, c, "predicted_kl"), sum, 1e-12));
        assert_true(number(models, c, "predicted_low") < sum && sum < number(models, c, "predicted_high"));
        assert_true(isnan(number(models, c, "predicted_delta_nll")));         /* a backward pass knows the KL alone */
        assert_true(number(models, c, "kl") > 0 && isfinite(number(models, c, "delta_nll")));
    }
    assert_true(fabs(number(models, 2, "kl_ratio") - 1) < 5 * number(models, 2, "kl_ratio_se"));      /* 8 bits: deep in the law's range */
    json_decref(models);
    json_decref(choices);
    json_decref(fits);
}

/* The robust mean is what predictions are made from where it is asked for; coefficients show both. */
static void test_robust(void **state)
{
    (void)state;
    free(said("robust.h5", "robust=yes", "text.random.windows=12"));
    json_t *models = rows_of("robust.h5", "predictions"), *choices = rows_of("robust.h5", "choices"), *fits = rows_of("robust.h5", "coefficients");
    double sum = 0;
    for (size_t l = 0; l < LAYERS; l++) {
        assert_true(number(fits, l, "alpha_robust") <= number(fits, l, "alpha") * (1 + 1e-12));
        sum += number(fits, l, "alpha_robust") * number(choices, l * 3, "t2");
    }
    assert_true(near(number(models, 0, "predicted_kl"), sum, 1e-9));
    json_decref(models);
    json_decref(choices);
    json_decref(fits);
}

static json_t *compared(const char *a, const char *b, const char *option, const char *value)
{
    Ran ran = program("compare", scratch_path(a), scratch_path(b), "--json", option, value, NULL);
    json_t *result = json_loads(ran.out, 0, NULL);
    if (!result) print_error("%s", ran.err);
    assert_non_null(result);
    ran_free(&ran);
    return result;
}

static double value_of(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

/* A run against itself, and against the same text with other probes. */
static void test_compare(void **state)
{
    (void)state;
    free(said("one.h5", "experiment=sensitivity", "text.random.windows=12"));
    free(said("two.h5", "experiment=sensitivity", "seed=2"));
    json_t *same = compared("one.h5", "one.h5", NULL, NULL), *other = compared("one.h5", "two.h5", NULL, NULL), *kl = compared("one.h5", "two.h5", "--estimator", "kl");
    assert_true(value_of(same, "scale") == 1 && fabs(value_of(same, "correlation") - 1) < 1e-9 && fabs(value_of(same, "regret")) < 1e-9);
    assert_int_equal((int)value_of(same, "layers"), LAYERS);
    assert_true(fabs(value_of(other, "scale") - 1) < 0.5 && value_of(other, "regret") > 0 && value_of(other, "spread") > 0);
    assert_int_equal((int)value_of(kl, "layers"), 3);
    Ran none = program("compare", scratch_path("one.h5"), scratch_path("two.h5"), "--estimator", "fischer", NULL), text = program("compare", scratch_path("one.h5"), scratch_path("two.h5"), NULL);
    assert_true(none.status == 1 && strstr(none.err, "have 0 layers in common"));
    assert_true(text.status == 0 && strstr(text.out, "correlation") && strstr(text.out, "more loss by the second's measure"));
    ran_free(&none), ran_free(&text);
    free(said("matrix.h5", "experiment=sensitivity", "noise.scale=matrix"));
    Ran kind = program("compare", scratch_path("one.h5"), scratch_path("matrix.h5"), NULL), robust = program("compare", scratch_path("one.h5"), scratch_path("two.h5"), "--estimator", "kl", "--robust", NULL);
    assert_true(kind.status == 1 && strstr(kind.err, "they are not of one kind") && robust.status == 1 && strstr(robust.err, "of 3 layers in common 0 have a positive alpha_robust"));
    ran_free(&kind), ran_free(&robust);
    json_decref(same), json_decref(other), json_decref(kl);
}

/* Points of a sweep are not one set of coefficients. */
static void test_compare_refuses_a_sweep(void **state)
{
    (void)state;
    char *set = xformat("output=%s", scratch_path("swept.h5"));
    Ran ran = program("run", scratch_text("swept.yaml", "experiment: sensitivity\nmodel: " TINY "\ntext: {random: {windows: 3, length: 12}}\nsweep: {noise.group: [8, 16]}\nbootstrap: 100\n"),
                      "--quiet", "--set", set, NULL);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    ran = program("compare", scratch_path("swept.h5"), scratch_path("swept.h5"), NULL);
    assert_true(ran.status == 1 && strstr(ran.err, "holds a sweep over noise.group"));
    ran_free(&ran);
    free(set);
}

static void test_dry_run(void **state)
{
    (void)state;
    char *output = xformat("output=%s", scratch_path("dry.h5"));
    Ran ran = program("run", scratch_text("fisher.yaml", config), "--dry-run", "--set", output, NULL);
    assert_int_equal(ran.status, 0);
    /* 6 windows of the backward pass, null run, 3 layers x 2 levels, 3 uniform models and 1 allocated */
    assert_non_null(strstr(ran.out, "measurements   17, of which 0 are in the store"));
    assert_non_null(strstr(ran.out, "(6 of them windows of backward passes, each for all layers at once)"));
    assert_false(file_there(scratch_path("dry.h5")));
    ran_free(&ran);
    free(output);
}

/* One sigma per matrix is a form of the same gradients: nothing is run for it. */
static void test_one_sigma(void **state)
{
    (void)state;
    free(said("sigma.h5", "check.layers=blocks.0.q", NULL));
    char *text = said("sigma.h5", "noise.scale=matrix", "check.layers=blocks.0.q");
    json_t *fits = rows_of("sigma.h5", "coefficients");
    for (size_t l = 0; l < LAYERS; l++) {
        assert_string_equal(word(fits, l, "scale"), "matrix");
        assert_true(near(number(fits, l, "alpha"), number(fits, l, "alpha_sigma"), 1e-12));
    }
    json_decref(fits);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_follow_from_windows), cmocka_unit_test(test_checks), cmocka_unit_test(test_windows_are_found_again),
        cmocka_unit_test(test_predictions), cmocka_unit_test(test_dry_run), cmocka_unit_test(test_one_sigma), cmocka_unit_test(test_robust), cmocka_unit_test(test_compare), cmocka_unit_test(test_compare_refuses_a_sweep),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
