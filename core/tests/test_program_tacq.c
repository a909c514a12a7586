/* test_program_tacq.c - `linearity run` with experiment: tacq, and `linearity quantize --method tacq`, through the program */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/tests/program_quantize.h"
#include "core/tests/program_rows.h"

#define MODEL GOLDEN "llama3-gqa-tied"
#define TEXTS "text: {random: {windows: 6, length: 40, seed: 1}}\ncoefficients: {from: random, windows: 5, context: 30, seed: 2}\n"
#define CHOICES \
    "choices:\n" \
    "  - gptq: {bits: [2, 3], group: 0, clip: mse}\n" \
    "  - tacq: {bits: 2, ratio: [0, 0.01, 0.05]}\n" \
    "  - tacq: {bits: 2, ratio: 0.05, score: random}\n"

enum { GPTQ2, GPTQ3, NONE, FEW, MANY, CHANCE, UNIFORM };

static json_t *masks, *rivals, *stages;
static size_t models;               /* on each text */

static const char *calibration_text(void)
{
    return scratch_text("calibration.ids", "1 7 3 9 44 2 8 90 12 5 6 33 21 17 80 4\n5 5 9 61 70 71 2 3 8 14 90 33 27 6 18 1 2 3\n40 41 42 43 9 8 7 6 5 4 3 2\n");
}

static char *config(const char *texts, const char *choices)
{
    return xformat("experiment: tacq\nmodel: " MODEL "\n%scalibration: {file: %s}\n%s", texts, calibration_text(), choices);
}

static int run_once(void **state)
{
    (void)state;
    char *text = config(TEXTS, CHOICES);
    free(run_said("tacq.yaml", text, "tacq.h5", NULL));
    free(text);
    masks = rows_of("tacq.h5", "masks");
    rivals = rows_of("tacq.h5", "mask_rivals");
    stages = rows_of("tacq.h5", "stages");
    models = json_array_size(masks) / 2;
    return 0;
}

static int forget(void **state)
{
    (void)state;
    json_t *all[] = { masks, rivals, stages };
    for (int i = 0; i < 3; i++) json_decref(all[i]);
    return 0;
}

/* An empty mask is GPTQ; more weights kept lose less; chance is no good at choosing them. */
static void test_models(void **state)
{
    (void)state;
    assert_int_equal(json_array_size(masks), 2 * models);
    assert_true(models > UNIFORM);
    for (size_t side = 0; side < 2; side++) {
        const size_t at = side * models;
        assert_true(number(masks, at, "side") == (double)side + 1);
        assert_string_equal(word(masks, at + GPTQ2, "method"), "gptq");
        assert_string_equal(word(masks, at + MANY, "method"), "tacq");
        assert_string_equal(word(masks, at + CHANCE, "method"), "tacq random");
        assert_string_equal(word(masks, at + UNIFORM, "method"), "allocated");
        assert_true(number(masks, at + NONE, "kl") == number(masks, at + GPTQ2, "kl") && number(masks, at + NONE, "bits") == number(masks, at + GPTQ2, "bits"));
        assert_true(number(masks, at + MANY, "kl") < number(masks, at + FEW, "kl") && number(masks, at + FEW, "kl") < number(masks, at + NONE, "kl"));
        assert_true(number(masks, at + MANY, "kl") < number(masks, at + CHANCE, "kl"));
        for (size_t i = 0; i < models; i++) {
            assert_true(number(masks, at + i, "bits") == number(masks, i, "bits") && number(masks, at + i, "t2") == number(masks, i, "t2"));
            assert_true(number(masks, at + i, "kl_se") > 0 && number(masks, at + i, "same_top") > .2 && number(masks, at + i, "same_top") <= 1);
        }
    }
}

