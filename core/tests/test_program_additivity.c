/*
 * test_program_additivity.c - what `run` with the experiment additivity tabulates: identities that hold for any model,
 * and numbers got again from the stored measurements by another route
 */
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program_rows.h"

enum { LAYERS = 14, CHOICES = 3, DRAWS = 2 };
static const char config[] =
    "experiment: additivity\n"
    "model: " TINY "\n"
    "text: {random: {windows: 4, length: 24, seed: 1}}\n"
    "noise: {group: 16}\n"
    "additivity: {t2: [0.1, 0.003, 0.02], draws: 2, halves: 3, singles: yes}\n"
    "choices: [{rtn: {bits: [2, 4, 3], group: 16}}]\n";

/* Runs the config with some settings more, ended by NULL; the caller frees what was said. */
static char *said(const char *name, const char *const *settings) { return run_said("additivity.yaml", config, name, settings); }

/* Mean over draws (and windows, all of equal length) of the records whose label is BEFORE draw D AFTER. */
static double recorded(const json_t *records, const char *before)
{
    double sum = 0;
    int n = 0;
    char *start = xformat("%s draw ", before);
    for (size_t i = 0; i < json_array_size(records); i++) {
        if (strncmp(word(records, i, "label"), start, strlen(start))) continue;
        sum += number(records, i, "kl");
        n++;
    }
    free(start);
    assert_true(n > 0);
    return sum / n;
}

/* Where the loss is quadratic in the error, its slope along the ray times u is the loss itself, noise by noise; and all
 * rules agree with what is measured, within their errors. */
static void test_small_errors(void **state)
{
    (void)state;
    free(said("small.h5", (const char *[]){ "additivity.t2=[1e-5,2e-5]", "additivity.singles=no", "text.random.windows=8", NULL }));
    json_t *t = rows_of("small.h5", "ladder");
    assert_int_equal(json_array_size(t), 2);
    for (size_t k = 0; k < 2; k++) {
        const double slope = 2 * number(t, k, "predicted_trapezoid") - number(t, k, "predicted_linear");
        assert_true(near(number(t, k, "kl"), slope, 1e-3));
        static const char *const rules[] = { "ratio_linear", "ratio_trapezoid", "ratio_ladder" };
        for (int r = 0; r < 3; r++) {
            char *se = xformat("%s_se", rules[r]);
            assert_true(fabs(number(t, k, rules[r]) - 1) < 4 * number(t, k, se) && number(t, k, se) < 0.2);
            free(se);
        }
        assert_int_equal((int)number(t, k, "near_floor"), 0);
    }
    json_decref(t);
}

/* The natural cubic spline through three slopes in closed form, and the trapezoid. */
static void test_rules(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *t = rows_of("rules.h5", "ladder");
    const double u1 = number(t, 0, "t2"), u2 = number(t, 1, "t2"), h = u2 - u1;
    assert_true(u1 == 0.003 && u2 == 0.02 && number(t, 2, "t2") == 0.1);       /* rising, however they were given */
    const double s0 = number(t, 1, "predicted_linear") / u2, s1 = 2 * number(t, 0, "predicted_trapezoid") / u1 - s0;
    const double s2 = 2 * number(t, 1, "predicted_trapezoid") / u2 - s0;
    const double bend = 3 * ((s2 - s1) / h - (s1 - s0) / u1) / u2;
    const double ladder = u1 * (s0 + s1) / 2 + h * (s1 + s2) / 2 - bend * (pow(u1, 3) + pow(h, 3)) / 24;
    assert_true(near(number(t, 1, "predicted_ladder"), ladder, 1e-6));
    assert_true(number(t, 0, "predicted_ladder") == number(t, 0, "predicted_trapezoid"));
    for (size_t k = 0; k < 3; k++) {
        assert_true(near(number(t, k, "slope_ratio"), 2 * number(t, k, "predicted_trapezoid") / number(t, k, "predicted_linear") - 1, 1e-9));
        assert_true(near(number(t, k, "ratio_ladder"), number(t, k, "kl") / number(t, k, "predicted_ladder"), 1e-9));
        const bool inside = number(t, k, "kl") >= number(t, k, "predicted_linear_low") && number(t, k, "kl") <= number(t, k, "predicted_linear_high");
        assert_int_equal((int)number(t, k, "inside_linear"), inside);
    }
    json_decref(t);
}

