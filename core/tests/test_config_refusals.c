/* Configs: the sentence that each slip is answered with, and bytes that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/config_files.h"

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } cases[] = {
        /* keys */
        { "modle: x\n", "@:1:1: unknown key 'modle'; did you mean 'model'?" },
        { "model: x\nnoise:\n  grup: 3\n", "@:3:3: unknown key 'noise.grup'; did you mean 'noise.group'?" },
        { "nose: {group: 3}\n", "@:1:1: unknown key 'nose'; did you mean 'noise'?" },
        { "choises: [rtn]\n", "@:1:1: unknown key 'choises'; did you mean 'choices'?" },
        { "text: {sampel: {windows: 3}}\n", "@:1:8: unknown key 'text.sampel'; did you mean 'text.sample'?" },
        { "noise: {amplitude: 3}\n", "@:1:9: unknown key 'noise.amplitude'; keys of 'noise' are: law, scale, group, t2, draws, fresh" },
        { "temperature: 1\n", "@:1:1: unknown key 'temperature'; keys are: experiment, model, text, coefficients, calibration, layers, noise, check, estimator, probes, robust, estimators, paper, budgets, additivity, quantizers, dynamic, lsaq, tacq, bootstrap, seed, "
                              "backend, device, precision, threads, memory, output, choices, sweep" },
        { "model: x\nmodel: y\n", "@:2:1: 'model' is given twice (first in line 1)" },
        { "noise: {group: 3}\nnoise: {law: sign}\n", "@:2:1: 'noise' is given twice (first in line 1)" },
        { "[1, 2]: 3\n", "@:1:1: 'a key' must be one value, not a list" },
        { "? {a: 1}\n: 3\n", "@:1:3: 'a key' must be one value, not a mapping" },
        { "<<: {model: x}\n", "@:1:1: unknown key '<<'; keys are: experiment, model, text, coefficients, calibration, layers, noise, check, estimator, probes, robust, estimators, paper, budgets, additivity, quantizers, dynamic, lsaq, tacq, bootstrap, seed, "
                              "backend, device, precision, threads, memory, output, choices, sweep" },
        { "\"mod\\0el\": x\n", "@:1:1: 'a key' holds a zero character" },
        /* values */
        { "model: x\n\n\nnoise:\n  law: sign\n\n  group: sixty\n", "@:7:10: 'noise.group' must be a whole number of weights from 1 to 1000000, not 'sixty'" },
        { "noise: {group: 3.5}\n", "@:1:16: 'noise.group' must be a whole number of weights from 1 to 1000000, not '3.5'" },
        { "noise: {law: gausian}\n", "@:1:14: 'noise.law' must be gaussian or sign, not 'gausian'" },
        { "noise: {t2: [0.1, .nan]}\n", "@:1:19: 'noise.t2' must be a number from 1e-12 to 10, not '.nan'" },
        { "noise: {t2: [0.1, 0.10]}\n", "@:1:19: 'noise.t2' has the value '0.1' twice" },
        { "noise: {t2: []}\n", "@:1:13: 'noise.t2' is an empty list" },
        { "noise: {t2: [[0.1]]}\n", "@:1:14: 'noise.t2' must be one value, not a list" },
        { "noise: {t2: {a: 1}}\n", "@:1:13: 'noise.t2' must be one value, not a mapping" },
        { "noise: {group: [32, 64]}\n", "@:1:16: 'noise.group' must be one value, not a list; to try several, name it under 'sweep'" },
        { "model: {path: x}\n", "@:1:8: 'model' must be one value, not a mapping" },
        { "noise: 3\n", "@:1:8: 'noise' is a group of keys (law, scale, group, t2, draws, fresh), not one value" },
        { "text: wiki.txt\n", "@:1:7: 'text' is a group of keys (file, protocol, context, windows, skip, bos, separator, seed, sample, random), not one value" },
        { "noise: [law]\n", "@:1:8: 'noise' is a group of keys (law, scale, group, t2, draws, fresh), not a list" },
        { "model:\n", "@:1:7: 'model' has no value" },
        { "model: ~\n", "@:1:8: 'model' has no value" },
        { "model: ''\n", "@:1:8: 'model' has no value" },
        { "model: \"a\\0b\"\n", "@:1:8: 'model' holds a zero character" },
        { "seed: !!int 3\n", "@:1:7: 'seed' has the YAML tag 'tag:yaml.org,2002:int'; write the value without it" },
        { "budgets: !set [3]\n", "@:1:10: 'budgets' has the YAML tag '!set'; write the value without it" },
        { "budgets: [3, 99]\n", "@:1:14: 'budgets' must be a number of bits/weight from 0.1 to 64, not '99'" },
        { "memory: 8 apples\n", "@:1:9: 'memory' must be a size in bytes from 1000000 to 1e+15, such as 8GiB, 512MiB or 1e9, not '8 apples'" },
        { "seed: \"\\e[31m\"\n", "@:1:7: 'seed' must be a whole number from 0 to 9e+15, not '?[31m'" },
        { "text: &t {sample: *t}\n", "@:1:11: unknown key 'text.sample.sample'; keys of 'text.sample' are: windows, length, seed" },
        /* the file as a whole */
        { "", "@: the file is empty" },
        { "# only a comment\n", "@: the file is empty" },
        { "~\n", "@: the file is empty" },
        { "- a\n- b\n", "@:1:1: a config is made of lines 'key: value', not of a list" },
        { "just words\n", "@:1:1: a config is made of lines 'key: value', not of one text" },
        { BASE "---\nmodel: y\n", "@:4:1: a second YAML document; a config is one" },
        { "model: [x\nseed: 1\n", "@:2:5: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence" },
        { "model: 'x\n", "@:2:1: not valid YAML: found unexpected end of stream while scanning a quoted scalar" },
        { "noise:\n\tgroup: 3\n", "@:2:1: not valid YAML: found character that cannot start any token while scanning for the next token; "
                                 "a tab stands where YAML wants spaces" },
        { "layers: *\n", "@:1:10: not valid YAML: did not find expected alphabetic or numeric character while scanning an alias; "
                         "a text that begins with * or & must be quoted: \"*\"" },
        { "layers: *foo\n", "@:1:9: not valid YAML: found undefined alias; a text that begins with * or & must be quoted: \"*\"" },
        { "model: x\n  seed: 3\n", "@:2:7: not valid YAML: mapping values are not allowed in this context" },
        { "\x01\x02\x03", "@: not a text file: control characters are not allowed at byte 0" },
        { "model: \xff\xfe\n", "@: not a text file: invalid leading UTF-8 octet at byte 7" },
        /* choices */
        { BASE "choices: rtn\n", "@:4:10: 'choices' must be a list, not one value; write it as [{rtn: {bits: [2, 3], group: 64}}]" },
        { BASE "choices: {rtn: {bits: 3}}\n", "@:4:10: 'choices' must be a list, not a mapping; write it as [{rtn: {bits: [2, 3], group: 64}}]" },
        { BASE "choices: []\n", "@:4:10: 'choices' is an empty list" },
        { BASE "choices: [[gaussian]]\n", "@:4:11: each choice is one name, or one name with its options; write it as [{rtn: {bits: [2, 3], group: 64}}]" },
        { BASE "choices: [{gaussian: {}, sign: {}}]\n", "@:4:11: each choice is one name, or one name with its options; write it as [{rtn: {bits: [2, 3], group: 64}}]" },
        { BASE "choices: [{gaussian: 3}]\n", "@:4:22: a choice's options are a mapping such as {bits: 3}, not one value" },
        { BASE "choices: [gausian]\n", "@:4:11: unknown perturbation 'gausian'; did you mean 'gaussian'?" },
        { BASE "choices: [~]\n", "@:4:11: 'choices' has no value" },
        { BASE "choices: [{gaussian: {t3: 1}}]\n", "@:4:23: unknown key 't3'; did you mean 't2'?" },
        { BASE "choices: [{gaussian: {t2: [0.1, x]}}]\n", "@:4:33: 't2' must be a number from 0 to 1000000, not 'x'" },
        { BASE "choices: [{gaussian: {t2: []}}]\n", "@:4:27: 't2' is an empty list" },
        { BASE "choices: [{gaussian: {t2: 0.1}}, {gaussian: {t2: 1e-1}}]\n", "@:4:34: the choice 'gaussian-t2_0.1' is given twice" },
        { BASE "choices: [{gaussian: {t2: [0.1, 0.1]}}]\n", "@:4:11: the choice 'gaussian-t2_0.1' is given twice" },
        /* sweep */
        { BASE "sweep: [noise.group]\n", "@:4:8: 'sweep' must be a mapping such as {noise.group: [32, 64]}, not a list" },
        { BASE "sweep: {noise.grup: [1]}\n", "@:4:9: unknown key 'noise.grup'; did you mean 'noise.group'?" },
        { BASE "sweep: {noise.group: [32, x]}\n", "@:4:27: 'noise.group' must be a whole number of weights from 1 to 1000000, not 'x'" },
        { BASE "sweep: {noise.group: []}\n", "@:4:22: 'noise.group' is swept over an empty list" },
        { BASE "sweep: {noise.group: [64, 64.0]}\n", "@:4:27: 'noise.group' is swept over 64 twice" },
        { BASE "sweep: {noise.group: [[64]]}\n", "@:4:23: 'noise.group' must be one value, not a list; to try several, name it under 'sweep'" },
        { BASE "sweep: {noise.group: [64], noise: {group: [32]}}\n", "@:4:36: 'noise.group' is swept twice" },
        { BASE "sweep: {output: [a, b]}\n", "@:4:9: 'output' cannot be swept: all points of a sweep go to one file" },
        { BASE "sweep: {sweep: [a]}\n", "@:4:9: 'sweep' cannot be swept: a sweep holds no sweeps" },
        { BASE "sweep: {experiment: [a]}\n", "@:4:9: 'experiment' cannot be swept: list the experiments under 'experiment' instead" },
        { BASE "sweep: {backend: [cpu]}\n", "@:4:9: 'backend' cannot be swept: one results file holds one back end" },
        { BASE "sweep: {threads: [1]}\n", "@:4:9: 'threads' cannot be swept: results do not depend on it" },
        { BASE "sweep: {choices: [a]}\n", "@:4:9: 'choices' cannot be swept: list all of them under 'choices' instead" },
        /* keys together */
        { "experiment: a\nmodel: m\n", "@: no text: give 'text.file', 'text.sample.windows' or 'text.random.windows'" },
        { "model: m\ntext: {file: t}\n", "@: 'experiment' is missing: what to do, in order: names of experiments (linearity run --help lists them)" },
        { "experiment: a\ntext: {file: t}\n", "@: 'model' is missing: Hugging Face directory, .gguf file, or random:llama-3.1-8b and the like: random weights in that shape" },
        { "experiment: a\nmodel: m\ntext:\n  file: t\n  sample: {windows: 3}\n", "@:5:12: 'text.file' and 'text.sample.windows' are both given; a run reads one text" },
        { "experiment: a\nmodel: m\ntext:\n  sample: {windows: 3}\n  context: 64\n",
          "@:5:3: 'text.context' goes with 'text.file', but the text comes from 'text.sample.windows'" },
        { BASE "backend: ref\nprecision: bf16\n", "@:5:1: precision bf16 is the cuda back end's; the others compute in fp32" },
        { BASE "sweep: {precision: [bf16, fp32]}\n", "@: precision bf16 is the cuda back end's; the others compute in fp32" },
        { BASE "text.random.seed: 3\n", "@:4:1: 'text.random.seed' goes with 'text.random.windows', but the text comes from 'text.file'" },
        { BASE "text.file: u\n", "@:4:1: 'text.file' is given twice (first in line 3)" },
        { BASE "sweep: {text.sample.windows: [1, 2]}\n", "@: 'text.file' and 'text.sample.windows' are both given; a run reads one text" },
        { BASE "check: {t2: 1}\n", "@:4:9: 'check.t2' does nothing without 'check.layers'" },
        { BASE "estimator: inject\ncheck: {layers: a}\n", "@:5:9: 'check.layers' does nothing without 'check.t2'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Config config;
        memset(&config, 0x5a, sizeof config);
        Config before = config;
        int status = read_text(&config, cases[i].text, NULL);
        if (status >= 0) print_error("accepted:\n%s\n", cases[i].text);
        assert_true(status < 0);
        assert_memory_equal(&config, &before, sizeof config);
        expect_message(cases[i].text, cases[i].message);
    }
}

