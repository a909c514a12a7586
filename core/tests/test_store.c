/* The store: records exact through journal and HDF5, damage, kill -9, and one sentence for each failure. */
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/journal.h"
#include "core/store/store.h"

static char folder[32], path[64], journal_path[80], temporary_path[80], lock_path[80];

static int setup(void **state)
{
    (void)state;
    bool in_memory = access("/dev/shm", W_OK) == 0;             /* where flushing costs nothing */
    snprintf(folder, sizeof folder, "%s/test_store.XXXXXX", in_memory ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run.h5", folder);
    snprintf(journal_path, sizeof journal_path, "%s.journal", path);
    snprintf(temporary_path, sizeof temporary_path, "%s.tmp", path);
    snprintf(lock_path, sizeof lock_path, "%s.lock", path);
    return 0;
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int teardown(void **state)
{
    (void)state;
    limit_file_size(RLIM_INFINITY);
    char *command = xformat("rm -rf %s", folder);
    int failed = system(command);
    free(command);
    return failed;
}

static void require(int status) { if (status != OK) fail_msg("%s", err_last()); }

/* The failure is this code and its sentence names these words. */
static void refused(int status, int code, const char *words)
{
    assert_int_equal(status, code);
    if (!strstr(err_last(), words)) fail_msg("'%s' is not in: %s", words, err_last());
}

/* Measurement i: all its numbers are functions of i; some are NaN with a payload, infinite, denormal or -0. */
static Measurement made(int i)
{
    Measurement m = { .n_windows = i % 5, .n_layers = i % 4, .seconds = 0.1 * i };
    m.text = xformat("model=%d\ncorpus \"quoted\" \xc3\xa9, line\n", i);
    hash_bytes(m.key, m.text, strlen(m.text));
    m.label = i % 7 ? xformat("blocks.%d.q gaussian", i) : xstrdup("");
    m.tokens = xcalloc(5, sizeof *m.tokens);
    m.nll = xcalloc(5, sizeof *m.nll);
    m.kl = xcalloc(5, sizeof *m.kl);
    m.same_top = xcalloc(5, sizeof *m.same_top);
    m.layer = xcalloc(4, sizeof *m.layer);
    m.layer_name = xcalloc(4, sizeof *m.layer_name);
    m.t2 = xcalloc(4, sizeof *m.t2);
    m.kappa = xcalloc(4, sizeof *m.kappa);
    m.bits = xcalloc(4, sizeof *m.bits);
    m.t2_asked = xcalloc(4, sizeof *m.t2_asked);
    for (int w = 0; w < m.n_windows; w++) {
        m.tokens[w] = 100 + i + w;
        m.nll[w] = sin(i + 10.0 * w) + 3;
        m.kl[w] = i % 3 ? 5e-324 * i : nan("77");
        m.same_top[w] = w % 2 ? -0.0 : INFINITY;
    }
    for (int l = 0; l < m.n_layers; l++) {
        m.layer[l] = 7 * l + i;
        m.layer_name[l] = xformat("blocks.%d.q", l);
        m.t2[l] = cos(i * l);
        m.kappa[l] = 1.0 / (3 + i + l);
        m.bits[l] = NAN;
        m.t2_asked[l] = -NAN;
    }
    return m;
}

static void append(Store *store, int i)
{
    Measurement m = made(i);
    require(store_append(store, &m));
    measurement_free(&m);
}

static void same_bytes(const void *a, const void *b, size_t n) { if (n) assert_memory_equal(a, b, n); }

static void check_equal(const Measurement *a, const Measurement *b)
{
    size_t windows = (size_t)b->n_windows, layers = (size_t)b->n_layers;
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->text, b->text);
    assert_string_equal(a->label, b->label);
    assert_int_equal(a->n_windows, b->n_windows);
    assert_int_equal(a->n_layers, b->n_layers);
    same_bytes(a->tokens, b->tokens, windows * 8);
    same_bytes(a->nll, b->nll, windows * 8);
    same_bytes(a->kl, b->kl, windows * 8);
    same_bytes(a->same_top, b->same_top, windows * 8);
    same_bytes(a->layer, b->layer, layers * sizeof *a->layer);
    same_bytes(a->t2, b->t2, layers * 8);
    same_bytes(a->kappa, b->kappa, layers * 8);
    same_bytes(a->bits, b->bits, layers * 8);
    same_bytes(a->t2_asked, b->t2_asked, layers * 8);
    same_bytes(&a->seconds, &b->seconds, 8);
    for (size_t l = 0; l < layers; l++) assert_string_equal(a->layer_name[l], b->layer_name[l]);
}

/* The store holds measurements 0 .. n-1, each once, bit for bit. */
static void check_records(const Store *store, int n)
{
    assert_int_equal(store_count(store), n);
    for (int i = 0; i < n; i++) {
        Measurement m = made(i);
        check_equal(store_record(store, i), &m);
        assert_ptr_equal(store_find(store, m.key), store_record(store, i));
        measurement_free(&m);
    }
}

static Store *opened(bool read_only)
{
    Store *store = NULL;
    require(store_open(&store, path, read_only));
    return store;
}

static void closed(Store *store)
{
    require(store_close(&store));
    assert_null(store);
}

static void make_file(int n)
{
    Store *store = opened(false);
    for (int i = 0; i < n; i++) append(store, i);
    closed(store);
}

static void write_file(const char *name, const void *data, size_t n)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static char *file_bytes(const char *name, size_t *n)
{
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    char *data = xmalloc(1 << 22);
    *n = fread(data, 1, 1 << 22, file);
    fclose(file);
    return data;
}

static bool exists(const char *name) { return access(name, F_OK) == 0; }

/* ---- records ---- */

static void test_records_are_exact(void **state)
{
    (void)state;
    make_file(40);
    assert_false(exists(journal_path) || exists(temporary_path) || exists(lock_path));
    Store *store = opened(false);
    check_records(store, 40);
    assert_null(store_find(store, "0000000000000000000000000000000000000000000000000000000000000000"));
    append(store, 3);                   /* known: counts once */
    append(store, 40);
    check_records(store, 41);
    require(store_flush(store));
    append(store, 41);                  /* the journal starts again after a merge */
    closed(store);
    store = opened(true);
    check_records(store, 42);
    closed(store);
}

static void test_tables_and_runs(void **state)
{
    (void)state;
    Store *store = opened(false);
    Table *table = table_new("coefficients", "what a unit of t2 costs");
    table_add_column(table, COLUMN_TEXT, "layer", "", "name");
    table_add_column(table, COLUMN_NUMBER, "alpha", "nats/token", "slope");
    table_add_column(table, COLUMN_INTEGER, "weights", "", "number");
    for (int i = 0; i < 20; i++) {
        table_add_row(table);
        table_set_text(table, i, "layer", i % 2 ? "blocks.\xc3\xa9" : "");
        table_set_number(table, i, "alpha", i % 3 ? 1.0 / (i + 1) : NAN);
        table_set_integer(table, i, "weights", INT64_MIN + i);
    }
    Table *empty = table_new("empty", "");
    table_add_column(empty, COLUMN_TEXT, "a", "", "");
    require(store_put_table(store, table));
    require(store_put_table(store, empty));
    require(store_put_table(store, table));
    Provenance provenance = { 0 };
    provenance_add(&provenance, "commit", "%s", "abc");
    provenance_add(&provenance, "threads", "%d", 1);
    store_set_provenance(store, &provenance);
    append(store, 0);
    provenance_add(&provenance, "threads", "%d", 2);
    store_set_provenance(store, &provenance);
    closed(store);

    store = opened(false);              /* measures nothing: no row */
    store_set_provenance(store, &provenance);
    append(store, 0);
    closed(store);

    store = opened(false);
    provenance_add(&provenance, "host", "here");
    store_set_provenance(store, &provenance);
    append(store, 1);
    Table *back, *runs;
    require(store_get_table(&back, store, "coefficients"));
    require(store_get_table(&runs, store, "runs"));
    assert_int_equal(back->n_rows, 20);
    assert_string_equal(table_column(back, "alpha")->unit, "nats/token");
    assert_string_equal(table_column(back, "alpha")->meaning, "slope");
    assert_string_equal(back->meaning, table->meaning);
    assert_string_equal(back->column[2].name, "weights");
    same_bytes(back->column[1].number, table->column[1].number, 20 * 8);
    same_bytes(back->column[2].integer, table->column[2].integer, 20 * 8);
    for (int i = 0; i < 20; i++) assert_string_equal(table_text(back, i, "layer"), table_text(table, i, "layer"));
    assert_int_equal(runs->n_rows, 2);
    assert_string_equal(table_text(runs, 0, "threads"), "2");
    assert_string_equal(table_text(runs, 0, "host"), "");
    assert_string_equal(table_text(runs, 1, "host"), "here");
    table_free(back);
    table_free(runs);
    refused(store_get_table(&back, store, "coeficients"), ERR_ARGUMENT, "did you mean 'coefficients'? There are measurements, ");
    Table *wrong = table_new("timings", "");
    refused(store_put_table(store, wrong), ERR_ARGUMENT, "made from the measurements");
    table_free(wrong);
    wrong = table_new("a/b", "");
    refused(store_put_table(store, wrong), ERR_ARGUMENT, "'a/b'");
    table_free(wrong);
    char **name;
    int n = store_table_names(&name, store);
    assert_int_equal(n, 7);
    assert_string_equal(name[0], "measurements");
    assert_string_equal(name[6], "empty");
    for (int i = 0; i < n; i++) free(name[i]);
    free(name);
    closed(store);
    table_free(table);
    table_free(empty);
    provenance_free(&provenance);
}

static void test_means_over_windows(void **state)
{
    (void)state;
    Store *store = opened(false);
    Measurement m = made(57);           /* of two windows and one layer, with a NaN for kl */
    m.tokens[0] = 1, m.tokens[1] = 3;
    m.nll[0] = 2, m.nll[1] = 6;
    m.t2[0] = 0.25;
    require(store_append(store, &m));
    measurement_free(&m);
    Table *table;
    require(store_get_table(&table, store, "measurements"));
    assert_true(table_number(table, 0, "nll") == 5);
    /* residuals 1 * -3 and 3 * 1: se^2 = 2/1 (9 + 9) / 16 */
    assert_true(fabs(table_number(table, 0, "nll_se") - 1.5) < 1e-15);
    assert_true(isnan(table_number(table, 0, "kl")));
    assert_int_equal(table_integer(table, 0, "tokens"), 4);
    assert_true(table_number(table, 0, "t2") == 0.25);
    assert_string_equal(table_text(table, 0, "layer"), "blocks.0.q");
    table_free(table);
    closed(store);
}

static void test_equal_content_equal_bytes(void **state)
{
    (void)state;
    size_t n, m;
    make_file(10);
    char *first = file_bytes(path, &n);
    assert_int_equal(unlink(path), 0);
    usleep(1100000);                    /* times, were they kept, have seconds */
    make_file(10);
    char *second = file_bytes(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    free(first);
    free(second);
}

/* ---- the journal ---- */

/* A file with 3 measurements and a journal with 4 more, as a killed run leaves them. */
static void leave_journal(void)
{
    make_file(3);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        Store *store;
        if (store_open(&store, path, false) != OK) _exit(1);
        for (int i = 3; i < 7; i++) append(store, i);
        _exit(0);                       /* without closing */
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(exists(journal_path));
}

/* Offsets where records end, from their lengths. */
static int record_ends(size_t *end, const char *journal, size_t n)
{
    int count = 0;
    for (size_t at = strlen("linearity journal 1\n"); at < n;) {
        uint32_t length;
        memcpy(&length, journal + at + 4, 4);
        at += 12 + length;
        end[count++] = at;
    }
    return count;
}

static void test_journal_damage(void **state)
{
    (void)state;
    leave_journal();
    size_t n, n_file, end[8];
    char *journal = file_bytes(journal_path, &n), *file = file_bytes(path, &n_file);
    assert_int_equal(record_ends(end, journal, n), 5);          /* the run, and four measurements */
    assert_int_equal(end[4], n);
    for (size_t size = 0; size <= n; size += size < end[3] - 1 ? 37 : 1) {     /* every byte of the last record */
        int whole = 0;
        while (whole < 5 && end[whole] <= size) whole++;
        write_file(path, file, n_file);
        write_file(journal_path, journal, size);
        Store *store = opened(true);
        check_records(store, whole > 1 ? 2 + whole : 3);
        closed(store);
        if (size % 17) continue;        /* merging flushes the disk, which takes its time */
        closed(opened(false));
        assert_false(exists(journal_path));
        store = opened(true);
        check_records(store, whole > 1 ? 2 + whole : 3);
        closed(store);
    }
    for (size_t at = end[2]; at < n; at += 3) {                 /* flips in the last two */
        char *damaged = memcpy(xmalloc(n), journal, n);
        damaged[at] = (char)(damaged[at] ^ (1 << at % 8));
        write_file(path, file, n_file);
        write_file(journal_path, damaged, n);
        free(damaged);
        Store *store = opened(true);
        check_records(store, at < end[3] ? 5 : 6);
        closed(store);
    }
    free(journal);
    free(file);
}

static int count_payload(void *context, const uint8_t *payload, size_t n)
{
    int *count = context;
    assert_int_equal(n, 3);
    assert_int_equal(payload[0], *count);
    (*count)++;
    return OK;
}

static void test_journal_goes_on_after_torn_tail(void **state)
{
    (void)state;
    Journal journal;
    int count = 0;
    int64_t length = 0;
    for (uint8_t i = 0; i < 6; i++) {   /* each torn once before it is written again */
        count = 0;
        require(journal_open(&journal, journal_path, count_payload, &count));
        assert_int_equal(count, i);
        require(journal_append(&journal, (uint8_t[]){ i, 0, 0 }, 3));
        journal_close(&journal);
        assert_int_equal(truncate(journal_path, length + (i ? 10 : 30)), 0);
        count = 0;
        require(journal_open(&journal, journal_path, count_payload, &count));
        assert_int_equal(count, i);
        require(journal_append(&journal, (uint8_t[]){ i, 0, 0 }, 3));
        length = journal.length;
        journal_close(&journal);
    }
    count = 0;
    require(journal_read(journal_path, count_payload, &count, &length));
    assert_int_equal(count, 6);
}

/* After a torn tail was dropped, what is appended next is found again. */
static void test_append_after_torn_tail(void **state)
{
    (void)state;
    leave_journal();
    size_t n;
    char *journal = file_bytes(journal_path, &n);
    write_file(journal_path, journal, n - 5);
    free(journal);
    Store *store = opened(false);
    check_records(store, 6);
    append(store, 6);
    append(store, 7);
    closed(store);
    store = opened(true);
    check_records(store, 8);
    closed(store);
}

/* A kill between the rename of a merge and the removal of the journal: everything is there twice. */
static void test_journal_after_merge_counts_once(void **state)
{
    (void)state;
    leave_journal();
    size_t n;
    char *journal = file_bytes(journal_path, &n);
    closed(opened(false));
    write_file(journal_path, journal, n);
    write_file(temporary_path, "left over", 9);
    free(journal);
    Store *store = opened(false);
    check_records(store, 7);
    Table *runs;
    require(store_get_table(&runs, store, "runs"));
    assert_int_equal(runs->n_rows, 2);
    table_free(runs);
    closed(store);
    assert_false(exists(temporary_path) || exists(journal_path));
}

static void test_foreign_journal(void **state)
{
    (void)state;
    make_file(2);
    write_file(journal_path, "my diary\n", 9);
    Store *store;
    refused(store_open(&store, path, false), ERR_FORMAT, "move it away");
    size_t n;
    char *kept = file_bytes(journal_path, &n);
    assert_int_equal(n, 9);
    free(kept);
}

/* ---- kills ---- */

enum { KILLED_RUN = 300, KILLS = 10 };

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
    static const char *const names[] = { "measurements", "measurement_layers", "measurement_windows", "results" };
    char log_path[64], *undisturbed[4];
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    int status, kills = 0;
    waitpid(start_experiment(log_path), &status, 0);
    assert_int_equal(status, 0);
    for (int t = 0; t < 4; t++) undisturbed[t] = exported(names[t]);
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
    for (int t = 0; t < 4; t++) {
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

/* ---- other files, other writers ---- */

static void test_other_files(void **state)
{
    (void)state;
    Store *store = NULL;
    size_t n;
    refused(store_open(&store, folder, false), ERR_FORMAT, "a folder");
    write_file(path, "", 0);
    refused(store_open(&store, path, false), ERR_FORMAT, "an empty file");
    write_file(path, "layer,bits\n", 11);
    refused(store_open(&store, path, false), ERR_FORMAT, "a text file");
    write_file(path, "\0\1\2\3\377", 5);
    refused(store_open(&store, path, true), ERR_FORMAT, "not an HDF5 file");
    assert_int_equal(unlink(path), 0);
    refused(store_open(&store, path, true), ERR_FILE, "No such file");
    refused(store_open(&store, "", false), ERR_ARGUMENT, "not the name of a file");
    refused(store_open(&store, "/tmp/", true), ERR_FORMAT, "a folder");

    make_file(12);
    char *bytes = file_bytes(path, &n);
    for (size_t size = 1; size < n - 16; size += n / 40) {
        write_file(path, bytes, size);
        assert_int_equal(store_open(&store, path, false), ERR_FORMAT);
    }
    refused(store_open(&store, path, false), ERR_FORMAT, "truncated HDF5");
    free(bytes);
    assert_null(store);
    assert_false(exists(lock_path));
}

/* A flipped byte anywhere is found, and cutting the checksum off leaves a readable file. */
static void test_damaged_file(void **state)
{
    (void)state;
    make_file(6);
    size_t n;
    char *bytes = file_bytes(path, &n);
    for (size_t at = 0; at < n - 16; at += 97) {
        bytes[at] = (char)~bytes[at];
        write_file(path, bytes, n);
        bytes[at] = (char)~bytes[at];
        Store *store = NULL;
        refused(store_open(&store, path, true), ERR_FORMAT, "does not fit its checksum");
    }
    for (size_t cut = 1; cut <= 16; cut += 5) {
        write_file(path, bytes, n - cut);
        Store *store = opened(true);
        check_records(store, 6);
        closed(store);
    }
    free(bytes);
}

static void changed_hdf5(long version, bool with_format)
{
    make_file(1);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), attribute;
    attribute = H5Aopen(file, "version", H5P_DEFAULT);
    assert_true(H5Awrite(attribute, H5T_NATIVE_LONG, &version) >= 0);
    H5Aclose(attribute);
    if (!with_format) assert_true(H5Adelete(file, "format") >= 0);
    H5Fclose(file);
}

static void test_other_hdf5(void **state)
{
    (void)state;
    Store *store = NULL;
    changed_hdf5(2, true);
    refused(store_open(&store, path, false), ERR_FORMAT, "newer version");
    assert_int_equal(unlink(path), 0);
    changed_hdf5(1, false);
    refused(store_open(&store, path, false), ERR_FORMAT, "another program");
    assert_int_equal(unlink(path), 0);
    make_file(1);
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(H5Ldelete(file, "/measurement_windows/kl", H5P_DEFAULT) >= 0);
    H5Fclose(file);
    refused(store_open(&store, path, false), ERR_FORMAT, "the column measurement_windows/kl is missing");
    assert_null(store);
}

static void test_folders(void **state)
{
    (void)state;
    char *one = xformat("%s/results/run.h5", folder), *two = xformat("%s/a/b/run.h5", folder);
    Store *store = NULL;
    require(store_open(&store, one, false));
    append(store, 0);
    closed(store);
    refused(store_open(&store, two, false), ERR_FILE, "there is no folder");
    free(one);
    free(two);
    uid_t user = geteuid(), nobody = 65534;
    assert_int_equal(chmod(folder, 0555), 0);
    if (user == 0) assert_int_equal(seteuid(nobody), 0);         /* root could write all the same */
    int status = store_open(&store, path, false);
    if (user == 0) assert_int_equal(seteuid(user), 0);
    refused(status, ERR_FILE, "run.h5.lock cannot be created (Permission denied)");
    assert_int_equal(chmod(folder, 0755), 0);
}

/* A file reached by a link is replaced where it lies, and locked once under both names. */
static void test_link_and_lock(void **state)
{
    (void)state;
    make_file(2);
    char *link = xformat("%s/link.h5", folder);
    assert_int_equal(symlink("run.h5", link), 0);
    Store *store = NULL, *second = NULL;
    require(store_open(&store, link, false));
    char *holder = xformat("process %d is writing to it", (int)getpid());
    refused(store_open(&second, path, false), ERR_FILE, holder);
    free(holder);
    append(store, 2);
    require(store_open(&second, path, true));                   /* a reader sees what was appended */
    check_records(second, 3);
    Measurement m = made(9);
    refused(store_append(second, &m), ERR_ARGUMENT, "for reading only");
    measurement_free(&m);
    closed(second);
    assert_true(exists(journal_path));                          /* and merges nothing */
    closed(store);
    struct stat info;
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    store = opened(false);
    check_records(store, 3);
    closed(store);
    free(link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_records_are_exact), TEST(test_tables_and_runs), TEST(test_means_over_windows),
        TEST(test_equal_content_equal_bytes), TEST(test_journal_damage), TEST(test_append_after_torn_tail), TEST(test_journal_goes_on_after_torn_tail),
        TEST(test_journal_after_merge_counts_once), TEST(test_foreign_journal),
        TEST(test_kills_lose_and_double_nothing), TEST(test_full_disk), TEST(test_other_files),
        TEST(test_damaged_file), TEST(test_other_hdf5), TEST(test_folders), TEST(test_link_and_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
