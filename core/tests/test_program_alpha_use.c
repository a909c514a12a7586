/*
 * test_program_alpha_use.c - `linearity alpha` in use: what is kept, what people see, and what is refused
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "core/tests/bad_input.h"
#include "core/tests/program_alpha.h"
#include "core/tests/program_tokenizer.h"

/* ---- what is kept ---- */

static void kept_windows_are_not_measured_again(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 24);
    char *out = xformat("--out=%s", scratch_path("kept.h5"));
    json_t *first = alpha(TINY, text, "--regret=0", "--windows=8", out, NULL), *all = alpha(TINY, text, "--regret=0", out, NULL), *again = alpha(TINY, text, "--regret=0", out, NULL);
    json_t *fresh = alpha(TINY, text, "--regret=0", NULL);
    assert_begins(all, first, 8);
    assert_true(json_equal(all, again));                        /* seconds too: those of the windows when they were measured */
    assert_true(json_equal(json_object_get(all, "layers"), json_object_get(fresh, "layers")));
    Ran timings = program("export", scratch_path("kept.h5"), "timings", NULL);
    int rows = 0;
    for (const char *c = timings.out; *c; c++) rows += *c == '\n';
    assert_int_equal(rows, 1 + 24);
    ran_free(&timings);
    Ran other = program("alpha", TINY, text, "--backend=ref", out, NULL);
    assert_int_equal(other.status, 1);
    assert_non_null(strstr(other.err, "one file does not mix them"));
    ran_free(&other);
    free(out);
    json_decref(first), json_decref(all), json_decref(again), json_decref(fresh);
}

static void interrupt(void **state)
{
    (void)state;
    const struct timespec pause = { 0, 1000000 };
    char *out = xformat("--out=%s", scratch_path("stopped.h5")), *journal = xstrdup(scratch_path("stopped.h5.journal")), *err = xstrdup(scratch_path("stopped.err"));
    const char *words[] = { "alpha", TINY, copies("long.ids", 20000), "--regret=0", "--quiet", out, NULL };
    pid_t pid = program_start(words, scratch_path("stopped.out"), err);
    for (int i = 0; i < 20000 && !file_there(journal); i++) nanosleep(&pause, NULL);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    char *said = file_read(err, NULL);
    assert_non_null(strstr(said, "linearity: interrupted; what is measured is kept in "));
    assert_true(file_there(scratch_path("stopped.h5")) && !file_there(journal));
    free(said), free(out), free(journal), free(err);
}

/* ---- what people see ---- */

static void same_bytes_for_any_threads(void **state)
{
    (void)state;
    const char *text = copies("a.ids", 16);
    static const char *const estimator[] = { "--estimator=fisher", "--estimator=inject" };
    for (int i = 0; i < 2; i++) {
        Ran one = program("alpha", TINY, text, estimator[i], "--json", "--threads=1", NULL), two = program("alpha", TINY, text, estimator[i], "--json", "--threads=2", NULL);
        char *end = strstr(one.out, "\"seconds\":");
        assert_non_null(end);
        assert_int_equal(strncmp(one.out, two.out, (size_t)(end - one.out)), 0);
        assert_int_equal(one.status, 0);
        ran_free(&one);
        ran_free(&two);
    }
}

static Ran said(const char *model, const char *text, const char *word)
{
    Ran ran = program("alpha", model, text, word, NULL);
    int lines = 0;
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    for (const char *line = ran.out; *line; line += strcspn(line, "\n") + 1, lines++) assert_true(strcspn(line, "\n") <= 140);
    assert_true(lines > 15 && lines <= 26);
    return ran;
}

static void text_output(void **state)
{
    (void)state;
    static const struct { const char *model, *word, *parts[4]; } seen[] = {
        { TINY, "--regret=1", { "enough after 8 of at most 24 windows", "blocks.1.down", "ordinary token", "24 windows" } },
        { TINY, "--regret=1e-9", { "(asked: 1e-07 %)", "windows would do it", "264 tokens scored", "forward passes" } },
        { TINY, "--windows=1", { "one window has no error", "protocol documents", "linearity run", "all " } },
        { TINY, "--estimator=paper", { "[PPL]", "alike in a matrix", "over windows and draws", "of the PPL" } },
        { "start", "--bos=yes", { "WARNING", "begin with a special token", "block 0", "with BOS" } },
    };
    const char *text = copies("a.ids", 24), *start = model_copy("start", TINY);
    tokenizer_write("start", true);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        Ran ran = said(!strcmp(seen[i].model, "start") ? start : TINY, text, seen[i].word);
        for (int p = 0; p < 4; p++) {
            if (!strstr(ran.out, seen[i].parts[p])) print_error("%s: '%s' is not in\n%s\n", seen[i].word, seen[i].parts[p], ran.out);
            assert_non_null(strstr(ran.out, seen[i].parts[p]));
        }
        assert_true(i > 0 || strstr(ran.err, "8/8 windows  100%"));
        ran_free(&ran);
    }
}

