/* Forms in the store: one table for all of them, exact both ways, older files, damage, many rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/hdf5_table.h"
#include "core/store/store.h"
#include "core/tests/store_files.h"

/* ---- measurements ---- */

/* Form f is 1000 f + 0, 1, 2 ...; losses and errors are 0. */
static Measurement with_forms(int id, int n_layers, int n_windows, const char *const *names, int n_forms)
{
    Measurement m = { .n_windows = n_windows, .n_layers = n_layers, .n_forms = n_forms, .label = xstrdup("") };
    m.text = xformat("%d", id);
    hash_bytes(m.key, m.text, strlen(m.text));
    size_t layers = (size_t)n_layers, windows = (size_t)n_windows, cells = layers * windows, forms = (size_t)n_forms;
    double **per_window[] = { &m.nll, &m.kl, &m.same_top }, **per_layer[] = { &m.t2, &m.kappa, &m.bits, &m.code_bits, &m.t2_asked };
    m.tokens = xcalloc(windows, sizeof *m.tokens);
    m.layer = xcalloc(layers, sizeof *m.layer);
    m.layer_name = xcalloc(layers, sizeof *m.layer_name);
    for (int i = 0; i < 3; i++) *per_window[i] = xcalloc(windows, sizeof(double));
    for (int i = 0; i < 5; i++) *per_layer[i] = xcalloc(layers, sizeof(double));
    for (size_t w = 0; w < windows; w++) m.tokens[w] = 1;
    for (int l = 0; l < n_layers; l++) {
        m.layer[l] = 10 + 3 * l;
        m.layer_name[l] = xformat("blocks.%d.q", l);
    }
    if (n_forms == 0) return m;
    m.form_name = xcalloc(forms, sizeof *m.form_name);
    m.form = xcalloc(forms * cells, sizeof *m.form);
    for (size_t f = 0; f < forms; f++) {
        m.form_name[f] = xstrdup(names[f]);
        for (size_t k = 0; k < cells; k++) m.form[f * cells + k] = 1000.0 * (double)f + (double)k;
    }
    return m;
}

static void append_forms(Store *store, int id, int n_layers, int n_windows, const char *const *names, int n_forms)
{
    Measurement m = with_forms(id, n_layers, n_windows, names, n_forms);
    require(store_append(store, &m));
    measurement_free(&m);
}

static const char *const sigma_rho[] = { "sigma", "rho" }, *const dot_sigma[] = { "dot", "sigma" };

/* Measurement 0 of 2 layers and 3 windows, 1 without forms, 2 of 1 layer and 2 windows, 3 of no windows. */
static void make_four(void)
{
    Store *store = opened(false);
    append_forms(store, 0, 2, 3, sigma_rho, 2);
    append_forms(store, 1, 2, 2, NULL, 0);
    append_forms(store, 2, 1, 2, dot_sigma, 2);
    append_forms(store, 3, 2, 0, NULL, 0);
    closed(store);
}

/* ---- what is stored ---- */

static void test_table_of_forms(void **state)
{
    (void)state;
    make_four();
    Store *store = opened(true);
    Table *table;
    require(store_get_table(&table, store, "measurement_forms"));
    static const char *const columns[] = { "measurement", "layer", "window", "sigma", "rho", "dot" };
    assert_int_equal(table->n_columns, 6);
    for (int c = 0; c < 6; c++) assert_string_equal(table->column[c].name, columns[c]);
    static const int rows[][3] = { { 0, 10, 0 }, { 0, 10, 1 }, { 0, 10, 2 }, { 0, 13, 0 }, { 0, 13, 1 }, { 0, 13, 2 }, { 2, 10, 0 }, { 2, 10, 1 } };
    assert_int_equal(table->n_rows, 8);
    for (int row = 0; row < 8; row++) {
        for (int c = 0; c < 3; c++) assert_int_equal(table->column[c].integer[row], rows[row][c]);
        assert_true(table_number(table, row, "sigma") == (row < 6 ? row : 1000 + row - 6));
        assert_true(row < 6 ? table_number(table, row, "rho") == 1000 + row : isnan(table_number(table, row, "rho")));
        assert_true(row < 6 ? isnan(table_number(table, row, "dot")) : table_number(table, row, "dot") == row - 6);
    }
    table_free(table);
    const Measurement *last = store_record(store, 2);           /* its forms stand in the order of the columns */
    assert_int_equal(last->n_forms, 2);
    assert_string_equal(last->form_name[0], "sigma");
    assert_true(measurement_form(last, "dot")[1] == 1);
    assert_true(measurement_form(last, "sigma")[1] == 1001);
    assert_null(measurement_form(last, "rho"));
    assert_null(measurement_form(store_record(store, 1), "sigma"));
    closed(store);
}

