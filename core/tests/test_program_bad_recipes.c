/*
 * test_program_bad_recipes.c - what is no allocation, and choices that the other program cannot carry out
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/bad_input.h"

static void one(const char *layer, const char *choice)
{
    char *text = xformat("{\"allocations\":[{\"budget\":3,\"choices\":{\"blocks.1.k\":\"rtn\",\"%s\":\"%s\"}}]}", layer, choice);
    scratch_text("a.json", text);
    free(text);
}

static void make_good(void) { one("blocks.0.q", "rtn-bits3"); }
static void make_higgs(void) { one("blocks.0.q", "higgs-p2-n16"); }
static void make_awq(void) { one("blocks.0.q", "awq-bits4"); }
static void make_noise(void) { one("blocks.0.q", "gaussian-t2_0.1"); }
static void make_wide(void) { one("blocks.0.q", "rtn-scale_bits_32"); }
static void make_eight(void) { one("blocks.0.q", "rtn-bits8"); }
static void make_slip(void) { one("blocks.0.q", "rtm-bits8"); }
static void make_option(void) { one("blocks.0.q", "rtn-bits9"); }
static void make_head(void) { one("lm_head", "rtn"); }
static void make_zero(void) { one("blocks.00.q", "rtn"); }
static void make_far(void) { one("blocks.7.q", "rtn"); }
static void make_group(void) { one("blocks.0.q", "rtn-group20"); }
static void make_rows(void) { one("blocks.0.q", "rtn-group24"); }
static void make_k(void) { scratch_text("a.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":\"ggml-type_q5_k\"}}]}"); }
static void make_text(void) { scratch_text("a.json", "layer,choice\n"); }
static void make_other(void) { scratch_text("a.json", "{\"allocation\":[]}"); }
static void make_none(void) { scratch_text("a.json", "{\"allocations\":[]}"); }
static void make_no_choices(void) { scratch_text("a.json", "{\"allocations\":[{\"budget\":3}]}"); }
static void make_numbers(void) { scratch_text("a.json", "{\"allocations\":[{\"choices\":{\"blocks.0.q\":4}}]}"); }
#define CHOICES "\"choices\":{\"blocks.0.q\":\"rtn\"}"
static void make_two(void) { scratch_text("a.json", "{\"allocations\":[{\"budget\":3," CHOICES "},{\"budget\":3.5," CHOICES "},{\"budget\":4," CHOICES "}]}"); }
static void make_same(void) { scratch_text("a.json", "{\"allocations\":[{\"budget\":3," CHOICES "},{\"budget\":3," CHOICES "}]}"); }
static void make_array(void) { scratch_text("a.json", "[1]"); }

#define RECIPE(format) "recipe", "@a.json", "--format", format

static const BadInput choices[] = {
    { "method it lacks", 1, { RECIPE("gptqmodel") }, { "blocks.0.q: gptqmodel cannot take higgs-p2-n16; it takes integer grids: rtn, gptq, and awq with scales=no" }, make_higgs },
    { "scales of columns", 1, { RECIPE("compressed-tensors") }, { "blocks.0.q: compressed-tensors cannot take awq-bits4" }, make_awq },
    { "scales of 32 bits", 1, { RECIPE("auto-round") }, { "blocks.0.q: auto-round cannot take rtn-scale_bits_32; its scales have 16 bits" }, make_wide },
    { "8 bits with zero points", 1, { RECIPE("auto-round") }, { "blocks.0.q: auto-round cannot take rtn-bits8; its grids of 8 bits are symmetric" }, make_eight },
    { "no ggml", 1, { RECIPE("llama-quantize") }, { "blocks.0.q: llama-quantize cannot take rtn-bits3; it takes the block formats of the method ggml" }, make_good },
    { "K type without a model", 1, { RECIPE("llama-quantize") }, { "blocks.0.q: ggml-type_q5_k gives way to another type", "--model" }, make_k },
    { "rows without whole blocks", 1, { RECIPE("llama-quantize"), "--model", TINY }, { "blocks.0.q: ggml: a row of 48 weights is no whole number of blocks of 32" }, make_k },
    { "groups that do not fit", 1, { RECIPE("gptqmodel"), "--model", TINY }, { "blocks.0.q: gptqmodel cannot take rtn-group20 here, since a row of 48 weights" }, make_group },
    { "rows that AutoRound skips", 1, { RECIPE("auto-round"), "--model", TINY }, { "blocks.0.q: auto-round cannot take rtn-group24", "multiple of 32" }, make_rows },
    { "noise", 1, { RECIPE("csv") }, { "blocks.0.q: the choice 'gaussian-t2_0.1' is noise" }, make_noise },
    { "unknown method", 1, { RECIPE("csv") }, { "blocks.0.q: choice 'rtm-bits8': unknown perturbation 'rtm'; did you mean 'rtn'?" }, make_slip },
    { "value out of range", 1, { RECIPE("json") }, { "blocks.0.q: choice 'rtn-bits9'", "bits, group, symmetric, scale_bits, clip" }, make_option },
};

static const BadInput layers[] = {
    { "head", 1, { RECIPE("csv") }, { "'lm_head' is no layer", "blocks.3.down" }, make_head },
    { "leading zero", 1, { RECIPE("csv") }, { "'blocks.00.q' is no layer" }, make_zero },
    { "block that is not there", 1, { RECIPE("csv"), "--model", TINY }, { "there is no layer blocks.7.q in", "which has 2 blocks" }, make_far },
    { "no model", 1, { RECIPE("csv"), "--model", "@nowhere" }, { "nowhere" }, make_good },
};

static const BadInput files[] = {
    { "no file", 1, { "recipe", "@nothing.json", "--format", "csv" }, { "nothing.json: No such file or directory" }, NULL },
    { "text", 1, { RECIPE("csv") }, { "a.json: bad JSON in line 1" }, make_text },
    { "array", 1, { RECIPE("csv") }, { "a.json: the JSON is not an object" }, make_array },
    { "other JSON", 1, { RECIPE("csv") }, { "a.json has no 'allocations', a list as linearity allocate --json prints it" }, make_other },
    { "no allocation", 1, { RECIPE("csv") }, { "a.json has no 'allocations'" }, make_none },
    { "no choices", 1, { RECIPE("csv") }, { "a.json: an allocation has no 'choices'" }, make_no_choices },
    { "numbers for names", 1, { RECIPE("csv") }, { "a.json: the choice of layer 'blocks.0.q' is no string" }, make_numbers },
    { "several budgets", 1, { RECIPE("csv") }, { "a.json has allocations for several budgets: choose one of 3, 3.5 and 4 with --budget" }, make_two },
    { "another budget", 1, { RECIPE("csv"), "--budget", "3.6" }, { "a.json has no allocation for a budget of 3.6; it has 3, 3.5 and 4" }, make_two },
    { "one budget twice", 1, { RECIPE("csv") }, { "a.json has layer 'blocks.0.q' twice for one budget" }, make_same },
    { "key that is not there", 1, { RECIPE("csv"), "--where", "rule=a" }, { "--where 'rule=a': the allocations of", "a.json have no such key" }, make_good },
    { "folder to write", 1, { RECIPE("csv"), "--out", "@no/where" }, { "no/where" }, make_good },
    { "unknown format", 2, { RECIPE("gptq-model") }, { "--format: unknown format 'gptq-model'; did you mean 'gptqmodel'?" }, make_good },
    { "format unlike any", 2, { RECIPE("onnx-runtime-genai") }, { "linearity recipe --help lists them" }, make_good },
    { "no format", 2, { "recipe", "@a.json" }, { "--format is missing" }, make_good },
};

static void test_choices(void **state) { (void)state; BAD_CHECK_ALL(choices); }
static void test_layers(void **state) { (void)state; BAD_CHECK_ALL(layers); }
static void test_files(void **state) { (void)state; BAD_CHECK_ALL(files); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_choices), cmocka_unit_test(test_layers), cmocka_unit_test(test_files) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
