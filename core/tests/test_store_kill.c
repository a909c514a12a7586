/* Runs that are cut short, by kill -9 and by a full disk: nothing lost, nothing twice. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/tests/store_files.h"

/* ---- kills ---- */

enum { KILLED_RUN = 600, KILLS = 10 };

/* What an experiment does: measure what the store lacks, merge now and then, put a table.  Each
 * measurement made is one byte in the log. */
static int experiment(const char *log_path)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    Store *store;
    if (log < 0 || store_open(&store, path, false) != OK) return 1;
    Provenance provenance = { 0 };
    provenance_add(&provenance, "pid", "%d", (int)getpid());
    store_set_provenance(store, &provenance);
    provenance_free(&provenance);
    Table *table = table_new("results", "sum over windows");
    table_add_column(table, COLUMN_NUMBER, "value", "nats", "");
    for (int i = 0; i < KILLED_RUN; i++) {
        Measurement m = made(i);
        m.seconds = (double)getpid();
        if (!store_find(store, m.key)) {
            usleep(1000);               /* a measurement takes its time: all kills fall into the run */
            if (write(log, "x", 1) != 1 || store_append(store, &m) != OK) return 1;
        }
        measurement_free(&m);
        table_add_row(table);
        table_set_number(table, i, "value", store_record(store, i)->n_windows);
        if (i % 23 == 22 && store_flush(store) != OK) return 1;
    }
    if (store_put_table(store, table) != OK || store_close(&store) != OK) return 1;
    table_free(table);
    close(log);
    return 0;
}

static char *exported(const char *name)
{
    Store *store = opened(true);
    Table *table = NULL;
    char *text = NULL;
    size_t n = 0;
    require(store_get_table(&table, store, name));
    FILE *out = open_memstream(&text, &n);
    require(table_write(table, out, FORMAT_CSV));
    fclose(out);
    table_free(table);
    closed(store);
    return text;
}

static pid_t start_experiment(const char *log_path)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(experiment(log_path));
    return child;
}

static void test_kills_lose_and_double_nothing(void **state)
{
    (void)state;
    static const char *const names[] = { "measurements", "measurement_layers", "measurement_windows", "measurement_forms", "results" };
    enum { NAMES = sizeof names / sizeof *names };
    char log_path[2100], *undisturbed[NAMES];
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    int status, kills = 0;
    waitpid(start_experiment(log_path), &status, 0);
    assert_int_equal(status, 0);
    for (int t = 0; t < NAMES; t++) undisturbed[t] = exported(names[t]);
    assert_int_equal(unlink(path) | unlink(log_path), 0);

    unsigned random = 12345;
    for (; kills < KILLS; kills++) {
        pid_t child = start_experiment(log_path);
        random = random * 1103515245u + 12345u;
        usleep(2000 + (random >> 16) % 30000);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
    }
    waitpid(start_experiment(log_path), &status, 0);
    assert_int_equal(status, 0);
    for (int t = 0; t < NAMES; t++) {
        char *resumed = exported(names[t]);
        assert_string_equal(resumed, undisturbed[t]);
        free(resumed);
        free(undisturbed[t]);
    }
    struct stat log;
    assert_int_equal(stat(log_path, &log), 0);
    print_message("%d kills, %d measurements made twice\n", kills, (int)log.st_size - KILLED_RUN);
    assert_true(log.st_size <= KILLED_RUN + kills);
    assert_false(exists(journal_path) || exists(temporary_path) || exists(lock_path));
}

/* ---- failing writes ---- */

static void test_full_disk(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    make_file(30);
    size_t n, m;
    char *before = file_bytes(path, &n);
    Store *store = opened(false);
    append(store, 30);
    struct stat journal;
    assert_int_equal(stat(journal_path, &journal), 0);

    limit_file_size((rlim_t)journal.st_size + 100);             /* a record does not fit */
    Measurement more = made(31);
    refused(store_append(store, &more), ERR_FILE, "run.h5.journal: cannot be written (File too large)");
    assert_null(store_find(store, more.key));
    measurement_free(&more);
    struct stat after;
    assert_int_equal(stat(journal_path, &after), 0);
    assert_int_equal(after.st_size, journal.st_size);
    limit_file_size(RLIM_INFINITY);
    append(store, 31);                  /* there is room again */

    limit_file_size(5000);              /* the merged file does not fit */
    refused(store_flush(store), ERR_FILE, "run.h5.tmp: cannot be written (File too large)");
    assert_false(exists(temporary_path));
    refused(store_close(&store), ERR_FILE, "File too large");
    assert_null(store);
    limit_file_size(RLIM_INFINITY);
    char *unchanged = file_bytes(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(before, unchanged, n);
    free(before);
    free(unchanged);
    store = opened(false);
    check_records(store, 32);
    closed(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kills_lose_and_double_nothing),
        TEST(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
