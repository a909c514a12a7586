/* test_program_bad_configs.c - configs that are no YAML, ask for what is not there, or cannot work */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/bad_input.h"
#include "core/tests/program_models.h"
#include "core/tests/program_tokenizer.h"

static const char start[] = "experiment: [sensitivity, predict]\nmodel: " TINY "\n";
static const char random_text[] = "text: {random: {windows: 2, length: 8}}\n";
static const char choices[] = "choices: [{rtn: {bits: [3, 4], group: 16}}]\n";
static const char quick[] = "noise: {group: 16, t2: 0.1}\nlayers: \"blocks.1.*\"\nbootstrap: 100\n";

/* scratch/NAME.yaml of the pieces, up to NULL. */
static void yaml(const char *name, ...)
{
    char *text = xstrdup(""), *path = xformat("%s.yaml", name);
    va_list args;
    va_start(args, name);
    for (const char *piece; (piece = va_arg(args, const char *));) {
        char *longer = xformat("%s%s", text, piece);
        free(text);
        text = longer;
    }
    va_end(args);
    scratch_text(path, text);
    free(text);
    free(path);
}

static void make_good(void) { yaml("good", start, random_text, quick, choices, NULL); }

/* ---- reading ---- */

static void make_tab(void) { yaml("tab", start, "text:\n\trandom: 3\n", NULL); }
static void make_open(void) { yaml("open", start, "layers: [\"*\"\n", NULL); }
static void make_empty(void) { yaml("empty", "# nothing yet\n", NULL); }
static void make_list(void) { yaml("list", "- a\n- b\n", NULL); }
static void make_slip(void) { yaml("slip", start, random_text, "nosie: {t2: 0.1}\n", NULL); }
static void make_deep_slip(void) { yaml("deep-slip", start, "text: {random: {window: 2}}\n", NULL); }
static void make_type(void) { yaml("type", start, "text: {random: {windows: few}}\n", NULL); }
static void make_range(void) { yaml("range", start, random_text, "noise: {t2: [0.1, 11]}\n", NULL); }
static void make_twice(void) { yaml("twice", start, random_text, "seed: 1\nseed: 2\n", NULL); }
static void make_value_list(void) { yaml("value-list", start, random_text, "seed: [1, 2]\n", NULL); }
static void make_group(void) { yaml("group", start, random_text, "noise: 0.1\n", NULL); }
static void make_binary(void) { scratch_bytes("binary.yaml", "\x7f" "ELF\x02\x01\x01\0\0\0\0\xff\xfe", 13); }
static void make_folder(void) { mkdir(scratch_path("folder.yaml"), 0777); }

static const BadInput reading[] = {
    { "no such config", 1, { "run", "@nothing.yaml" }, { "nothing.yaml: No such file" }, NULL },
    { "folder for a config", 1, { "run", "@folder.yaml" }, { "folder.yaml" }, make_folder },
    { "binary for a config", 1, { "run", "@binary.yaml" }, { "binary.yaml", "not a text file" }, make_binary },
    { "a tab in YAML", 1, { "run", "@tab.yaml" }, { "tab.yaml:4:1: not valid YAML" }, make_tab },
    { "an open bracket", 1, { "run", "@open.yaml" }, { "open.yaml:", "not valid YAML" }, make_open },
    { "an empty config", 1, { "run", "@empty.yaml" }, { "the file is empty" }, make_empty },
    { "a list for a config", 1, { "run", "@list.yaml" }, { "list.yaml:1:1", "'key: value'" }, make_list },
    { "misspelt key", 1, { "run", "@slip.yaml" }, { "slip.yaml:4:1: unknown key 'nosie'; did you mean 'noise'?" }, make_slip },
    { "misspelt key below", 1, { "run", "@deep-slip.yaml" }, { "deep-slip.yaml:3:17", "'text.random.windows'" }, make_deep_slip },
    { "word for a number", 1, { "run", "@type.yaml" }, { "type.yaml:3:26", "whole number", "not 'few'" }, make_type },
    { "out of range", 1, { "run", "@range.yaml" }, { "range.yaml:4:19", "to 10", "not '11'" }, make_range },
    { "key given twice", 1, { "run", "@twice.yaml" }, { "twice.yaml:5:1", "'seed' is given twice (first in line 4)" }, make_twice },
    { "list for one value", 1, { "run", "@value-list.yaml" }, { "value-list.yaml:4:7", "not a list", "'sweep'" }, make_value_list },
    { "value for a group", 1, { "run", "@group.yaml" }, { "group.yaml:4:8", "'noise' is a group of keys", "t2" }, make_group },
    { "--set of no key", 1, { "run", "@good.yaml", "--set", "noise.t3=1" }, { "--set: unknown key 'noise.t3'; did you mean 'noise.t2'?" }, make_good },
    { "--set without a value", 1, { "run", "@good.yaml", "--set", "seed" }, { "--set seed: must be KEY=VALUE" }, make_good },
    { "--set of choices", 1, { "run", "@good.yaml", "--set", "choices=rtn" }, { "'choices' can be given in the file only" }, make_good },
};