/* What is measured counts, even where memory has no room for the windows that the target asks for. */
static void short_of_memory(void **state)
{
    (void)state;
    json_t *root = alpha(TINY, copies("long.ids", 5000), "--regret=1e-9", "--memory=2MB", NULL), *all = alpha(TINY, scratch_path("long.ids"), "--regret=1e-9", "--windows=64", NULL);
    const double n = number(root, "windows");
    assert_true(n >= 64 && n < 5000 && json_is_false(json_object_get(root, "regret_met")));
    assert_begins(root, all, 64);
    json_decref(root), json_decref(all);
    Ran ran = program("alpha", TINY, scratch_path("long.ids"), "--regret=1e-9", "--memory=2MB", "--quiet", NULL);
    assert_non_null(strstr(ran.out, "memory is short: --memory, or shorter windows"));
    ran_free(&ran);
}

static void make_short(void) { scratch_text("short.txt", "a tale"); }
static void make_singer(void) { model_copy("reader", TINY), tokenizer_write("reader", false), make_short(); }
static void make_ids(void) { copies("a.ids", 4); }

static void make_long(void) { copies("long.ids", 5000); }

static const BadInput usage[] = {
    { "estimator with a slip", 2, { "alpha", TINY, "--estimator", "fischer" }, { "--estimator must be fisher, inject or paper", "'fischer'" }, NULL },
    { "group of nothing", 2, { "alpha", TINY, "--group", "0" }, { "--group", "from 1 to 1000000" }, NULL },
    { "no windows", 2, { "alpha", TINY, "--windows=0" }, { "--windows", "from 1 to" }, NULL },
    { "negative regret", 2, { "alpha", TINY, "--regret=-1" }, { "--regret", "from 0 to 1" }, NULL },
    { "no model", 2, { "alpha" }, { "too few arguments", "linearity alpha MODEL [TEXT]" }, NULL },
    { "two texts", 2, { "alpha", TINY, "a.ids", "b.ids" }, { "one argument too many" }, NULL },
    { "level where nothing is injected", 1, { "alpha", TINY, "@a.ids", "--t2=0.1" }, { "--t2 is of --estimator inject; fisher does without" }, make_ids },
    { "stop rule where there is none", 1, { "alpha", TINY, "@a.ids", "--estimator=paper", "--regret=0.1" }, { "--regret is of --estimator fisher" }, make_ids },
    { "context of sampled text", 1, { "alpha", TINY, "--context=8" }, { "--context is of a TEXT", "--length" }, NULL },
    { "length of a file's windows", 1, { "alpha", TINY, "@a.ids", "--length=8" }, { "--length is of sampled text", "--context" }, make_ids },
    { "length beyond the model", 1, { "alpha", TINY, "--length=513" }, { "--length 513", "context of 512" }, NULL },
    { "no tokenizer to sample with", 1, { "alpha", TINY, "--quiet" }, { "tokenizer.json", "needs the tokenizer", "a TEXT of token ids" }, NULL },
    { "no tokenizer for the text", 1, { "alpha", TINY, "@short.txt" }, { "tokenizer.json", ".ids file need no tokenizer" }, make_short },
    { "text too short", 1, { "alpha", "@reader", "@short.txt", "--context=64" }, { "short.txt", "64" }, make_singer },
    { "no such text", 1, { "alpha", TINY, "@there-is-none.ids" }, { "there-is-none.ids" }, NULL },
    { "hardly any memory", 1, { "alpha", TINY, "@long.ids", "--memory=1000000", "--regret=0" }, { "need at least", "memory" }, make_long },
    { "results file that is none", 1, { "alpha", TINY, "@a.ids", "--out", "@a.ids" }, { "a.ids" }, make_ids },
};

static void bad_usage(void **state)
{
    (void)state;
    BAD_CHECK_ALL(usage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_windows_are_not_measured_again), cmocka_unit_test(interrupt),
        cmocka_unit_test(same_bytes_for_any_threads), cmocka_unit_test(text_output), cmocka_unit_test(short_of_memory),
        cmocka_unit_test(bad_usage),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