/* 32 bits a kept weight, and for each row its number in as few bits as the largest takes, at most seven here. */
static void test_sizes(void **state)
{
    (void)state;
    const double weights = 110592, rows_bits = 7 * 1536 / weights;
    const struct { size_t row; double ratio; } row[] = { { FEW, .01 }, { MANY, .05 }, { CHANCE, .05 } };
    for (int i = 0; i < 3; i++) {
        const double more = number(masks, row[i].row, "bits") - number(masks, NONE, "bits") - 32 * floor(row[i].ratio * weights) / weights;
        assert_true(number(masks, row[i].row, "ratio") == row[i].ratio);
        assert_true(more > 0 && more <= rows_bits);
        assert_true(number(masks, row[i].row, "code_bits") == 2);
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const char *const form[] = { "linear", "square", "joint" };
    for (size_t i = 0; i < 2 * models; i++) {
        for (int f = 0; f < 3; f++) {
            char *ratio = xformat("%s_ratio", form[f]);
            assert_true(number(masks, i, form[f]) > 0);
            assert_true(near(number(masks, i, ratio) * number(masks, i, form[f]), number(masks, i, "kl"), 1e-9));
            free(ratio);
        }
        assert_true(fabs(number(masks, i, "first")) > 0 && number(masks, i, "first_se") > 0);
        assert_true(number(masks, i, "linear_ratio") > .05 && number(masks, i, "linear_ratio") < 3);
    }
    assert_true(number(masks, MANY, "linear") < number(masks, FEW, "linear") && number(masks, FEW, "linear") < number(masks, NONE, "linear"));
}

/* With one layer at work, all layers in one square are that layer's; and the mask is still the whole model's. */
static void test_one_layer(void **state)
{
    (void)state;
    char *text = config(TEXTS "layers: [blocks.1.down]\n", CHOICES);
    free(run_said("layer.yaml", text, "layer.h5", NULL));
    json_t *rows = rows_of("layer.h5", "masks");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        assert_true(number(rows, i, "square") > 0 && near(number(rows, i, "joint"), number(rows, i, "square"), 1e-9));
        assert_true(number(rows, i, "kl") < number(masks, MANY, "kl"));
    }
    assert_true(number(rows, MANY, "bits") != number(masks, MANY, "bits") && number(rows, MANY, "bits") > number(rows, NONE, "bits"));
    json_decref(rows);
    free(text);
}

/* Plain models on a path between 2 and 3 bits, and an allocation that is no larger; what is over what follows from both. */
static void test_rivals(void **state)
{
    (void)state;
    size_t plain = 0, allocated = 0;
    for (size_t i = 0; i < json_array_size(rivals); i++) {
        const bool is_plain = !strcmp(word(rivals, i, "rival"), "plain");
        assert_true(near(number(rivals, i, "kl") / number(rivals, i, "rival_kl"), number(rivals, i, "ratio"), 1e-9));
        if (!is_plain) assert_true(number(rivals, i, "rival_bits") <= number(rivals, i, "bits") + 1e-9 && number(rivals, i, "rival_bits") > number(rivals, i, "bits") - .2);
        if (is_plain) plain++;
        else allocated++;
        if (!strcmp(word(rivals, i, "label"), "tacq-bits2-ratio0")) assert_true(near(number(rivals, i, "ratio"), 1, 1e-9));
    }
    assert_true(allocated >= 4 && plain >= allocated);
}

static void test_stages(void **state)
{
    (void)state;
    size_t gradients = 0, quantizing = 0;
    for (size_t i = 0; i < json_array_size(stages); i++) {
        assert_true(number(stages, i, "seconds") > 0 && number(stages, i, "peak") > 1e6);
        gradients += !strcmp(word(stages, i, "stage"), "gradients");
        quantizing += !strcmp(word(stages, i, "stage"), "quantizing");
    }
    assert_true(gradients == 1 && quantizing == UNIFORM);
}

