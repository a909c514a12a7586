/* Configs: what a file means, with its choices, sweeps and overrides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/config_files.h"

static void test_values(void **state)
{
    (void)state;
    static const char text[] =
        "experiment: [sensitivity, predict]\n"
        "model: models/a.gguf\n"
        "text: {sample: {windows: 16, length: 256, seed: 1}}\n"
        "layers: \"*\"\n"
        "noise: {law: sign, scale: group, group: &g 64.0, t2: [0.003, 3e-2, 0.1], fresh: sequence}\n"
        "noise.draws: 1\n"
        "budgets: 3.5\n"
        "seed: 1\n"
        "bootstrap: 1e3\n"
        "memory: 8GiB\n";
    Config config;
    assert_int_equal(read_text(&config, text, NULL), OK);
    assert_string_equal(config.text, text);
    assert_string_equal(config.path, path);
    const Options *o = config.options;
    assert_int_equal(options_count(o, "experiment"), 2);
    assert_string_equal(options_text_at(o, "experiment", 1), "predict");
    assert_string_equal(options_text(o, "noise.law"), "sign");
    assert_int_equal(options_integer(o, "noise.group"), 64);
    assert_int_equal(options_count(o, "noise.t2"), 3);
    assert_true(options_number_at(o, "noise.t2", 1) == 0.03);
    assert_int_equal(options_count(o, "budgets"), 1);
    assert_int_equal(options_integer(o, "bootstrap"), 1000);
    assert_int_equal(options_integer(o, "memory"), INT64_C(8) << 30);
    assert_int_equal(options_integer(o, "text.sample.windows"), 16);
    assert_false(options_is_set(o, "threads"));
    assert_int_equal(config.n_choices, 0);
    assert_int_equal(config.n_sweep, 0);
    config_free(&config);
    config_free(&config);           /* safe twice */
}

