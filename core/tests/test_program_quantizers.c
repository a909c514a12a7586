/* test_program_quantizers.c - `linearity run` with experiment: quantizers, through the program */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/tests/program_rows.h"

static const char config[] =
    "experiment: quantizers\n"
    "model: core/tests/golden/tiny/llama3-gqa-tied\n"
    "text: {random: {windows: 6, length: 40}}\n"
    "quantizers: {singles: [\"blocks.*.down\", blocks.0.q], mirrored: yes}\n"
    "choices:\n"
    "  - rtn: {bits: [4, 8], group: 16}\n"
    "  - rtn: {bits: 4, group: 16, clip: mse}\n";

static json_t *whole, *layers, *predictors, *rivals;

static int run_once(void **state)
{
    (void)state;
    free(run_said("quantizers.yaml", config, "quantizers.h5", NULL));
    whole = rows_of("quantizers.h5", "quantizers");
    layers = rows_of("quantizers.h5", "quantizer_layers");
    predictors = rows_of("quantizers.h5", "predictors");
    rivals = rows_of("quantizers.h5", "rivals");
    return 0;
}

static int forget(void **state)
{
    (void)state;
    json_t *all[] = { whole, layers, predictors, rivals };
    for (int i = 0; i < 4; i++) json_decref(all[i]);
    return 0;
}

/* 16 + b bits for 16 weights: sizes by hand; losses and perplexities say the same; small errors obey the law. */
static void test_whole_models(void **state)
{
    (void)state;
    assert_int_equal(json_array_size(whole), 3);
    const double bits[] = { 4 + 20 / 16., 8 + 24 / 16., 4 + 20 / 16. }, codes[] = { 4, 8, 4 };
    for (size_t i = 0; i < 3; i++) {
        assert_true(near(number(whole, i, "bits"), bits[i], 1e-12) && near(number(whole, i, "code_bits"), codes[i], 1e-12));
        assert_true(near(number(whole, i, "ppl_ratio"), exp(number(whole, i, "delta_nll")), 1e-12));
        assert_true(number(whole, i, "predicted_low") < number(whole, i, "predicted") && number(whole, i, "predicted") < number(whole, i, "predicted_high"));
        assert_true(near(number(whole, i, "kl"), number(whole, i, "ratio") * number(whole, i, "predicted"), 1e-9));
        assert_true(number(whole, i, "pair_ratio") > .5 && number(whole, i, "pair_ratio") < 2);
    }
    assert_true(number(whole, 2, "t2") < number(whole, 0, "t2"));           /* what the clip search is for */
    assert_true(number(whole, 1, "t2") < .01 * number(whole, 0, "t2") && number(whole, 1, "kl") < .03 * number(whole, 0, "kl"));
}

static void test_rivals_are_of_one_size(void **state)
{
    (void)state;
    assert_int_equal(json_array_size(rivals), 1);
    assert_true(number(rivals, 0, "kl_ratio") <= 1 && number(rivals, 0, "difference") >= 0);
    assert_string_not_equal(word(rivals, 0, "choice"), word(rivals, 0, "rival"));
}

/* The tables of predictors against the layers they come from, and against a t2 by hand. */
static void test_layers_and_predictors(void **state)
{
    (void)state;
    static const char *const name[] = { "sigma", "group", "kronecker", "shrinkage", "square" };
    const size_t singles = json_array_size(layers) / 3;
    assert_true(singles >= 3 && json_array_size(predictors) == 3 * 2 * 5);
    for (size_t c = 0; c < 3; c++)
        for (size_t p = 0; p < 5; p++) {
            const size_t row = c * 10 + p;
            char *column = xformat("ratio_%s", name[p]);
            double least = INFINITY, most = 0;
            for (size_t s = 0; s < singles; s++) {
                const double ratio = number(layers, c * singles + s, column);
                least = fmin(least, ratio), most = fmax(most, ratio);
                assert_true(ratio > 0 && number(layers, c * singles + s, "kl_mirrored") > 0);
            }
            assert_string_equal(word(predictors, row, "predictor"), name[p]);
            assert_string_equal(word(predictors, row, "sign"), "plus");
            assert_true(number(predictors, row, "layers") == (double)singles);
            assert_true(number(predictors, row, "ratio") >= least && number(predictors, row, "ratio") <= most);
            free(column);
        }
    for (size_t s = 0; s < 3 * singles; s++) {
        const double by_sigma = number(layers, s, "kl") / number(layers, s, "ratio_sigma"), by_kronecker = number(layers, s, "kl") / number(layers, s, "ratio_kronecker");
        assert_true(near(by_kronecker / by_sigma, number(layers, s, "kronecker") / number(layers, s, "t2"), 1e-9));
        assert_true(number(layers, s, "kronecker") > .3 * number(layers, s, "t2") && number(layers, s, "kronecker") < 3 * number(layers, s, "t2"));
    }
    /* At 8 bits everything is small, so a t2 holds within the noise of 234 tokens. */
    assert_true(fabs(log(number(predictors, 10, "ratio"))) < .4);
}

static void test_again_from_the_store(void **state)
{
    (void)state;
    const char *const change[] = { "quantizers.mirrored=no", NULL };
    char *said = run_said("quantizers.yaml", config, "quantizers.h5", change);
    assert_non_null(strstr(said, "\n0 measurements were run"));
    json_t *again = rows_of("quantizers.h5", "quantizers");
    for (size_t i = 0; i < 3; i++) assert_true(number(again, i, "kl") == number(whole, i, "kl") && isnan(number(again, i, "kl_mirrored")));
    json_decref(again);
    free(said);
}

#define START "experiment: quantizers\nmodel: core/tests/golden/tiny/llama-v8\ntext: {random: {windows: 2, length: 20}}\n"

static void test_refusals(void **state)
{
    (void)state;
    run_refused(START, "the experiment quantizers needs choices");
    run_refused(START "choices: [{gaussian: {t2: 0.1}}]\n", "'gaussian' is noise");
    run_refused(START "quantizers: {singles: [\"*.dwn\"]}\nchoices: [rtn]\n", "quantizers.singles: no layer under study");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_models),
        cmocka_unit_test(test_rivals_are_of_one_size),
        cmocka_unit_test(test_layers_and_predictors),
        cmocka_unit_test(test_again_from_the_store),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, run_once, forget);
}