/* Perplexities from what stands beside them. */
static void test_perplexities(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *ladder = rows_of("rules.h5", "ladder"), *t = rows_of("rules.h5", "additivity");
    const double c = number(ladder, 0, "delta_nll") / number(ladder, 0, "kl");
    assert_int_equal(json_array_size(t), 2 * CHOICES);
    for (size_t row = 0; row < 2 * CHOICES; row++) {
        const double clean = number(t, row, "clean_ppl"), S = number(t, row, "predicted_linear");
        assert_true(near(number(t, row, "ppl"), clean * exp(number(t, row, "delta_nll")), 1e-9));
        assert_true(near(number(t, row, "ppl_linear"), clean * (1 + c * S), 1e-9));
        assert_true(near(number(t, row, "ppl_exponential"), clean * exp(c * S), 1e-9));
        assert_true(near(number(t, row, "ppl_ladder"), clean * exp(c * number(t, row, "predicted_ladder")), 1e-9));
    }
    json_decref(ladder);
    json_decref(t);
}

/* Whole models, single layers and their interaction, from the records by label. */
static void test_interaction(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *records = rows_of("rules.h5", "measurements"), *t = rows_of("rules.h5", "additivity"), *singles = rows_of("rules.h5", "singles");
    assert_int_equal(json_array_size(singles), 2 * CHOICES * LAYERS);
    for (size_t row = 0; row < 2 * CHOICES; row++) {
        const bool noise = !strcmp(word(t, row, "law"), "noise");
        const double lambda = number(t, row, "lambda");
        char *model = xformat("%s%s", noise ? "noise as " : "", word(t, row, "choice")), *label = xformat("all layers %s", model);
        const double all = recorded(records, label);
        double sum = 0, scaled = 0;
        for (size_t i = 0; i < LAYERS; i++) {
            char *single = xformat("%s alone %s", word(singles, i, "layer"), model);
            const double kl = recorded(records, single);
            assert_true(near(number(singles, row * LAYERS + i, "kl"), kl, 1e-9));
            sum += kl, scaled += expm1(lambda * kl) / lambda;
            free(single);
        }
        assert_true(near(number(t, row, "singles"), sum, 1e-9) && near(number(t, row, "interaction"), all / sum, 1e-9));
        assert_true(near(scaled, expm1(lambda * all) / lambda, 1e-6));
        assert_true(fabs(number(t, row, "own") + number(t, row, "cross") + number(t, row, "predicted_linear") - all) < 1e-9);
        if (!noise) assert_true(near(number(t, row, "kl"), all, 1e-9));
        free(label);
        label = xformat("all layers %s mirrored", model);
        assert_true(near(number(t, row, "kl_mirrored"), recorded(records, label), 1e-9));
        free(label);
        free(model);
    }
    json_decref(records);
    json_decref(t);
    json_decref(singles);
}

/* Pairs of each choice and of all; a geometric mean lies between its extremes. */
static void test_equivalence(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *t = rows_of("rules.h5", "equivalence"), *singles = rows_of("rules.h5", "singles");
    assert_int_equal(json_array_size(t), 2 * (CHOICES + 1));
    for (size_t row = 0; row < 2 * (CHOICES + 1); row++) {
        const bool together = row % (CHOICES + 1) == CHOICES;
        double least = INFINITY, most = 0;
        int agree = 0;
        for (size_t i = 0; i < json_array_size(singles); i++) {
            if (strcmp(word(singles, i, "law"), word(t, row, "law")) || (!together && strcmp(word(singles, i, "choice"), word(t, row, "choice")))) continue;
            const double ratio = number(singles, i, "ratio");
            least = fmin(least, ratio), most = fmax(most, ratio);
            agree += fabs(log(ratio)) <= 3.182446 * number(singles, i, "ratio_se") / ratio;      /* Student's t for 4 windows */
        }
        assert_int_equal((int)number(t, row, "pairs"), together ? CHOICES * LAYERS : LAYERS);
        assert_true(near(number(t, row, "share"), agree / number(t, row, "pairs"), 1e-9));
        assert_true(json_is_null(json_object_get(json_array_get(t, row), "p")) == together);
        if (!together) assert_true(number(t, row, "ratio") > least && number(t, row, "ratio") < most);
    }
    json_decref(t);
    json_decref(singles);
}

