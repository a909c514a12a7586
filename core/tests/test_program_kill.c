/*
 * test_program_kill.c - a run killed at random moments, and in the middle of a merge, loses nothing
 *
 * A measurement counts as done once it can be exported (from the results file or its journal).  What
 * was done before a kill must be there after it, row for row with the same wall times, so it was not
 * measured again; a killed run can thus repeat only the one measurement that it was at.  In the end all
 * tables are those of a run that nobody disturbed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <time.h>

#include "core/tests/program_results.h"

static const char config[] =
    "experiment: sensitivity\n"
    "model: " TINY "\n"
    "text: {random: {windows: 8, length: 32, seed: 3}}\n"
    "noise: {group: 16, t2: [0.01, 0.03, 0.1], draws: 4}\n"
    "check: {layers: \"*\"}\n"
    "bootstrap: 100\n"
    "threads: 1\n";

enum { KILLS = 10, MERGES = 3, SMALLEST_FILE = 8192, WINDOWS = 8, MEASUREMENTS = WINDOWS + 1 + 14 * 3 * 4 };     /* windows of the backward pass, null run, single layers; and the clean pass */

static uint64_t random_state = 20240117;

/* SplitMix64, in [0, 1). */
static double random_uniform(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct { const char *words[8]; char *set, *output, *temporary, *journal; } Job;

static Job job_new(const char *config_path, const char *name)
{
    Job job = { .output = xstrdup(scratch_path(name)) };
    job.set = xformat("output=%s", job.output);
    job.temporary = xformat("%s.tmp", job.output);
    job.journal = xformat("%s.journal", job.output);
    const char *words[] = { "run", config_path, "--set", job.set, "--quiet", NULL };
    memcpy(job.words, words, sizeof words);
    return job;
}

static void job_free(Job *job)
{
    free(job->set);
    free(job->output);
    free(job->temporary);
    free(job->journal);
}

static pid_t job_start(const Job *job) { return program_start(job->words, scratch_path("killed.out"), scratch_path("killed.err")); }

/* The undisturbed run; returns the seconds that it took. */
static double job_run(const Job *job, int measured, int found)
{
    double start = now();
    Ran ran = program_words(job->words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    char *said = xformat("%d measurements were run, %d were in the store.", measured, found);
    if (!strstr(ran.out, said)) print_error("expected: %s\n%s", said, ran.out);
    assert_non_null(strstr(ran.out, said));
    free(said);
    ran_free(&ran);
    return now() - start;
}

static void pause_briefly(void) { nanosleep(&(struct timespec){ 0, 50000 }, NULL); }

/* Has the process ended by itself?  Then it must have done well, and *pid is 0. */
static bool ended(pid_t *pid)
{
    int status;
    if (waitpid(*pid, &status, WNOHANG) == 0) return false;
    char *said = file_read(scratch_path("killed.err"), NULL);
    if (status) print_error("status %d: %s", status, said);
    free(said);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    *pid = 0;
    return true;
}

/* kill -9 after some seconds: false where the run had ended before. */
static bool job_kill(const Job *job, double after)
{
    pid_t pid = job_start(job);
    double start = now();
    while (!ended(&pid) && now() - start < after) pause_briefly();
    if (!pid) return false;
    kill(pid, SIGKILL);
    assert_int_equal(program_wait(pid), 1000 + SIGKILL);
    return true;
}

/* The kernel kills the run, by SIGXFSZ, when the merged file grows beyond so many bytes.  That the
 * merge is cut is then certain; to see its file and to be in time with a signal is not. */
static void job_kill_merge(const Job *job, rlim_t bytes)
{
    struct rlimit old, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    pid_t pid = job_start(job);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(program_wait(pid), 1000 + SIGXFSZ);
    assert_true(file_there(job->journal) && file_there(job->temporary));
}

/* /timings of what is done; only the header where nothing is. */
static char *done_so_far(const Job *job)
{
    if (file_there(job->output)) return exported(job->output, "timings");
    return xstrdup("");
}

static int rows(const char *csv)
{
    int n = 0;
    for (; *csv; csv++) n += *csv == '\n';
    return n ? n - 1 : 0;
}

/* Measurements that are whole in the journal, read without the program's help: a first line, then
 * records of magic, length, CRC-32 and payload, whose first letter is M for a measurement. */
static int journaled(const Job *job)
{
    size_t n, at = strlen("linearity journal 1\n");
    char *bytes = file_read(job->journal, &n);
    int count = 0;
    for (uint32_t header[3]; bytes && at + sizeof header < n; at += sizeof header + header[1]) {
        memcpy(header, bytes + at, sizeof header);
        if (header[1] > n - at - sizeof header) break;
        count += bytes[at + sizeof header] == 'M';
    }
    free(bytes);
    return count;
}

static void assert_nothing_lost(char **before, const Job *job)
{
    char *after = done_so_far(job);
    assert_true(rows(after) >= journaled(job));
    assert_int_equal(strncmp(*before, after, strlen(*before)), 0);
    free(*before);
    *before = after;
}

/* Measurements done: the clean pass, which follows the windows of the backward pass, is in /timings too but not counted as one. */
static int measured(const char *timings) { return rows(timings) > WINDOWS ? rows(timings) - 1 : rows(timings); }

/* A run that a busy machine let come to its end before the kill: the next begins anew. */
static void start_over(char **done, const Job *job)
{
    assert_int_equal(remove(job->output), 0);
    free(*done);
    *done = xstrdup("");
}

static void test_kill(void **state)
{
    (void)state;
    char *path = xstrdup(scratch_text("kill.yaml", config));         /* scratch paths do not last */
    Job calm = job_new(path, "calm.h5"), killed = job_new(path, "killed.h5");
    double seconds = job_run(&calm, MEASUREMENTS, 0);
    char *done = xstrdup("");
    int kills = 0, merges = 0;
    for (int moment = 0; (kills < KILLS || merges < MERGES) && moment < 12 * KILLS; moment++) {
        if (!job_kill(&killed, .2 * seconds * random_uniform())) {
            start_over(&done, &killed);
            continue;
        }
        kills++;
        assert_nothing_lost(&done, &killed);
        if (journaled(&killed) == 0) continue;
        job_kill_merge(&killed, (rlim_t)(SMALLEST_FILE * random_uniform()));
        merges++;
        assert_nothing_lost(&done, &killed);
    }
    print_message("%d kills, %d more during a merge, %d of %d measurements then done\n", kills, merges, measured(done), MEASUREMENTS);
    assert_true(kills >= KILLS);
    assert_true(merges >= MERGES);
    int known = measured(done);
    job_run(&killed, MEASUREMENTS - known, known);
    assert_nothing_lost(&done, &killed);
    assert_int_equal(measured(done), MEASUREMENTS);
    assert_same_tables(calm.output, killed.output);
    assert_false(file_there(killed.journal) || file_there(killed.temporary));
    free(done);
    free(path);
    job_free(&calm);
    job_free(&killed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kill) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
