/* Progress in a log and on a terminal, the interrupt flag, and the choice of names by patterns. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/glob.h"
#include "core/base/interrupt.h"
#include "core/base/progress.h"

static void wait_milliseconds(long n)
{
    nanosleep(&(struct timespec){ .tv_nsec = n * 1000000 }, NULL);
}

/* What a run prints with stderr being the given descriptor, read from the other one. */
static void run_into(char *out, size_t size, int write_end, int read_end, bool quiet)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(write_end, STDERR_FILENO);
    Progress *progress = progress_begin(4, 13, "measurements", quiet);
    progress_skip(progress, 3);
    wait_milliseconds(150);
    progress_step(progress, 2, "blocks.0.q");
    progress_step(progress, 4, "blocks.1.q");        /* too soon to be shown */
    progress_step(progress, 4, "blocks.2.q");
    progress_end(progress);
    dup2(saved, STDERR_FILENO);
    close(saved);
    fcntl(read_end, F_SETFL, O_NONBLOCK);
    ssize_t n = read(read_end, out, size - 1);
    out[n > 0 ? n : 0] = 0;
}

static void run_into_pipe(char *out, size_t size, bool quiet)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    run_into(out, size, ends[1], ends[0], quiet);
    close(ends[0]);
    close(ends[1]);
}

static void test_log(void **state)
{
    (void)state;
    char text[4096];
    run_into_pipe(text, sizeof text, false);
    assert_string_equal(text, "0/4 measurements  0%  0:00\n4/4 measurements  100%  0:00\n");
    run_into_pipe(text, sizeof text, true);
    assert_string_equal(text, "");
}

static void test_terminal(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) {
        print_message("SKIPPED: no pseudo-terminal here\n");
        skip();
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    char text[4096];
    run_into(text, sizeof text, slave, master, false);
    assert_string_equal(text, "\r0/4 measurements  0% |--------------------|  0:00\033[K"
                              "\r2/4 measurements  20% |####----------------|  0:00, 0:01 left  blocks.0.q\033[K"
                              "\r4/4 measurements  100% |####################|  0:00\033[K\r\n");
    close(slave);
    close(master);
}

/* In a child, since the second signal must kill. */
static void test_interrupt(void **state)
{
    (void)state;
    static const int signals[][2] = { { SIGINT, SIGINT }, { SIGTERM, SIGINT }, { SIGINT, SIGTERM } };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            interrupt_install();
            if (interrupt_requested()) _exit(1);
            raise(signals[i][0]);
            if (!interrupt_requested()) _exit(2);
            raise(signals[i][1]);
            _exit(3);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i][1]);
    }
}

static const char *const layers[] = { "blocks.0.q", "blocks.0.down", "blocks.1.q", "blocks.1.down", "blocks.10.q" };
enum { N_LAYERS = sizeof layers / sizeof *layers };

static void expect_selection(const char *first, const char *second, const char *expected)
{
    bool selected[N_LAYERS];
    int count = 0;
    for (const char *c = expected; *c; c++) count += *c == 'x';
    assert_int_equal(glob_select(selected, (const char *const[]){ first, second }, second ? 2 : 1, layers, N_LAYERS, "layers: no layer"), count);
    for (int i = 0; i < N_LAYERS; i++) assert_int_equal(selected[i], expected[i] == 'x');
}

static void test_glob(void **state)
{
    (void)state;
    expect_selection("*", NULL, "xxxxx");
    expect_selection("blocks.*.q", NULL, "x.x.x");
    expect_selection("blocks.1.*", NULL, "..xx.");
    expect_selection("blocks.?.down", "blocks.10.q", ".x.xx");
    expect_selection("*.q", "blocks.0.q", "x.x.x");
    expect_selection("blocks.[1-9]*", NULL, "..xxx");
    assert_false(glob_match("blocks.1", "blocks.1.q"));

    static const struct { const char *pattern, *message; } refused[] = {
        { "blocks.0.dwon", "layers: no layer matches 'blocks.0.dwon'; did you mean 'blocks.0.down'?" },
        { "model.layers.7.self_attn", "layers: no layer matches 'model.layers.7.self_attn'; names are such as 'blocks.0.q' and 'blocks.10.q'" },
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bool selected[N_LAYERS] = { true, false, true, false, true };
        const char *const patterns[] = { "*.q", refused[i].pattern };
        assert_int_equal(glob_select(selected, patterns, 2, layers, N_LAYERS, "layers: no layer"), ERR_ARGUMENT);
        assert_string_equal(err_last(), refused[i].message);
        assert_true(selected[0] && !selected[1] && selected[2] && !selected[3] && selected[4]);
    }
    assert_int_equal(glob_select(NULL, (const char *const[]){ "*" }, 1, NULL, 0, "layers: no layer"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "layers: no layer matches '*'; there are none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log), cmocka_unit_test(test_terminal), cmocka_unit_test(test_interrupt), cmocka_unit_test(test_glob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