/* Both halves of a split are all layers, each once, and splits differ. */
static void test_halves(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *records = rows_of("rules.h5", "measurements"), *places = rows_of("rules.h5", "measurement_layers"), *t = rows_of("rules.h5", "halves");
    assert_int_equal(json_array_size(t), 3);
    unsigned first_half[3] = { 0 };
    for (size_t split = 0; split < 3; split++) {
        double kl[2];
        unsigned in[2] = { 0, 0 };
        for (int h = 0; h < 2; h++) {
            char *label = xformat("half %zu%c", split + 1, "ab"[h]), *one = xformat("%s draw 0", label);
            kl[h] = recorded(records, label);
            for (size_t i = 0; i < json_array_size(places); i++)
                if (!strcmp(word(records, (size_t)number(places, i, "measurement"), "label"), one)) in[h] |= 1u << (int)number(places, i, "layer");
            free(label);
            free(one);
        }
        assert_true((in[0] | in[1]) == (1u << LAYERS) - 1 && (in[0] & in[1]) == 0);
        assert_int_equal(__builtin_popcount(in[0]), LAYERS / 2);
        first_half[split] = in[0];
        assert_string_equal(word(t, split, "choice"), "rtn-bits3-group16");
        assert_true(near(number(t, split, "kl_first"), kl[0], 1e-9) && near(number(t, split, "kl_second"), kl[1], 1e-9));
        assert_true(near(number(t, split, "kl_all"), recorded(records, "all layers noise as rtn-bits3-group16"), 1e-9));
        assert_true(near(number(t, split, "ratio"), (kl[0] + kl[1]) / number(t, split, "kl_all"), 1e-9) && number(t, split, "ratio_se") > 0);
    }
    assert_true(first_half[0] != first_half[1] && first_half[1] != first_half[2]);
    json_decref(records);
    json_decref(places);
    json_decref(t);
}

/* Slopes of layers add up to that of the model; shrunken ones lie between the extremes of the raw ones. */
static void test_slopes(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    json_t *t = rows_of("rules.h5", "additivity"), *s = rows_of("rules.h5", "slopes");
    assert_int_equal(json_array_size(s), CHOICES * LAYERS);
    for (size_t c = 0; c < CHOICES; c++) {
        double with = 0, without = 0, least = INFINITY, most = -INFINITY;
        for (size_t row = c * LAYERS; row < (c + 1) * LAYERS; row++) {
            assert_true(near(number(s, row, "ratio"), number(s, row, "slope") / number(s, row, "a"), 1e-9));
            with += number(s, row, "slope") * number(s, row, "t2"), without += number(s, row, "a") * number(s, row, "t2");
            least = fmin(least, number(s, row, "ratio")), most = fmax(most, number(s, row, "ratio"));
        }
        for (size_t row = c * LAYERS; row < (c + 1) * LAYERS; row++)
            assert_true(number(s, row, "shrunk") >= least && number(s, row, "shrunk") <= most && number(s, row, "shrunk_se") > 0);
        assert_true(near(number(t, 2 * c + 1, "slope_ratio"), with / without, 0.02));     /* noise of exactly this t2 only in the mean */
    }
    json_decref(t);
    json_decref(s);
}

static void assert_same(const char *name, const char *other)
{
    static const char *const tables[] = { "ladder", "additivity", "halves", "slopes", "singles", "equivalence" };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char *one = xstrdup(scratch_path(name)), *a = exported(one, tables[i]), *b = exported(scratch_path(other), tables[i]);
        assert_string_equal(a, b);
        free(one);
        free(a);
        free(b);
    }
}

