/* test_program_interrupt.c - Ctrl-C ends a run soon, keeps what is measured, and the next run goes on */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "core/tests/program_results.h"
#include "core/tests/program_tokenizer.h"

static const char config[] =
    "experiment: [sensitivity, predict]\n"
    "estimator: inject\n"
    "model: " TINY "\n"
    "text: {random: {windows: 4, length: 24, seed: 1}}\n"
    "layers: [\"blocks.*.q\", \"blocks.1.down\"]\n"
    "noise: {group: 16, t2: [0.01, 0.1], draws: 20}\n"
    "choices: [{rtn: {bits: [3, 4, 8], group: 16}}]\n"
    "budgets: [5.0]\n"
    "bootstrap: 200\n";

static void wait_for(const char *path)
{
    const struct timespec pause = { 0, 1000000 };
    for (int i = 0; i < 20000 && !file_there(path); i++) nanosleep(&pause, NULL);
    assert_true(file_there(path));
}

static void test_interrupt(void **state)
{
    (void)state;
    const char *path = scratch_text("stop.yaml", config), *whole = scratch_path("whole.h5"), *stopped = scratch_path("stopped.h5");
    const char *out = scratch_path("stop.out"), *err = scratch_path("stop.err");
    char *set = xformat("output=%s", stopped), *journal = xformat("%s.journal", stopped);
    const char *more[] = { "run", path, "--set", set, "--set", "text.random.length=64", "--quiet", NULL };
    pid_t pid = program_start(more, out, err);
    wait_for(journal);                                      /* something is measured */
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    char *said = file_read(err, NULL), *shown = file_read(out, NULL);
    assert_non_null(strstr(said, "linearity: interrupted; what is measured is kept in "));
    assert_non_null(strstr(said, "run the same command again to go on\n"));
    assert_string_equal(shown, "");
    assert_false(file_there(journal));                      /* merged */
    char *kept = exported(stopped, "timings");
    int rows = 0;
    for (const char *c = kept; *c; c++) rows += *c == '\n';
    assert_true(rows - 1 >= 1 && rows - 1 < 123);
    Ran ran = program_words(more);
    assert_int_equal(ran.status, 0);
    char *again = exported(stopped, "timings");
    assert_int_equal(strncmp(again, kept, strlen(kept)), 0);        /* nothing lost, nothing measured twice */
    ran_free(&ran);
    char *other = xformat("output=%s", whole);
    const char *words[] = { "run", path, "--set", other, "--set", "text.random.length=64", "--quiet", NULL };
    ran = program_words(words);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    assert_same_tables(whole, stopped);
    free(set), free(journal), free(said), free(shown), free(kept), free(again), free(other);
}

/* Nothing is measured yet while the text is sampled, so nothing stays. */
static void test_interrupt_while_sampling(void **state)
{
    (void)state;
    model_copy("singer", TINY);
    tokenizer_write("singer", false);
    char *model = xformat("model=%s", scratch_path("singer")), *set = xformat("output=%s", scratch_path("sung.h5")), *text = xstrdup(config);
    memcpy(strstr(text, "random: {windows: 4, length: 24"), "sample: {windows: 4, length: 99", 31);
    const char *words[] = { "run", scratch_text("sing.yaml", text), "--set", model, "--set", set, "--set", "text.sample.windows=400", NULL };
    const char *err = scratch_path("sing.err");
    pid_t pid = program_start(words, scratch_path("sing.out"), err);
    wait_for(scratch_path("sung"));
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    char *said = file_read(err, NULL);
    assert_string_equal(last_line(said), "linearity: interrupted before anything was measured\n");
    assert_false(file_there(scratch_path("sung.h5")) || file_there(scratch_path("sung")));
    free(said), free(model), free(set), free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_interrupt), cmocka_unit_test(test_interrupt_while_sampling) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
