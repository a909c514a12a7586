/* test_program_calibration.c - data-aware quantizers through the program: `quantize --calibration` and a config's calibration.file are one thing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/tests/program_rows.h"

#define MODEL "core/tests/golden/tiny/llama3-gqa-tied"

static const char *calibration_text(void)
{
    return scratch_text("calibration.ids", "1 7 3 9 44 2 8 90 12 5 6 33 21 17 80 4\n5 5 9 61 70 71 2 3 8 14 90 33 27 6 18 1 2 3\n40 41 42 43 9 8 7 6 5 4 3 2\n");
}

/* What `linearity quantize` tells of its layers. */
static json_t *quantized(const char *method, const char *const *set)
{
    const char *words[MOST_WORDS + 1] = { "quantize", MODEL, "--method", method, "--calibration", calibration_text(), "--out", scratch_path("quantized"), "--force", "--json", "--quiet" };
    for (int n = 11; set && *set; set++) words[n++] = "--set", words[n++] = *set;
    Ran ran = program_words(words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *root = json_loads(ran.out, 0, NULL), *layers = json_incref(json_object_get(root, "layers"));
    json_decref(root);
    ran_free(&ran);
    return layers;
}

/* The same method as a choice: t2 and bits of every layer, as the measurement keeps them. */
static json_t *measured(const char *choice)
{
    char *config = xformat("experiment: quantizers\nmodel: " MODEL "\ntext: {random: {windows: 2, length: 20}}\ncalibration: {file: %s}\nchoices: [{%s}]\n",
                           calibration_text(), choice);
    remove(scratch_path("calibrated.h5"));
    free(run_said("calibrated.yaml", config, "calibrated.h5", NULL));
    free(config);
    return rows_of("calibrated.h5", "measurement_layers");
}

static void same_errors(const char *method, const char *choice, const char *const *set)
{
    json_t *layers = quantized(method, set), *rows = measured(choice);
    const size_t n = json_array_size(layers), all = json_array_size(rows);
    assert_true(n > 10 && all >= n);
    for (size_t i = 0; i < n; i++) {                        /* those of the quantized model stand last, after the backward pass's */
        const size_t row = all - n + i;
        assert_string_equal(word(rows, row, "name"), json_string_value(json_object_get(json_array_get(layers, i), "name")));
        assert_true(number(layers, i, "t2") > 0 && number(rows, row, "t2") == number(layers, i, "t2"));
        assert_true(number(rows, row, "bits") == number(layers, i, "bits") && number(rows, row, "code_bits") == 3);
    }
    json_decref(layers);
    json_decref(rows);
}

static void test_one_calibration_for_all(void **state)
{
    (void)state;
    const char *const plain[] = { "bits=3", "group=16", NULL }, *const sequential[] = { "bits=3", "group=16", "sequential=yes", NULL };
    same_errors("gptq", "gptq: {bits: 3, group: 16}", plain);
    same_errors("gptq", "gptq: {bits: 3, group: 16, sequential: yes}", sequential);
    same_errors("awq", "awq: {bits: 3, group: 16}", plain);
    same_errors("spqr", "spqr: {bits: 3, group: 16}", plain);
    same_errors("squeezellm", "squeezellm: {bits: 3}", (const char *const[]){ "bits=3", NULL });
    same_errors("tacq", "tacq: {bits: 3, ratio: 0.01}", (const char *const[]){ "bits=3", "ratio=0.01", NULL });
}

static void test_another_text_is_another_measurement(void **state)
{
    (void)state;
    static const char config[] = "experiment: quantizers\nmodel: " MODEL "\ntext: {random: {windows: 2, length: 20}}\n"
                                 "choices: [{rtn: {group: 16}}, {gptq: {bits: 3, group: 16}}]\n";
    char *one = xformat("calibration.file=%s", calibration_text()), *other = xformat("calibration.file=%s", scratch_text("other.ids", "3 2 1 9 8 7 6 5 4 33 44 55 66\n"));
    free(run_said("calibrated.yaml", config, "texts.h5", (const char *const[]){ one, NULL }));
    char *said = run_said("calibrated.yaml", config, "texts.h5", (const char *const[]){ other, NULL });
    assert_non_null(strstr(said, "\n1 measurements were run"));         /* gptq; rtn has seen no text */
    free(said);
    free(one);
    free(other);
}

static void refused(const char *sentence, const char *const *words)
{
    Ran ran = program_words(words);
    assert_true(ran.status == 1 || ran.status == 2);
    if (!strstr(ran.err, sentence)) fail_msg("%s", ran.err);
    ran_free(&ran);
}

static void test_missing_text(void **state)
{
    (void)state;
    const char *config = scratch_text("none.yaml", "experiment: quantizers\nmodel: " MODEL "\ntext: {random: {windows: 2, length: 20}}\nchoices: [gptq]\n");
    refused("the choice gptq needs to see the inputs of the layers: give calibration.file", (const char *const[]){ "run", config, "--quiet", NULL });
    char *calibrated = xformat("calibration.file=%s", calibration_text());
    refused("the calibration text alone takes", (const char *const[]){ "run", config, "--quiet", "--memory", "1000000", "--set", calibrated, NULL });
    free(calibrated);
    refused("--calibration TEXT", (const char *const[]){ "quantize", MODEL, "--method", "awq", "--out", scratch_path("no"), NULL });
    refused("no-such-file", (const char *const[]){ "quantize", MODEL, "--method", "gptq", "--calibration", "no-such-file.ids", "--out", scratch_path("no"), "--quiet", NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_calibration_for_all),
        cmocka_unit_test(test_another_text_is_another_measurement),
        cmocka_unit_test(test_missing_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