/* Of sequential choices a layer's error depends on the layers before it: what is said of uniform models does not depend on allocations measured later. */
static void test_allocations_leave_uniform_models_alone(void **state)
{
    (void)state;
    static const char choices[] = "choices:\n  - gptq: {bits: [2, 3], group: 0, sequential: yes}\n  - tacq: {bits: 2, ratio: 0.01}\n";
    char *text[2] = { config(TEXTS, choices), config(TEXTS "tacq: {allocate: tacq}\n", choices) };
    json_t *rows[2];
    for (int i = 0; i < 2; i++) {
        free(run_said("turn.yaml", text[i], "turn.h5", NULL));
        rows[i] = rows_of("turn.h5", "masks");
        free(text[i]);
    }
    assert_int_equal(json_array_size(rows[0]), 8);
    assert_int_equal(json_array_size(rows[1]), 6);
    assert_string_equal(word(rows[0], 3, "method"), "allocated");
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < 3; i++) assert_true(number(rows[0], 4 * side + i, "linear") == number(rows[1], 3 * side + i, "linear"));
    json_decref(rows[0]), json_decref(rows[1]);
}

static void test_again_and_on_one_text(void **state)
{
    (void)state;
    char *text = config(TEXTS, CHOICES), *said = run_said("tacq.yaml", text, "tacq.h5", NULL);
    assert_non_null(strstr(said, "\n0 measurements were run"));
    free(text), free(said);
    text = config("text: {random: {windows: 6, length: 40, seed: 1}}\n", CHOICES);
    said = run_said("one.yaml", text, "tacq.h5", NULL);
    assert_non_null(strstr(said, "\n0 measurements were run"));
    json_t *one = rows_of("tacq.h5", "masks");
    assert_int_equal(json_array_size(one), models);
    for (size_t i = 0; i < models; i++) assert_true(number(one, i, "kl") == number(masks, i, "kl"));
    json_decref(one);
    free(text), free(said);
}

static void test_dry_run_prices_gradients(void **state)
{
    (void)state;
    char *text = config(TEXTS, CHOICES), *other = config(TEXTS, "choices: [{gptq: {bits: 2}}, {tacq: {score: magnitude}}]\n");
    const char *path[2] = { scratch_text("dry.yaml", text), NULL };
    char *output = xformat("output=%s", scratch_path("dry.h5"));
    Ran ran = program("run", path[0], "--dry-run", "--set", output, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "(gradients by the weights: "));
    assert_non_null(strstr(ran.out, "for what it tells"));
    ran_free(&ran);
    ran = program("run", scratch_text("dry2.yaml", other), "--dry-run", "--set", output, NULL);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "gradients by the weights"));
    ran_free(&ran);
    char *alone = xformat("experiment: quantizers\nmodel: " MODEL "\ntext: {random: {windows: 2, length: 20}}\ncalibration: {file: %s}\nchoices: [tacq]\n", calibration_text());
    ran = program("run", scratch_text("dry3.yaml", alone), "--dry-run", "--set", output, NULL);
    assert_non_null(strstr(ran.out, "(gradients by the weights: "));
    ran_free(&ran);
    free(text), free(other), free(output), free(alone);
}

/* Both texts are priced: what a dry run counts is what is run, where nothing follows from results. */
static void test_price_is_what_is_run(void **state)
{
    (void)state;
    char *text = config(TEXTS, "choices: [{gptq: {bits: 2, group: 0}}, {tacq: {bits: 2, ratio: 0.01}}]\n"), *output = xformat("output=%s", scratch_path("priced.h5"));
    Ran ran = program("run", scratch_text("priced.yaml", text), "--dry-run", "--set", output, NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "measurements   28, of which 0"));         /* null runs, two models and two probes of 6 and 5 windows */
    ran_free(&ran);
    char *said = run_said("priced.yaml", text, "priced.h5", NULL);
    assert_non_null(strstr(said, "\n28 measurements were run"));
    free(text), free(output), free(said);
}

static json_t *quantized(const char *backend, const char *const *set)
{
    const char *words[MOST_WORDS + 1] = { "quantize", MODEL, "--method", "tacq", "--calibration", calibration_text(), "--out", scratch_path("quantized"), "--force", "--json", "--quiet",
                                          "--backend", backend };
    for (int n = 13; set && *set; set++) words[n++] = "--set", words[n++] = *set;
    return parsed(program_words(words));
}

