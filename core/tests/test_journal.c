/* The journal: torn, flipped, left behind by a kill, merged twice, or another program's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/journal.h"
#include "core/store/record.h"
#include "core/store/store.h"
#include "core/tests/store_files.h"

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

static void refuse_names(const char *first, const char *second)
{
    Measurement m = made(7), back;
    const char *const names[] = { first, second };
    for (int f = 0; f < 2; f++) {
        free(m.form_name[f]);
        m.form_name[f] = xstrdup(names[f]);
    }
    Bytes bytes = { 0 };
    measurement_encode(&bytes, &m);
    refused(measurement_decode(&back, bytes.data, bytes.n), ERR_FORMAT, "forms that none can have");
    free(bytes.data);
    measurement_free(&m);
}

/* Forms follow what a record held before there were any, so that a journal from then can be merged; a
 * record cut anywhere else, or with forms that no store takes, is refused. */
static void test_record_with_forms(void **state)
{
    (void)state;
    Measurement m = made(7), plain = made(7), back;
    assert_int_equal(m.n_forms, 2);
    plain.n_forms = 0;
    Bytes bytes = { 0 }, before = { 0 };
    measurement_encode(&bytes, &m);
    measurement_encode(&before, &plain);
    assert_true(before.n < bytes.n);
    assert_memory_equal(bytes.data, before.data, before.n);
    for (size_t n = 1; n <= bytes.n; n++) {
        if (n != before.n && n != bytes.n) {
            refused(measurement_decode(&back, bytes.data, n), ERR_FORMAT, "wrong length");
            continue;
        }
        require(measurement_decode(&back, bytes.data, n));
        assert_int_equal(back.n_forms, n == bytes.n ? 2 : 0);
        if (n == bytes.n) check_equal(&back, &m);
        measurement_free(&back);
    }
    refuse_names("dot", "dot");
    refuse_names("dot", "a/b");
    refuse_names("", "dot");
    refuse_names("layer", "dot");
    memset(bytes.data + bytes.n - 8, 0xff, 8);
    refused(measurement_decode(&back, bytes.data, bytes.n), ERR_FORMAT, "forms that none can have");
    memset(bytes.data + before.n, 0, 8);
    refused(measurement_decode(&back, bytes.data, before.n + 8), ERR_FORMAT, "wrong length");
    free(bytes.data);
    free(before.data);
    plain.n_forms = 2;
    measurement_free(&plain);
    measurement_free(&m);
}

/* A journal that a version before code_bits has left. */
static void test_record_without_code_bits(void **state)
{
    (void)state;
    Measurement m = made(7), back;
    const int n_forms = m.n_forms;
    const size_t column = 8 * (size_t)m.n_layers;
    m.n_forms = 0;
    Bytes bytes = { 0 };
    measurement_encode(&bytes, &m);
    memmove(bytes.data + bytes.n - 2 * column, bytes.data + bytes.n - column, column);     /* t2_asked, over code_bits */
    bytes.data[0] = RECORD_OLDER;
    require(measurement_decode(&back, bytes.data, bytes.n - column));
    for (int l = 0; l < m.n_layers; l++) {
        assert_true(isnan(back.code_bits[l]));
        assert_memory_equal(&back.t2_asked[l], &m.t2_asked[l], 8);
    }
    measurement_free(&back);
    refused(measurement_decode(&back, bytes.data, bytes.n), ERR_FORMAT, "wrong length");
    free(bytes.data);
    m.n_forms = n_forms;
    measurement_free(&m);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_journal_damage),
        TEST(test_append_after_torn_tail),
        TEST(test_journal_goes_on_after_torn_tail),
        TEST(test_journal_after_merge_counts_once),
        TEST(test_record_with_forms),
        TEST(test_record_without_code_bits),
        TEST(test_foreign_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
