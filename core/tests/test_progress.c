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

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void run_few(bool quiet)
{
    Progress *progress = progress_begin(4, 13, "measurements", quiet);
    progress_skip(progress, 3);
    wait_milliseconds(150);
    progress_step(progress, 2, "blocks.0.q");
    progress_step(progress, 4, "blocks.1.q");
    progress_step(progress, 4, "blocks.2.q");
    progress_end(progress);
}

static void run_many(bool quiet)
{
    Progress *progress = progress_begin(100, 100, "steps", quiet);
    for (int i = 0; i < 100; i++) {
        progress_step(progress, 1, "x");
        wait_milliseconds(3);
    }
    progress_end(progress);
}

/* What a run prints with stderr being write_end, which is closed, read to its end from read_end. */
static void capture(char *out, size_t size, int write_end, int read_end, void (*run)(bool quiet), bool quiet)
{
    fflush(stderr);
    int saved = dup(STDERR_FILENO);
    dup2(write_end, STDERR_FILENO);
    close(write_end);
    run(quiet);
    dup2(saved, STDERR_FILENO);
    close(saved);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < size && (got = read(read_end, out + n, size - 1 - n)) > 0) n += (size_t)got;
    out[n] = 0;
    close(read_end);
}

static void capture_pipe(char *out, size_t size, void (*run)(bool quiet), bool quiet)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    capture(out, size, ends[1], ends[0], run, quiet);
}

static bool capture_terminal(char *out, size_t size, void (*run)(bool quiet), bool quiet)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) return false;
    int slave = grantpt(master) || unlockpt(master) ? -1 : open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0) {
        close(master);
        return false;
    }
    capture(out, size, slave, master, run, quiet);
    return true;
}

static int count_of(const char *text, char c)
{
    int n = 0;
    for (; *text; text++) n += *text == c;
    return n;
}

/* Times depend on the machine's load, so lines are compared as patterns. */
static void expect_pattern(const char *text, const char *pattern)
{
    if (!glob_match(pattern, text)) fail_msg("%s\ndoes not match\n%s", text, pattern);
}

static void test_log(void **state)
{
    (void)state;
    char text[4096];
    capture_pipe(text, sizeof text, run_few, false);
    expect_pattern(text, "0/4 measurements  0%  0:0?\n4/4 measurements  100%  0:0?\n");
    capture_pipe(text, sizeof text, run_few, true);
    assert_string_equal(text, "");
}

static void test_terminal(void **state)
{
    (void)state;
    char text[4096];
    if (!capture_terminal(text, sizeof text, run_few, false)) {
        print_message("SKIPPED: no pseudo-terminal here\n");
        skip();
    }
    expect_pattern(text, "\r0/4 measurements  0% |--------------------|  0:0?\033\\[K"
                         "\r2/4 measurements  20% |####----------------|  0:0?, 0:0? left  blocks.0.q\033\\[K*"
                         "\r4/4 measurements  100% |####################|  0:0?\033\\[K\r\n");

    double start = seconds_now();
    assert_true(capture_terminal(text, sizeof text, run_many, false));
    double redraws = count_of(text, '\r') - 3;      /* beyond the first line, the last one and its end */
    assert_true(redraws >= 1 && redraws <= (seconds_now() - start) / 0.1);
    assert_true(capture_terminal(text, sizeof text, run_few, true));
    assert_string_equal(text, "");
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