static double sum_of(const json_t *root, const char *key)
{
    const json_t *layers = json_object_get(root, "layers");
    double sum = 0;
    for (size_t i = 0; i < json_array_size(layers); i++) sum += number(layers, i, key);
    return sum;
}

/* What the command writes is what the experiment measures; the cuda back end's gradients choose the same weights but for ties of rounding. */
static void test_quantize(void **state)
{
    (void)state;
    json_t *root = quantized("cpu", (const char *const[]){ "bits=2", "ratio=0.05", NULL });
    assert_true(near(json_number_value(json_object_get(root, "bits")), number(masks, MANY, "bits"), 1e-12));
    json_t *cuda = quantized("cuda", (const char *const[]){ "bits=2", "ratio=0.05", NULL });
    assert_true(near(sum_of(cuda, "t2"), sum_of(root, "t2"), 1e-3));
    assert_true(near(json_number_value(json_object_get(cuda, "bits")), number(masks, MANY, "bits"), 1e-2));
    json_t *in_turn = quantized("cpu", (const char *const[]){ "bits=2", "ratio=0.05", "sequential=yes", NULL });
    assert_true(sum_of(in_turn, "t2") != sum_of(root, "t2") && near(sum_of(in_turn, "t2"), sum_of(root, "t2"), .2));
    json_decref(root), json_decref(cuda), json_decref(in_turn);
}

static void expect_refused(const char *sentence, const char *const *words)
{
    Ran ran = program_words(words);
    assert_true(ran.status == 1 || ran.status == 2);
    if (!strstr(ran.err, sentence)) fail_msg("%s", ran.err);
    ran_free(&ran);
}

static void test_refusals(void **state)
{
    (void)state;
    char *empty = config(TEXTS, ""), *plain = config(TEXTS, "choices: [rtn]\ntacq: {allocate: gptq}\n"), *two = config("coefficients: {from: file}\n" "text: {random: {windows: 2, length: 20}}\n", CHOICES);
    const char *alone = "experiment: tacq\nmodel: " MODEL "\n" TEXTS "choices: [tacq]\n", *size = "experiment: tacq\nmodel: " MODEL "\n" TEXTS "choices: [{tacq: {score: magnitude}}]\n";
    expect_refused("the experiment tacq needs choices", (const char *const[]){ "run", scratch_text("bad.yaml", empty), "--quiet", NULL });
    expect_refused("none of the choices is 'gptq'", (const char *const[]){ "run", scratch_text("bad.yaml", plain), "--quiet", NULL });
    expect_refused("coefficients.file does not say which", (const char *const[]){ "run", scratch_text("bad.yaml", two), "--quiet", NULL });
    expect_refused("needs to see the inputs of the layers and the gradients by the weights: give calibration.file",
                   (const char *const[]){ "run", scratch_text("bad.yaml", alone), "--quiet", NULL });
    expect_refused("needs to see the inputs of the layers: give calibration.file", (const char *const[]){ "run", scratch_text("bad.yaml", size), "--quiet", NULL });
    expect_refused("--method tacq looks at the inputs of the layers and the gradients by the weights: say with --calibration TEXT",
                   (const char *const[]){ "quantize", MODEL, "--method", "tacq", "--out", scratch_path("none"), NULL });
    expect_refused("--set", (const char *const[]){ "quantize", MODEL, "--method", "tacq", "--set", "ratio=1.5", "--calibration", calibration_text(), "--out", scratch_path("none"), NULL });
    free(empty), free(plain), free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_one_layer),
        cmocka_unit_test(test_rivals),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_quantize),
        cmocka_unit_test(test_allocations_leave_uniform_models_alone),
        cmocka_unit_test(test_again_and_on_one_text),
        cmocka_unit_test(test_dry_run_prices_gradients),
        cmocka_unit_test(test_price_is_what_is_run),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, run_once, forget);
}
