/*
 * test_program_help.c - a newcomer asks: --help of everything, --version, slips of the fingers
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program.h"
#include "experiments/command.h"

#define X(name) #name,
static const char *const commands[] = { COMMAND_LIST(X) };
#undef X
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void assert_mentions(const char *text, const char *words)
{
    char *list = xstrdup(words);
    for (char *word = strtok(list, " "); word; word = strtok(NULL, " ")) {
        if (!strstr(text, word)) print_error("'%s' is not in:\n%s\n", word, text);
        assert_non_null(strstr(text, word));
    }
    free(list);
}

static void assert_help(const char *command, const char *words)
{
    Ran ran = program(command, "--help", NULL);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.err, "");
    assert_mentions(ran.out, "--threads --backend --precision --memory --quiet --help default");
    assert_mentions(ran.out, words);
    for (const char *line = ran.out; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 120) fail_msg("a line of %zu characters: %.120s", strcspn(line, "\n"), line);
    ran_free(&ran);
}

static void test_help_of_the_program(void **state)
{
    (void)state;
    static const char *const ways[] = { "--help", "-h", "help" };
    for (int i = 0; i < 3; i++) {
        Ran ran = program(ways[i], NULL);
        assert_int_equal(ran.status, 0);
        for (int c = 0; c < N_COMMANDS; c++) assert_mentions(ran.out, commands[c]);
        assert_mentions(ran.out, "configs/quickstart.yaml Exit --help");
        ran_free(&ran);
    }
}

static void test_help_of_commands(void **state)
{
    (void)state;
    static const char text[] = "TEXT --protocol hf|llama.cpp|documents|gptq|choices|answers --context --windows --skip --bos auto|yes|no --separator --seed --json";
    assert_help("run", "CONFIG.yaml --set --dry-run resumes sensitivity predict text.sample.windows noise.t2 budgets choices sweep output check.layers");
    assert_help("alpha", "MODEL [TEXT] --estimator fisher|inject|paper --group --windows --regret --robust --t2 --draws --length --seed --out --protocol --context"
                         " --bos --separator --json");
    assert_help("ppl", text);
    assert_help("kl", text);
    assert_help("tasks", "MODEL FILE [OTHER] --context --windows --skip --bos auto|yes|no --json HellaSwag MMLU acc_norm loglikelihood acc_below_error");
    assert_help("info", "MODEL --json");
    assert_help("tokenize", "FILE --bos --json");
    assert_help("allocate", "TABLE.csv|RUN.h5 --budget --size --model --together --pin --forbid --exclude --distinct --best --frontier --csv --verify layer weights choice"
                            " bits cost group LAYERS CHOICES certificate --json");
    assert_help("quantize", "MODEL --method --set --out --force --layers --dtype f32|bf16|f16 --shard-size --calibration --context --windows --seed --protocol"
                            " --bos --separator --json rtn bits group symmetric");
    assert_help("grid", "--p --n --levels optimal|uniform --built-in --seed --starts --steps --out --csv --json mse");
    assert_help("export", "RUN.h5 TABLE --format csv|md|tex|json");
    assert_help("plot", "RUN.h5 --out");
    assert_help("plan", "MODEL --importance --rule --memory auto --context --sequences --step --kv-bits --other-bits --bits --slack --exact --json allocations parts n_high");
}

/* --help wins over what is missing or wrong behind it. */
static void test_help_wins(void **state)
{
    (void)state;
    Ran ran = program("ppl", "there-is-no-model", "--help", NULL);
    assert_int_equal(ran.status, 0);
    assert_mentions(ran.out, "--protocol");
    ran_free(&ran);
}

static void test_version(void **state)
{
    (void)state;
    Ran ran = program("--version", NULL);
    assert_int_equal(ran.status, 0);
    assert_int_equal(strncmp(ran.out, "linearity ", 10), 0);
    assert_true(ran.out[10] >= '0' && ran.out[10] <= '9');
    ran_free(&ran);
}

static void test_no_words_at_all(void **state)
{
    (void)state;
    Ran ran = program(NULL);
    assert_int_equal(ran.status, 2);
    assert_string_equal(ran.out, "");
    assert_mentions(ran.err, "Commands ppl run");
    ran_free(&ran);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_of_the_program), cmocka_unit_test(test_help_of_commands), cmocka_unit_test(test_help_wins),
        cmocka_unit_test(test_version), cmocka_unit_test(test_no_words_at_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