static void test_files(void **state)
{
    (void)state;
    Config config;
    assert_int_equal(config_read(&config, "/no/such.yaml", 0, NULL), ERR_FILE);
    assert_string_equal(err_last(), "/no/such.yaml: No such file or directory");
    assert_int_equal(config_read(&config, "/tmp", 0, NULL), ERR_FILE);
    assert_string_equal(err_last(), "/tmp: Is a directory");
    write_bytes("model: x\0y\n", 11);
    assert_int_equal(config_read(&config, path, 0, NULL), ERR_FORMAT);
    char *large = xmalloc((1 << 20) + 1);
    memset(large, '#', (1 << 20) + 1);
    write_bytes(large, (1 << 20) + 1);
    free(large);
    assert_int_equal(config_read(&config, path, 0, NULL), ERR_FORMAT);
    expect_message("1 MiB of #", "@: over 1 MiB, so it is no config");
}

/* Damaged bytes: whatever comes back, it comes back clean (under the sanitizers) and in one line. */
static void test_damaged_bytes(void **state)
{
    (void)state;
    static const char text[] =
        BASE "noise: {law: gaussian, group: 64, t2: [0.003, 0.1]}\nchoices:\n- sign\n- gaussian: {t2: [0.1, 0.2]}\n"
        "sweep: {noise.group: [32, 64], &x text.context: [256]}\nbudgets: &b [3, 4.5]\nmemory: '8GiB'\n";
    const char *rounds = getenv("CONFIG_FUZZ");
    int accepted = 0, n = rounds ? atoi(rounds) : 800;
    srand(1);
    for (int round = 0; round < n; round++) {
        char damaged[sizeof text];
        memcpy(damaged, text, sizeof text);
        size_t length = sizeof text - 1;
        for (int k = rand() % 4; k >= 0; k--) {
            static const char telling[] = "\n\t {}[],:&*!|>'\"%@`#?-~0x";
            size_t at = (size_t)rand() % length;
            damaged[at] = rand() % 2 ? telling[(size_t)rand() % (sizeof telling - 1)] : (char)(damaged[at] ^ (1 << rand() % 8));
        }
        if (rand() % 8 == 0) length = (size_t)rand() % length;
        write_bytes(damaged, length);
        Config config;
        int status = config_read(&config, path, 0, NULL);
        if (status == OK) accepted++, config_free(&config);
        else assert_true(err_last()[0] && !strchr(err_last(), '\n'));
    }
    assert_true(accepted > 0 && accepted < n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_files), cmocka_unit_test(test_damaged_bytes),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