/* A run that found part of it in the store, in another order, ends with the same bytes, and measures nothing twice. */
static void test_resumed(void **state)
{
    (void)state;
    free(said("rules.h5", NULL));
    free(said("parts.h5", (const char *[]){ "additivity.t2=0.02", "additivity.singles=no", "additivity.halves=1", NULL }));
    free(said("parts.h5", NULL));
    assert_same("rules.h5", "parts.h5");
    char *again = said("parts.h5", NULL);
    assert_non_null(strstr(again, "0 measurements were run"));
    free(again);
    assert_same("rules.h5", "parts.h5");
}

static void test_smoke_config(void **state)
{
    (void)state;
    char *output = xformat("output=%s", scratch_path("smoke.h5"));
    Ran ran = program("run", "configs/additivity-smoke.yaml", "--quiet", "--set", output, NULL);
    assert_int_equal(ran.status, 0);
    static const char *const lines[] = { "Noise in all 14 layers at once: the measured KL is ", "levels (ladder) by ", "over its prediction ",
                                         "Perplexity of rtn-bits2-group16: ", "of the whole (mean of 4 random splits)", "Slopes of single layers at noise as rtn-bits3-group16",
                                         "times the KL of the layers alone (lambda " };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) assert_non_null(strstr(ran.out, lines[i]));
    ran_free(&ran);
    free(output);
}

/* What --dry-run prices is what a run measures. */
static void test_plan(void **state)
{
    (void)state;
    Ran priced = program("run", scratch_text("additivity.yaml", config), "--dry-run", "--json", NULL);
    if (priced.status) ran_free(&priced), priced = program("run", scratch_path("additivity.yaml"), "--dry-run", NULL);
    assert_int_equal(priced.status, 0);
    const char *count = strstr(priced.out, "measurements");
    assert_non_null(count);
    const int planned = atoi(count + strcspn(count, "0123456789"));
    char *text = said("planned.h5", NULL), *expected = xformat("%d measurements were run, 0 were in the store.", planned);
    assert_true(planned > 0 && strstr(text, expected));
    free(expected);
    free(text);
    ran_free(&priced);
}

static void test_without_errors(void **state)
{
    (void)state;
    char *text = said("one.h5", (const char *[]){ "text.random.windows=1", NULL });
    assert_true(strstr(text, "One window of text: nothing here has an error") && !strstr(text, "+-"));
    free(text);
    text = said("floor.h5", (const char *[]){ "additivity.t2=1e-12", "layers=blocks.1.k", NULL });
    assert_non_null(strstr(text, "No level of noise in all layers rose above 20 times the noise floor"));
    free(text);
    json_t *t = rows_of("floor.h5", "ladder");
    assert_int_equal((int)number(t, 0, "near_floor"), 1);
    json_decref(t);
}

static void expect_refused(const char *setting, const char *choices, const char *why)
{
    char *text = xformat("%.*s%s", (int)(strstr(config, "choices") - config), config, choices), *output = xformat("output=%s", scratch_path("refused.h5"));
    Ran ran = program("run", scratch_text("refused.yaml", text), "--quiet", "--set", output, setting ? "--set" : NULL, setting, NULL);
    assert_true(ran.status != 0 && strstr(ran.err, why));
    ran_free(&ran);
    free(text);
    free(output);
}

static void test_refused(void **state)
{
    (void)state;
    expect_refused("noise.fresh=shared", "", "the experiment additivity has errors over windows only, so it needs noise.fresh: sequence");
    expect_refused(NULL, "choices: [{gaussian: {t2: 0.1}}]\n", "'gaussian' is noise and has no size in bits, so it cannot be a choice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_errors), cmocka_unit_test(test_rules), cmocka_unit_test(test_perplexities), cmocka_unit_test(test_interaction),
        cmocka_unit_test(test_equivalence), cmocka_unit_test(test_smoke_config), cmocka_unit_test(test_halves), cmocka_unit_test(test_slopes), cmocka_unit_test(test_resumed), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_without_errors), cmocka_unit_test(test_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
