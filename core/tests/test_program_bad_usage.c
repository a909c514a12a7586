/* test_program_bad_usage.c - slips on the command line: exit status 2 and the nearest right thing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/bad_input.h"

static const BadInput usage[] = {
    { "command with a slip", 2, { "pppl", TINY, "a.txt" }, { "'pppl'", "did you mean 'ppl'?" }, NULL },
    { "command unlike any", 2, { "quantise-everything" }, { "'quantise-everything'", "linearity --help lists them" }, NULL },
    { "option as command", 2, { "--json" }, { "'--json'", "linearity --help" }, NULL },
    { "option with a slip", 2, { "ppl", TINY, "a.txt", "--contxt", "5" }, { "no option --contxt", "did you mean --context?" }, NULL },
    { "option unlike any", 2, { "ppl", TINY, "a.txt", "--temperature=1" }, { "no option --temperature", "linearity ppl --help" }, NULL },
    { "a very long option", 2, { "ppl", "--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }, { "no option" }, NULL },
    { "one dash", 2, { "ppl", TINY, "a.txt", "-c", "5" }, { "-c is not an option", "linearity ppl --help" }, NULL },
    { "option of another command", 2, { "info", TINY, "--context", "5" }, { "info has no option --context" }, NULL },
    { "json where there is none", 2, { "run", "a.yaml", "--json" }, { "run has no option --json" }, NULL },
    { "option without value", 2, { "ppl", TINY, "a.txt", "--context" }, { "--context needs a value", "length of a window" }, NULL },
    { "option with an empty value", 2, { "ppl", TINY, "a.txt", "--context=" }, { "--context", "has no value" }, NULL },
    { "word for a number", 2, { "ppl", TINY, "a.txt", "--context", "many" }, { "--context", "from 2 to 10000000", "'many'" }, NULL },
    { "half a token", 2, { "ppl", TINY, "a.txt", "--context", "12.5" }, { "--context", "'12.5'" }, NULL },
    { "context of one", 2, { "ppl", TINY, "a.txt", "--context", "1" }, { "--context", "from 2 to 10000000" }, NULL },
    { "no windows", 2, { "ppl", TINY, "a.txt", "--windows", "0" }, { "--windows", "from 1 to 1000000000" }, NULL },
    { "negative seed", 2, { "ppl", TINY, "a.txt", "--seed", "-3" }, { "--seed", "from 0 to 9e+15" }, NULL },
    { "protocol with a slip", 2, { "ppl", TINY, "a.txt", "--protocol", "llama-cpp" }, { "--protocol", "llama.cpp" }, NULL },
    { "bos perhaps", 2, { "ppl", TINY, "a.txt", "--bos", "perhaps" }, { "--bos must be auto, yes or no" }, NULL },
    { "no threads", 2, { "ppl", TINY, "a.txt", "--threads", "0" }, { "--threads", "1 to 1024" }, NULL },
    { "back end that is not there", 2, { "ppl", TINY, "a.txt", "--backend", "gpu" }, { "--backend", "cpu, cuda or ref" }, NULL },
    { "precision that is not there", 2, { "ppl", TINY, "a.txt", "--precision", "fp16" }, { "--precision", "fp32 or bf16" }, NULL },
    { "precision of another back end", 2, { "ppl", TINY, "a.txt", "--precision", "bf16" }, { "--precision: precision bf16 is the cuda back end's" }, NULL },
    { "memory in words", 2, { "ppl", TINY, "a.txt", "--memory", "lots" }, { "--memory", "8GiB" }, NULL },
    { "hardly any memory", 2, { "ppl", TINY, "a.txt", "--memory", "5" }, { "--memory", "1000000" }, NULL },
    { "flag with a strange value", 2, { "ppl", TINY, "a.txt", "--quiet=perhaps" }, { "--quiet", "yes or no" }, NULL },
    { "too few arguments", 2, { "ppl", TINY }, { "too few arguments", "usage: linearity ppl MODEL TEXT" }, NULL },
    { "device without a dry run", 2, { "run", "a.yaml", "--device", "h100" }, { "--device", "goes with --dry-run" }, NULL },
    { "device that is not in the table", 2, { "run", "a.yaml", "--dry-run", "--device", "h1000" }, { "--device must be h100, h200, a100 or rtx4090" }, NULL },
    { "device of another command", 2, { "ppl", TINY, "a.txt", "--device", "h100" }, { "ppl has no option --device" }, NULL },
    { "run of nothing", 2, { "run" }, { "too few arguments", "usage: linearity run CONFIG.yaml" }, NULL },
    { "too many arguments", 2, { "info", TINY, TINY }, { "one argument too many", "linearity info MODEL" }, NULL },
    { "allocate without a budget", 2, { "allocate", "a.csv" }, { "--budget is missing", "bits per weight" }, NULL },
    { "budget that is no number", 2, { "allocate", "a.csv", "--budget", "nan" }, { "--budget" }, NULL },
    { "budget of no bits", 2, { "allocate", "a.csv", "--budget", "0" }, { "--budget", "0.01 to 64" }, NULL },
    { "format that is not there", 2, { "export", "a.h5", "runs", "--format", "xlsx" }, { "--format", "csv, md, tex or json" }, NULL },
};

static void test_usage(void **state)
{
    (void)state;
    BAD_CHECK_ALL(usage);
}

/* One sentence before a model is read; where there is a GPU it is the model that is missing. */
static void test_no_gpu(void **state)
{
    (void)state;
    static const char *const precision[] = { "fp32", "bf16" };
    for (int i = 0; i < 2; i++) {
        Ran ran[] = { program("ppl", "no-model", "a.txt", "--backend", "cuda", "--precision", precision[i], NULL),
                      program("kl", "no-model", "no-model", "a.txt", "--backend", "cuda", "--precision", precision[i], NULL),
                      program("alpha", "no-model", "--backend", "cuda", "--precision", precision[i], NULL) };
        for (int c = 0; c < 3; c++) {
            assert_int_equal(ran[c].status, 1);
            const bool has_one = strstr(ran[c].err, "no-model") != NULL, says = !strncmp(ran[c].err, "linearity: back end cuda: ", 26);
            assert_true(has_one != says && strchr(ran[c].err, '\n') == ran[c].err + strlen(ran[c].err) - 1);
            ran_free(&ran[c]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_usage), cmocka_unit_test(test_no_gpu) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