/* ---- what is asked for ---- */

static void make_no_experiment(void) { yaml("no-experiment", "model: " TINY "\n", random_text, NULL); }
static void make_no_model(void) { yaml("no-model", "experiment: predict\n", random_text, NULL); }
static void make_no_text(void) { yaml("no-text", start, NULL); }
static void make_two_texts(void) { yaml("two-texts", start, "text: {file: a.txt, random: {windows: 2}}\n", NULL); }
static void make_idle_text(void) { yaml("idle-text", start, "text: {random: {windows: 2}, bos: yes}\n", NULL); }
static void make_experiment(void) { yaml("experiment", "experiment: sensitvity\nmodel: " TINY "\n", random_text, NULL); }
static void make_strange(void) { yaml("strange", "experiment: everything\nmodel: " TINY "\n", random_text, NULL); }
static void make_bad_model(void) { yaml("bad-model", "experiment: sensitivity\nmodel: models/nowhere.gguf\n", random_text, NULL); }
static void make_file(void) { yaml("file", "experiment: sensitivity\nmodel: " TINY "\n", "text: {file: nowhere.ids}\n", NULL); }
static void make_layers(void) { yaml("layers", start, random_text, "layers: \"blocks.*.qkv\"\n", choices, NULL); }
static void make_checks(void) { yaml("checks", start, random_text, "check: {layers: blocks.7.q, t2: 0.2}\n", choices, NULL); }
static void make_half_check(void) { yaml("half-check", start, random_text, "check: {t2: 0.2}\n", choices, NULL); }
static void make_sweep(void) { yaml("sweep", start, random_text, choices, "sweep: {threads: [1, 2]}\n", NULL); }
static void make_empty_sweep(void) { yaml("empty-sweep", start, random_text, choices, "sweep: {seed: []}\n", NULL); }
static void make_mute_sample(void) { yaml("mute-sample", start, "text: {sample: {windows: 2, length: 8}}\n", choices, NULL); }

static void make_long_sample(void)
{
    model_copy("speaker", TINY);
    tokenizer_write("speaker", false);
    char *model = xformat("model: %s\n", scratch_path("speaker"));
    yaml("long-sample", "experiment: sensitivity\n", model, "text: {sample: {windows: 2, length: 600}}\n", NULL);
    free(model);
}