/* A run that is resumed between any two measurements leaves the bytes of one that is not. */
static void test_resumed_is_the_same_file(void **state)
{
    (void)state;
    make_file(20);
    size_t n, m;
    char *whole = file_bytes(path, &n);
    assert_int_equal(unlink(path), 0);
    Store *store = opened(false);
    append(store, 0);
    for (int i = 1; i < 20; i++) {
        require(store_flush(store));
        Store *reader = opened(true);
        check_records(reader, i);
        closed(reader);
        append(store, i);
    }
    closed(store);
    char *merged = file_bytes(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(whole, merged, n);
    free(whole);
    free(merged);
}

static void test_forms_that_are_not_finite(void **state)
{
    (void)state;
    Store *store = opened(false);
    static const double bad[] = { NAN, INFINITY, -INFINITY };
    Measurement m = with_forms(0, 2, 3, sigma_rho, 2);
    for (int i = 0; i < 3; i++) {
        m.form[6 + 5] = bad[i];
        refused(store_append(store, &m), ERR_ARGUMENT, "the form rho of layer blocks.1.q in window 2 is");
        assert_int_equal(store_count(store), 0);
        assert_false(exists(journal_path));
    }
    m.form[6 + 5] = 0;
    require(store_append(store, &m));
    measurement_free(&m);
    closed(store);
}

/* ---- files as other hands left them ---- */

typedef void Change(Table *forms);

/* make_four's file with its table of forms changed, or left out. */
static void without_code_bits(Table *t)
{
    for (int c = 0; c < t->n_columns; c++)
        if (!strcmp(t->column[c].name, "code_bits")) t->column[c].name[0] = 'x';
}

static int reopened(Change *change)
{
    make_four();
    Table **table, *kept[16];
    int n, n_kept = 0;
    require(hdf5_read(&table, &n, path));
    for (int t = 0; t < n; t++) {
        bool is_forms = strcmp(table[t]->name, "measurement_forms") == 0;
        if (is_forms && change) change(table[t]);
        if (!change && !strcmp(table[t]->name, "measurement_layers")) without_code_bits(table[t]);
        if (!is_forms || change) kept[n_kept++] = table[t];
        else table_free(table[t]);
    }
    uint8_t *bytes;
    size_t n_bytes;
    require(hdf5_image(&bytes, &n_bytes, kept, n_kept));
    write_file(path, bytes, n_bytes);
    free(bytes);
    while (n_kept > 0) table_free(kept[--n_kept]);
    free(table);
    Store *store = NULL;
    int status = store_open(&store, path, true);
    if (status == OK) closed(store);
    return status;
}

static void test_file_from_before_forms(void **state)
{
    (void)state;
    require(reopened(NULL));
    Store *store = opened(false);
    assert_int_equal(store_count(store), 4);
    for (int i = 0; i < 4; i++) {
        const Measurement *m = store_record(store, i);
        assert_int_equal(m->n_forms, 0);
        for (int l = 0; l < m->n_layers; l++) assert_true(isnan(m->code_bits[l]) && m->bits[l] == 0);
    }
    append_forms(store, 4, 1, 1, sigma_rho, 1);                 /* and can be added to */
    closed(store);
    store = opened(true);
    assert_true(measurement_form(store_record(store, 4), "sigma")[0] == 0);
    Table *forms;
    require(store_get_table(&forms, store, "measurement_forms"));
    assert_int_equal(forms->n_rows, 1);
    table_free(forms);
    closed(store);
}

static void move(Table *t, int64_t to, int64_t from)
{
    for (int c = 0; c < 3; c++) t->column[c].integer[to] = t->column[c].integer[from];
    for (int c = 3; c < t->n_columns; c++) t->column[c].number[to] = t->column[c].number[from];
}

static void row_twice(Table *t) { table_add_row(t); move(t, 8, 7); }
static void keep_all(Table *t) { (void)t; }
static void no_such_measurement(Table *t) { for (int i = 6; i < 8; i++) table_set_integer(t, i, "measurement", 4); }
static void negative_measurement(Table *t) { table_set_integer(t, 0, "measurement", INT64_MIN); }
static void measurements_swapped(Table *t) { for (int i = 0; i < 8; i++) table_set_integer(t, i, "measurement", i < 6 ? 2 : 0); }
static void of_the_one_without(Table *t) { for (int i = 6; i < 8; i++) table_set_integer(t, i, "measurement", 1); }
static void of_another_amid(Table *t) { table_set_integer(t, 4, "measurement", 2); }
static void of_no_cells(Table *t) { row_twice(t); table_set_integer(t, 8, "measurement", 3); }
static void windows_swapped(Table *t) { table_set_integer(t, 3, "window", 1); table_set_integer(t, 4, "window", 0); }
static void layers_swapped(Table *t) { for (int i = 0; i < 6; i++) table_set_integer(t, i, "layer", i < 3 ? 13 : 10); }
static void row_missing(Table *t) { for (int i = 3; i < 7; i++) move(t, i, i + 1); t->n_rows--; }
static void end_missing(Table *t) { t->n_rows--; }
static void nan_amid(Table *t) { table_set_number(t, 4, "sigma", NAN); }
static void nan_first(Table *t) { table_set_number(t, 0, "rho", NAN); }
static void number_amid_nan(Table *t) { table_set_number(t, 7, "rho", 1); }
static void infinite(Table *t) { table_set_number(t, 6, "dot", -INFINITY); }
static void no_form(Table *t) { for (int i = 6; i < 8; i++) { table_set_number(t, i, "dot", NAN); table_set_number(t, i, "sigma", NAN); } }

static void rename_column(Table *t, int c, const char *name)
{
    free(t->column[c].name);
    t->column[c].name = xstrdup(name);
}

static void no_window(Table *t) { rename_column(t, 2, "windows"); }

static void turn_integer(Table *t, int c)
{
    Column *column = &t->column[c];
    column->integer = xcalloc((unsigned long)t->capacity, sizeof *column->integer);
    free(column->number);
    column->number = NULL;
    column->type = COLUMN_INTEGER;
}

static void turn_number(Table *t, int c)
{
    Column *column = &t->column[c];
    column->number = xcalloc((unsigned long)t->capacity, sizeof *column->number);
    free(column->integer);
    column->integer = NULL;
    column->type = COLUMN_NUMBER;
}

static void form_of_integers(Table *t) { turn_integer(t, 4); }
static void window_of_numbers(Table *t) { turn_number(t, 2); }

static void extra_integers(Table *t)
{
    rename_column(t, 1, "y");
    rename_column(t, 3, "layer");
}

static void test_damaged_forms(void **state)
{
    (void)state;
    static const struct { Change *change; const char *sentence; } damage[] = {
        { no_such_measurement, "row 6 of measurement_forms is of measurement 4, where there are 4" },
        { negative_measurement, "row 0 of measurement_forms is of measurement -9223372036854775808, where there are 4" },
        { measurements_swapped, "row 2 of measurement_forms is of measurement 2, but out of order" },
        { of_the_one_without, "measurement 1 needs 4 rows of measurement_forms from row 6 on, which has 2 more" },
        { of_another_amid, "row 4 of measurement_forms is not the one that measurement 0 needs" },
        { of_no_cells, "row 8 of measurement_forms is of measurement 3, which has no layers or no windows" },
        { windows_swapped, "row 3 of measurement_forms is not the one that measurement 0 needs" },
        { layers_swapped, "row 0 of measurement_forms is not the one that measurement 0 needs" },
        { row_missing, "row 3 of measurement_forms is not the one that measurement 0 needs" },
        { end_missing, "measurement 2 needs 2 rows of measurement_forms from row 6 on, which has 1 more" },
        { row_twice, "row 8 of measurement_forms is of measurement 2, but out of order" },
        { nan_amid, "row 4 of measurement_forms: sigma must be finite in all rows of measurement 0" },
        { nan_first, "row 1 of measurement_forms: rho must be finite in all rows of measurement 0" },
        { number_amid_nan, "row 7 of measurement_forms: rho must be finite in all rows of measurement 2" },
        { infinite, "row 6 of measurement_forms: dot must be finite in all rows of measurement 2" },
        { no_form, "row 6 of measurement_forms holds no form" },
        { no_window, "the column measurement_forms/window is missing" },
        { form_of_integers, "the column measurement_forms/rho has the wrong type" },
        { window_of_numbers, "the column measurement_forms/window has the wrong type" },
        { extra_integers, "the column measurement_forms/y has the wrong type" },
    };
    require(reopened(keep_all));
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        assert_int_equal(unlink(path), 0);
        refused(reopened(damage[i].change), ERR_FORMAT, damage[i].sentence);
        assert_non_null(strstr(err_last(), path));
        assert_null(strstr(strstr(err_last(), path) + strlen(path), path));
    }
}

