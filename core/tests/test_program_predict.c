/*
 * test_program_predict.c - what `run` with the experiment predict says and tabulates: consistent numbers,
 * and nothing claimed that was not measured
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/predict_config.h"
#include "core/tests/program_rows.h"

/* Runs the config with one or two settings more; the caller frees what was said. */
static char *said(const char *name, const char *setting, const char *another)
{
    return run_said("predict.yaml", predict_config, name, (const char *[]){ setting, another, NULL });
}

/* One rule for coefficients: the table's alpha is what the choices are priced with. */
static void test_one_alpha(void **state)
{
    (void)state;
    free(said("alpha.h5", "noise.t2=[0.05,0.0504,0.1]", NULL));
    json_t *fits = rows_of("alpha.h5", "coefficients"), *choices = rows_of("alpha.h5", "choices");
    assert_int_equal(json_array_size(choices), 9);
    for (size_t i = 0; i < 9; i++) {
        const size_t fit = i / 3 * 2;
        assert_string_equal(word(fits, fit, "layer"), word(choices, i, "layer"));
        assert_int_equal((int)number(fits, fit, "levels"), 2);
        assert_true(near(number(choices, i, "cost"), number(fits, fit, "alpha") * number(choices, i, "t2"), 1e-9));
    }
    json_decref(fits);
    json_decref(choices);
}

/* Further levels in some layers show curvature there; predictions use what all layers have. */
static void test_checked_layers_predict_the_same(void **state)
{
    (void)state;
    free(said("plain.h5", NULL, NULL));
    free(said("checked.h5", "check.layers=blocks.0.q", "check.t2=0.3"));
    json_t *plain = rows_of("plain.h5", "predictions"), *checked = rows_of("checked.h5", "predictions"), *fits = rows_of("checked.h5", "coefficients");
    for (size_t i = 0; i < json_array_size(plain); i++) assert_true(number(plain, i, "predicted_kl") == number(checked, i, "predicted_kl"));
    assert_int_equal((int)number(fits, 0, "levels"), 3);
    json_decref(plain);
    json_decref(checked);
    json_decref(fits);
}

/* The difference of two perplexities on one text by the delta method, from the windows' losses. */
static void test_error_of_perplexities(void **state)
{
    (void)state;
    enum { WINDOWS = 4 };
    free(said("ppl.h5", NULL, NULL));
    json_t *models = rows_of("ppl.h5", "predictions"), *measured = rows_of("ppl.h5", "measurements"), *windows = rows_of("ppl.h5", "measurement_windows");
    size_t n = json_array_size(measured), clean = n, rtn = n;
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(word(measured, i, "label"), "clean")) clean = i;
        if (!strcmp(word(measured, i, "label"), "uniform rtn-bits3-group16")) rtn = i;
    }
    assert_true(clean < n && rtn < n);
    double ppl = exp(number(measured, rtn, "nll")), clean_ppl = exp(number(measured, clean, "nll")), influence[WINDOWS], mean = 0, squares = 0;
    for (size_t w = 0; w < WINDOWS; w++) {
        influence[w] = ppl * number(windows, rtn * WINDOWS + w, "nll") - clean_ppl * number(windows, clean * WINDOWS + w, "nll");
        mean += influence[w] / WINDOWS;
    }
    for (size_t w = 0; w < WINDOWS; w++) squares += pow(influence[w] - mean, 2);
    assert_true(near(number(models, 0, "ppl"), ppl, 1e-9) && near(number(models, 0, "clean_ppl"), clean_ppl, 1e-9));
    assert_true(near(number(models, 0, "delta_ppl_se"), sqrt(squares / (WINDOWS * (WINDOWS - 1))), 1e-9));
    assert_true(near(number(models, 0, "kl_ratio"), number(models, 0, "kl") / number(models, 0, "predicted_kl"), 1e-12));
    assert_true(number(models, 0, "kl_ratio_se") > 0);
    json_decref(models);
    json_decref(measured);
    json_decref(windows);
}