static void test_output(void **state)
{
    (void)state;
    static const struct { const char *path, *output; } cases[] = {
        { "configs/quickstart.yaml", "results/quickstart.h5" }, { "a.b.yml", "results/a.b.h5" }, { "/x/plain", "results/plain.h5" },
        { "configs/.yaml", "results/.yaml.h5" }, { "dir.yaml/run.txt", "results/run.txt.h5" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Config config = { .path = xstrdup(cases[i].path), .options = options_new(config_options) };
        char *output = config_output(&config);
        assert_string_equal(output, cases[i].output);
        free(output);
        options_set(config.options, "output", "elsewhere.h5", "here");
        output = config_output(&config);
        assert_string_equal(output, "elsewhere.h5");
        free(output);
        config_free(&config);
    }
}

static void test_choices(void **state)
{
    (void)state;
    static const char text[] = BASE
        "choices:\n  - sign\n  - {gaussian: {scale: [group, matrix], t2: [0.1, 0.2, 0.30], group: 32}}\n  - gaussian:\n";
    static const char *const names[] = {
        "sign", "gaussian-t2_0.1-scale_group-group32", "gaussian-t2_0.2-scale_group-group32", "gaussian-t2_0.3-scale_group-group32",
        "gaussian-t2_0.1-scale_matrix-group32", "gaussian-t2_0.2-scale_matrix-group32", "gaussian-t2_0.3-scale_matrix-group32", "gaussian",
    };
    Config config;
    assert_int_equal(read_text(&config, text, NULL), OK);
    assert_int_equal(config.n_choices, 8);
    for (int i = 0; i < config.n_choices; i++) {
        const Choice *choice = &config.choice[i];
        assert_string_equal(choice->name, names[i]);
        assert_ptr_equal(choice->perturbation, perturbation_find(i ? "gaussian" : "sign"));
        if (i < 1 || i > 6) continue;
        assert_string_equal(options_text(choice->options, "scale"), i < 4 ? "group" : "matrix");
        assert_int_equal(options_integer(choice->options, "group"), 32);
    }
    assert_true(options_number(config.choice[5].options, "t2") == 0.2);
    config_free(&config);
}

static void test_choices_of_quantizers(void **state)
{
    (void)state;
    static const char *const names[] = { "rtn-bits2-group64", "rtn-bits3-group64", "rtn-bits4-group64", "rtn-bits8-group64" };
    Config config;
    assert_int_equal(read_text(&config, BASE "choices: [{rtn: {bits: [2, 3, 4, 8], group: 64}}]\n", NULL), OK);
    assert_int_equal(config.n_choices, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(config.choice[i].name, names[i]);
    assert_int_equal(options_integer(config.choice[3].options, "bits"), 8);
    config_free(&config);

    assert_int_equal(read_text(&config, BASE "choices: [rtn, {rtn: {bits: 4}}]\n", NULL), ERR_ARGUMENT);    /* 4 is the default */
    expect_message("rtn twice", "@:4:16: the choice 'rtn' is given twice");
    assert_int_equal(read_text(&config, BASE "choices: [{rtm: {bits: 4}}]\n", NULL), ERR_ARGUMENT);
    expect_message("rtm", "@:4:12: unknown perturbation 'rtm'; did you mean 'rtn'?");
}

static void test_sweep(void **state)
{
    (void)state;
    Config config;
    assert_int_equal(read_text(&config, BASE "noise: {group: 16}\nsweep: {noise.group: [32, 64.0, 128], text: {context: [256, 512]}, noise.t2: [0.1, [0.2, 0.3]]}\n", NULL), OK);
    SweepPoint *points;
    int n = config_sweep_points(&config, &points);
    assert_int_equal(n, 12);
    static const char *const groups[] = { "32", "64", "128" }, *const contexts[] = { "256", "512" }, *const levels[] = { "[0.1]", "[0.2,0.3]" };
    for (int i = 0; i < n; i++) {
        assert_int_equal(points[i].n, 3);
        assert_string_equal(points[i].name[0], "noise.group");
        assert_string_equal(points[i].value[0], groups[i / 4]);
        assert_string_equal(points[i].value[1], contexts[i / 2 % 2]);
        assert_string_equal(points[i].value[2], levels[i % 2]);
    }
    Options *options;
    assert_int_equal(config_options_at(&options, &config, &points[7]), OK);
    assert_int_equal(options_integer(options, "noise.group"), 64);
    assert_int_equal(options_integer(options, "text.context"), 512);
    assert_int_equal(options_count(options, "noise.t2"), 2);
    assert_string_equal(options_text(options, "model"), "m.gguf");
    assert_int_equal(options_integer(config.options, "noise.group"), 16);
    options_free(options);
    sweep_points_free(points, n);
    config_free(&config);

    assert_int_equal(read_text(&config, BASE, NULL), OK);
    assert_int_equal(config_sweep_points(&config, &points), 1);
    assert_int_equal(points[0].n, 0);
    sweep_points_free(points, 1);
    config_free(&config);

    assert_int_equal(read_text(&config, "experiment: a\nmodel: m\nsweep: {text.file: [a.txt, b.txt]}\n", NULL), OK);
    config_free(&config);
}

static void test_sweep_too_large(void **state)
{
    (void)state;
    char text[4096] = BASE "sweep: {text.seed: [0";
    for (int i = 1; i < 101; i++) sprintf(text + strlen(text), ", %d", i);
    strcat(text, "], seed: [0");
    for (int i = 1; i < 101; i++) sprintf(text + strlen(text), ", %d", i);
    strcat(text, "]}\n");
    Config config;
    assert_int_equal(read_text(&config, text, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "the sweep has more than 10000 points"));
}

static void test_overrides(void **state)
{
    (void)state;
    static const char text[] = BASE "noise: {group: 16}\nsweep: {noise.group: [32, 64], seed: [1, 2]}\n";
    Config config;
    const char *const overrides[] = { "budgets=[3,4]", "noise.t2=0.01,0.03", "noise.group=128", "noise.group=256" };
    write_bytes(text, strlen(text));
    assert_int_equal(config_read(&config, path, 4, overrides), OK);
    assert_int_equal(options_count(config.options, "budgets"), 2);
    assert_true(options_number_at(config.options, "noise.t2", 1) == 0.03);
    assert_int_equal(options_integer(config.options, "noise.group"), 256);
    assert_int_equal(config.n_sweep, 1);
    assert_string_equal(config.sweep[0].name, "seed");
    config_free(&config);

    static const struct { const char *override, *message; } refused[] = {
        { "noise.group", "--set noise.group: must be KEY=VALUE, such as noise.group=64" },
        { "noise.grup=3", "--set: unknown key 'noise.grup'; did you mean 'noise.group'?" },
        { "=3", "--set: unknown key ''; keys are: experiment, model, text, coefficients, calibration, layers, noise, check, estimator, probes, robust, estimators, paper, budgets, additivity, quantizers, dynamic, lsaq, tacq, bootstrap, seed, backend, device, precision, threads, memory, output" },
        { "noise.group=", "--set: 'noise.group' has no value" },
        { "noise.group=[3,4]", "--set: 'noise.group' must be a whole number of weights from 1 to 1000000, not '[3,4]'" },
        { "choices=rtn", "--set: 'choices' can be given in the file only" },
        { "text.sample.windows=3", "--set: 'text.file' and 'text.sample.windows' are both given; a run reads one text" },
        { "text.random.length=3", "--set: 'text.random.length' goes with 'text.random.windows', but the text comes from 'text.file'" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(read_text(&config, text, refused[i].override), ERR_ARGUMENT);
        assert_string_equal(err_last(), refused[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_output),
        cmocka_unit_test(test_choices), cmocka_unit_test(test_choices_of_quantizers),
        cmocka_unit_test(test_sweep), cmocka_unit_test(test_sweep_too_large),
        cmocka_unit_test(test_overrides),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