/* ---- many ---- */

static void test_many_rows(void **state)
{
    (void)state;
    static const char *const names[] = { "sigma", "group", "rho", "dot" };
    enum { RECORDS = 1000, N_LAYERS = 10, N_WINDOWS = 10, ROWS = RECORDS * N_LAYERS * N_WINDOWS };
    Store *store = opened(false);
    for (int i = 0; i < RECORDS; i++) append_forms(store, i, N_LAYERS, N_WINDOWS, names, 4);
    clock_t start = clock();
    closed(store);
    clock_t written = clock();
    store = opened(true);
    clock_t read = clock();
    assert_int_equal(store_count(store), RECORDS);
    assert_true(measurement_form(store_record(store, RECORDS - 1), "dot")[99] == 3099);
    Table *table;
    require(store_get_table(&table, store, "measurement_forms"));
    assert_int_equal(table->n_rows, ROWS);
    table_free(table);
    closed(store);
    double write_s = (double)(written - start) / CLOCKS_PER_SEC, read_s = (double)(read - written) / CLOCKS_PER_SEC;
    print_message("%d rows of 4 forms: written in %.2f s, read in %.2f s\n", ROWS, write_s, read_s);
    assert_true(write_s < 2 && read_s < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_table_of_forms),
        TEST(test_resumed_is_the_same_file),
        TEST(test_forms_that_are_not_finite),
        TEST(test_file_from_before_forms),
        TEST(test_damaged_forms),
        TEST(test_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