static void assert_without_intervals(const char *name, const char *why)
{
    json_t *rows = rows_of(name, "predictions");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        assert_true(json_is_null(json_object_get(json_array_get(rows, i), "predicted_low")));
        assert_string_equal(word(rows, i, "note"), why);
    }
    json_decref(rows);
}

static void test_without_intervals(void **state)
{
    (void)state;
    char *text = said("one.h5", "text.random.windows=1", NULL);
    assert_true(strstr(text, "measured, without intervals") && !strstr(text, "+-") && !strstr(text, "outside") && !strstr(text, " of 4 measured"));
    assert_without_intervals("one.h5", "one window: no interval");
    free(text);
    text = said("shared.h5", "noise.fresh=shared", "noise.draws=1");
    assert_true(strstr(text, "measured, without intervals") && !strstr(text, "outside"));
    assert_without_intervals("shared.h5", "noise.fresh: shared with one draw: no interval");
    free(text);
    text = said("draws.h5", "noise.fresh=shared", NULL);
    assert_non_null(strstr(text, " of 4 measured values lie in their 95 % interval."));
    free(text);
}

/* Two draws shared by all windows differ by something that no window shows: it is in the standard error. */
static void test_shared_draws_are_in_the_error(void **state)
{
    (void)state;
    free(said("two.h5", "noise.fresh=shared", "noise.t2=0.05"));
    json_t *fits = rows_of("two.h5", "coefficients"), *points = rows_of("two.h5", "responses");
    int widened = 0;
    for (size_t i = 0; i < 3; i++) {
        double a = number(points, 2 * i, "kl") / number(points, 2 * i, "t2"), b = number(points, 2 * i + 1, "kl") / number(points, 2 * i + 1, "t2");
        double draws = fabs(a - b) / 2, se = number(fits, 2 * i, "alpha_se"), alpha = number(fits, 2 * i, "alpha");
        assert_true(near(alpha, (a + b) / 2, 1e-9) && se > draws);
        assert_true(alpha - number(fits, 2 * i, "alpha_low") > 12.7 * draws && number(fits, 2 * i, "alpha_high") - alpha > 12.7 * draws);
        widened += draws > 0.2 * se;
    }
    assert_true(widened > 0);
    json_decref(fits);
    json_decref(points);
}

static void test_near_the_floor(void **state)
{
    (void)state;
    char *text = said("floor.h5", "noise.t2=1e-12", NULL);
    assert_non_null(strstr(text, "There are no coefficients: no layer rose above 20 times the noise floor; raise noise.t2 or use more text."));
    assert_non_null(strstr(text, "3 of 3 layers did not rise above 20 times the noise floor; an upper bound stands for their alpha"));
    free(text);
    json_t *choices = rows_of("floor.h5", "choices");
    for (size_t i = 0; i < 9; i++) assert_true(number(choices, i, "near_floor") == 1 && number(choices, i, "cost") > 0);
    json_decref(choices);
}

static void test_other_scale(void **state)
{
    (void)state;
    static const char *const settings[] = { "noise.scale=matrix", "noise.group=48", NULL };
    static const char *const lines[] = { "The noise had one size per matrix (noise.scale: matrix)", "The noise followed groups of 48 weights, 3 of 3 choices have others", "The noise " };
    for (int i = 0; i < 3; i++) {
        char *text = said("scale.h5", settings[i], NULL);
        assert_true((strstr(text, lines[i]) != NULL) == (i < 2));
        json_t *rows = rows_of("scale.h5", "predictions");
        assert_true((strstr(word(rows, 0, "note"), "the noise was not scaled") != NULL) == (i < 2));
        json_decref(rows);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_alpha), cmocka_unit_test(test_checked_layers_predict_the_same), cmocka_unit_test(test_error_of_perplexities),
        cmocka_unit_test(test_without_intervals), cmocka_unit_test(test_shared_draws_are_in_the_error),
        cmocka_unit_test(test_near_the_floor), cmocka_unit_test(test_other_scale),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
