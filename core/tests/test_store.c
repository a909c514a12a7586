/* The store: records exact through journal and HDF5, tables, means, and where the file may lie. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/tests/store_files.h"

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
    assert_int_equal(n, 8);
    assert_string_equal(name[0], "measurements");
    assert_string_equal(name[7], "empty");
    for (int i = 0; i < n; i++) free(name[i]);
    free(name);
    closed(store);
    table_free(table);
    table_free(empty);
    provenance_free(&provenance);
}

/* The bytes that the whole file gives, from a file with others in it; nothing of a damaged one. */
static void test_one_table(void **state)
{
    (void)state;
    static const char *const names[] = { "first", "second" };
    Store *store = opened(false);
    for (int t = 0; t < 2; t++) {
        Table *table = table_new(names[t], "");
        table_add_column(table, COLUMN_NUMBER, "x", "nats", "what it is");
        for (int i = 0; i < 5; i++) table_set_number(table, table_add_row(table), "x", t + 1.0 / (i + 1));
        require(store_put_table(store, table));
        table_free(table);
    }
    append(store, 0);
    closed(store);
    Table *one = NULL;
    for (int t = 0; t < 2; t++) {
        require(store_read_table(&one, path, names[t]));
        assert_true(one->n_rows == 5 && one->n_columns == 1 && table_number(one, 4, "x") == t + 1.0 / 5);
        assert_string_equal(one->name, names[t]);
        assert_string_equal(one->column[0].meaning, "what it is");
        table_free(one);
    }
    require(store_read_table(&one, path, "measurements"));
    assert_int_equal(one->n_rows, 1);
    table_free(one);
    refused(store_read_table(&one, path, "frist"), ERR_ARGUMENT, "did you mean 'first'?");
    refused(store_read_table(&one, "/nowhere.h5", "first"), ERR_FILE, "/nowhere.h5");
    size_t n;
    char *bytes = file_bytes(path, &n);
    bytes[n / 2] ^= 1;
    write_file(path, bytes, n);
    free(bytes);
    refused(store_read_table(&one, path, "first"), ERR_FORMAT, "damaged");
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

/* ---- folders, links, other writers ---- */

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

/* Found again like any other, and nowhere on the disk. */
static void test_in_memory(void **state)
{
    (void)state;
    Store *store = store_in_memory();
    assert_int_equal(store_count(store), 0);
    for (int i = 0; i < 5; i++) append(store, i);
    append(store, 2);
    check_records(store, 5);
    require(store_flush(store));
    append(store, 5);
    check_records(store, 6);
    Table *table = NULL;
    require(store_get_table(&table, store, "measurements"));
    assert_int_equal(table->n_rows, 6);
    table_free(table);
    refused(store_get_table(&table, store, "nothing"), ERR_ARGUMENT, "results in memory");
    closed(store);
    assert_false(exists(path) || exists(journal_path) || exists("results in memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_records_are_exact),
        TEST(test_tables_and_runs),
        TEST(test_one_table),
        TEST(test_means_over_windows),
        TEST(test_equal_content_equal_bytes),
        TEST(test_folders),
        TEST(test_link_and_lock),
        TEST(test_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