static const BadInput asking[] = {
    { "no experiment", 1, { "run", "@no-experiment.yaml" }, { "'experiment' is missing", "what to do" }, make_no_experiment },
    { "no model", 1, { "run", "@no-model.yaml" }, { "'model' is missing", ".gguf" }, make_no_model },
    { "no text", 1, { "run", "@no-text.yaml" }, { "no text: give 'text.file', 'text.sample.windows' or 'text.random.windows'" }, make_no_text },
    { "two texts", 1, { "run", "@two-texts.yaml" }, { "two-texts.yaml:3:", "'text.file' and 'text.random.windows' are both given" }, make_two_texts },
    { "a setting that does nothing", 1, { "run", "@idle-text.yaml" }, { "idle-text.yaml:3:", "'text.bos' goes with 'text.file'" }, make_idle_text },
    { "misspelt experiment", 1, { "run", "@experiment.yaml", "--set", "output=@x.h5" }, { "'sensitvity'; did you mean 'sensitivity'?" }, make_experiment },
    { "unknown experiment", 1, { "run", "@strange.yaml", "--set", "output=@x.h5" }, { "'everything'", "linearity run --help" }, make_strange },
    { "missing model file", 1, { "run", "@bad-model.yaml", "--set", "output=@x.h5" }, { "models/nowhere.gguf: No such file", "make model" }, make_bad_model },
    { "missing text file", 1, { "run", "@file.yaml", "--set", "output=@x.h5" }, { "nowhere.ids: No such file" }, make_file },
    { "layers that match nothing", 1, { "run", "@layers.yaml", "--set", "output=@x.h5" }, { "layers: no layer matches 'blocks.*.qkv'", "'blocks." }, make_layers },
    { "checks that match nothing", 1, { "run", "@checks.yaml", "--set", "output=@x.h5" }, { "check.layers: no layer matches 'blocks.7.q'", "'blocks." }, make_checks },
    { "half a check", 1, { "run", "@half-check.yaml", "--set", "output=@x.h5" }, { "half-check.yaml:4:", "'check.t2' does nothing without 'check.layers'" }, make_half_check },
    { "sweep over threads", 1, { "run", "@sweep.yaml" }, { "'threads' cannot be swept: results do not depend on it" }, make_sweep },
    { "sweep over nothing", 1, { "run", "@empty-sweep.yaml" }, { "'seed' is swept over an empty list" }, make_empty_sweep },
    { "sample without a tokenizer", 1, { "run", "@mute-sample.yaml", "--quiet", "--set", "output=@x.h5" }, { "tokenizer.json", "text.random" }, make_mute_sample },
    { "sample beyond the context", 1, { "run", "@long-sample.yaml", "--quiet", "--set", "output=@x.h5" }, { "text.sample.length 600", "context of 512" }, make_long_sample },
    { "memory too small", 1, { "run", "@good.yaml", "--quiet", "--memory", "1MB", "--set", "text.random.length=500", "--set", "output=@x.h5" }, { "need at least ", " KiB", "raise memory" }, make_good },
    { "memory too small for a dry run", 1, { "run", "@good.yaml", "--memory", "1MB", "--set", "text.random.length=500", "--dry-run", "--set", "output=@x.h5" }, { "need at least ", " KiB" }, make_good },
};

/* ---- choices and budgets ---- */

static void make_no_choices(void) { yaml("no-choices", start, random_text, quick, NULL); }
static void make_noise(void) { yaml("noise", start, random_text, quick, "choices: [gaussian: {t2: 0.1}]\n", NULL); }
static void make_quantizer(void) { yaml("quantizer", start, random_text, quick, "choices: [{rtm: {bits: 3}}]\n", NULL); }
static void make_option(void) { yaml("option", start, random_text, quick, "choices: [{rtn: {bit: 3}}]\n", NULL); }
static void make_bits(void) { yaml("bits", start, random_text, quick, "choices: [{rtn: {bits: 1}}]\n", NULL); }
static void make_same(void) { yaml("same", start, random_text, quick, "choices: [{rtn: {bits: 4}}, rtn]\n", NULL); }

static const BadInput choosing[] = {
    { "predict without choices", 1, { "run", "@no-choices.yaml", "--quiet", "--set", "output=@x.h5" }, { "predict needs choices", "choices: [{rtn:" }, make_no_choices },
    { "noise as a choice", 1, { "run", "@noise.yaml", "--quiet", "--set", "output=@x.h5" }, { "'gaussian' is noise", "cannot be a choice" }, make_noise },
    { "misspelt quantizer", 1, { "run", "@quantizer.yaml" }, { "quantizer.yaml:7:", "'rtm'; did you mean 'rtn'?" }, make_quantizer },
    { "misspelt option of one", 1, { "run", "@option.yaml" }, { "option.yaml:7:", "'bit'", "'bits'" }, make_option },
    { "one bit", 1, { "run", "@bits.yaml" }, { "bits.yaml:7:", "from 2 to 8", "not '1'" }, make_bits },
    { "one choice under two names", 1, { "run", "@same.yaml" }, { "same.yaml:7:", "given twice" }, make_same },
    { "budget that nothing fits", 1, { "run", "@good.yaml", "--quiet", "--set", "budgets=[4.5,3]", "--set", "output=@x.h5" }, { "3 bits per weight", "need 4.187500" }, make_good },
    { "budget out of range", 1, { "run", "@good.yaml", "--set", "budgets=0" }, { "--set", "budgets", "0.1 to 64" }, make_good },
};

static void test_reading(void **state) { (void)state; BAD_CHECK_ALL(reading); }
static void test_asking(void **state) { (void)state; BAD_CHECK_ALL(asking); }
static void test_choosing(void **state) { (void)state; BAD_CHECK_ALL(choosing); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reading), cmocka_unit_test(test_asking), cmocka_unit_test(test_choosing) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
