/* Tables: written in four formats, CSV read back exactly, damage in a CSV refused with its line. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/table.h"
#include "core/tests/temporary.h"

static Table *sample(void)
{
    Table *table = table_new("sample", "");
    table_add_column(table, COLUMN_TEXT, "layer_name", "", "");
    table_add_column(table, COLUMN_NUMBER, "nll", "nats/token", "");
    table_add_column(table, COLUMN_INTEGER, "weights", "", "");
    static const char *const text[] = { "plain", "a,\"b\"\nc|d", "\xc3\xa9t\xc3\xa9", "", " [x]_% " };
    static const double number[] = { 0.1, NAN, -1.5e-5, -0.0, 123456789 };
    for (int i = 0; i < 5; i++) {
        table_add_row(table);
        table_set_text(table, i, "layer_name", text[i]);
        table_set_number(table, i, "nll", number[i]);
        table_set_integer(table, i, "weights", i == 4 ? INT64_MAX : -i);
    }
    return table;
}

static char *written(const Table *table, TableFormat format)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_int_equal(table_write(table, out, format), OK);
    fclose(out);
    return text;
}

static void check_written(TableFormat format, const char *expected)
{
    Table *table = sample();
    char *text = written(table, format);
    assert_string_equal(text, expected);
    free(text);
    table_free(table);
}

static void test_csv(void **state)
{
    (void)state;
    check_written(FORMAT_CSV, "layer_name,nll,weights\n"
                              "plain,0.10000000000000001,0\n"
                              "\"a,\"\"b\"\"\nc|d\",,-1\n"
                              "\xc3\xa9t\xc3\xa9,-1.5e-05,-2\n"
                              ",-0,-3\n"
                              "\" [x]_% \",123456789,9223372036854775807\n");
}

static void test_markdown(void **state)
{
    (void)state;
    check_written(FORMAT_MARKDOWN, "| layer_name    | nll [nats/token] |             weights |\n"
                                   "|---------------|-----------------:|--------------------:|\n"
                                   "| plain         |              0.1 |                   0 |\n"
                                   "| a,\"b\"<br>c\\|d |                  |                  -1 |\n"
                                   "| \xc3\xa9t\xc3\xa9           |         -1.5e-05 |                  -2 |\n"
                                   "|               |               -0 |                  -3 |\n"
                                   "|  [x]_%        |       1.2346e+08 | 9223372036854775807 |\n");
}

static void test_tex(void **state)
{
    (void)state;
    check_written(FORMAT_TEX, "\\begin{tabular}{lrr}\n\\toprule\n"
                              "layer\\_name & nll {[}nats/token{]} & weights \\\\\n\\midrule\n"
                              "plain & 0.1 & 0 \\\\\n"
                              "a,\"b\" c\\textbar{}d &  & $-1$ \\\\\n"
                              "\xc3\xa9t\xc3\xa9 & $-1.5 \\times 10^{-5}$ & $-2$ \\\\\n"
                              " & $-0$ & $-3$ \\\\\n"
                              " {[}x{]}\\_\\%  & $1.2346 \\times 10^{8}$ & 9223372036854775807 \\\\\n"
                              "\\bottomrule\n\\end{tabular}\n");
}

/* Read by another program's parser. */
static void test_json(void **state)
{
    (void)state;
    Table *table = sample();
    char *text = written(table, FORMAT_JSON);
    json_error_t error;
    json_t *array = json_loads(text, 0, &error), *row = json_array_get(array, 1);
    if (!array) fail_msg("%s", error.text);
    assert_int_equal(json_array_size(array), 5);
    assert_string_equal(json_string_value(json_object_get(row, "layer_name")), "a,\"b\"\nc|d");
    assert_true(json_is_null(json_object_get(row, "nll")));
    assert_true(json_real_value(json_object_get(json_array_get(array, 0), "nll")) == 0.1);
    assert_true(json_integer_value(json_object_get(json_array_get(array, 4), "weights")) == INT64_MAX);
    json_decref(array);
    free(text);
    table_free(table);

    Table *empty = table_new("empty", "");
    table_add_column(empty, COLUMN_TEXT, "a", "", "");
    text = written(empty, FORMAT_JSON);
    assert_string_equal(text, "[]\n");
    free(text);
    table_free(empty);
}

static void test_json_text_is_always_utf8(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    json_text(out, "\001\t\\\xff\xe2\x82\xac");
    json_number(out, INFINITY);
    fclose(out);
    assert_string_equal(text, "\"\\u0001\\t\\\\\\ufffd\xe2\x82\xac\"null");
    free(text);
}

static void test_failed_stream(void **state)
{
    (void)state;
    Table *table = sample();
    FILE *out = fopen("/dev/full", "w");
    if (!out) {
        table_free(table);
        skip();
    }
    assert_int_equal(table_write(table, out, FORMAT_CSV), ERR_FILE);
    assert_non_null(strstr(err_last(), "No space left"));
    fclose(out);
    table_free(table);
}

/* ---- reading ---- */

static char csv_path[2048];

static void write_csv(const char *text, size_t n)
{
    FILE *file = fopen(csv_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
}

static Table *read_csv(const char *text)
{
    Table *table = NULL;
    write_csv(text, strlen(text));
    if (table_read_csv(&table, csv_path) != OK) fail_msg("%s", err_last());
    return table;
}

/* The sentence is path:line and then this. */
static void refused(const char *text, int line, const char *words)
{
    Table *table = NULL;
    char *expected = xformat("%s:%d: %s", csv_path, line, words);
    write_csv(text, strlen(text));
    assert_int_equal(table_read_csv(&table, csv_path), ERR_FORMAT);
    if (strncmp(err_last(), expected, strlen(expected)) != 0) fail_msg("'%s' is not: %s", err_last(), expected);
    assert_null(table);
    free(expected);
}

static void test_csv_round_trip(void **state)
{
    (void)state;
    Table *table = sample();
    char *text = written(table, FORMAT_CSV);
    Table *back = read_csv(text);
    assert_int_equal(back->n_columns, 3);
    assert_int_equal(back->n_rows, 5);
    for (int c = 0; c < 3; c++) assert_int_equal(back->column[c].type, table->column[c].type);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(back->column[0].text[i], table->column[0].text[i]);
        assert_true(back->column[1].number[i] == table->column[1].number[i] || isnan(table->column[1].number[i]));
        assert_true(back->column[2].integer[i] == table->column[2].integer[i]);
    }
    assert_true(isnan(back->column[1].number[1]) && signbit(back->column[1].number[3]));
    char *again = written(back, FORMAT_CSV);
    assert_string_equal(again, text);
    free(again);
    free(text);
    table_free(back);
    table_free(table);
}

static void test_csv_of_one_column_keeps_empty_rows(void **state)
{
    (void)state;
    Table *table = table_new("one", "");
    table_add_column(table, COLUMN_NUMBER, "x", "", "");
    for (int i = 0; i < 3; i++) table_add_row(table);
    table_set_number(table, 1, "x", 2.5);
    char *text = written(table, FORMAT_CSV);
    Table *back = read_csv(text);
    assert_int_equal(back->n_rows, 3);
    assert_true(isnan(table_number(back, 0, "x")) && table_number(back, 1, "x") == 2.5);
    free(text);
    table_free(back);
    table_free(table);
}

static void test_csv_as_people_write_it(void **state)
{
    (void)state;
    Table *table = read_csv("\xef\xbb\xbflayer, weights ,bits,cost,id\r\n"
                            "\r\n"
                            "\"blocks.0.q\" , 10,3.5,,0x1\r\n"
                            "\"two\r\nlines\",20,4,1e-3,2\r\n"
                            "  \n"
                            "last,30,,inf,3");
    assert_int_equal(table->n_rows, 3);
    assert_string_equal(table->column[0].name, "layer");
    assert_string_equal(table_text(table, 0, "layer"), "blocks.0.q");
    assert_string_equal(table_text(table, 1, "layer"), "two\r\nlines");
    assert_int_equal(table_integer(table, 2, "weights"), 30);
    assert_true(table_number(table, 1, "bits") == 4 && isnan(table_number(table, 2, "bits")));
    assert_true(isnan(table_number(table, 0, "cost")) && table_number(table, 1, "cost") == 1e-3 && isinf(table_number(table, 2, "cost")));
    assert_string_equal(table_text(table, 0, "id"), "0x1");
    table_free(table);

    table = read_csv("a,b\n9223372036854775808,1\n1,-\n");
    assert_int_equal(table_column(table, "a")->type, COLUMN_NUMBER);
    assert_int_equal(table_column(table, "b")->type, COLUMN_TEXT);
    table_free(table);

    table = read_csv("a,b\n");
    assert_int_equal(table->n_rows, 0);
    assert_int_equal(table->n_columns, 2);
    table_free(table);
}

static void test_damaged_csv(void **state)
{
    (void)state;
    refused("", 1, "empty");
    refused("\n\n", 1, "empty");
    refused("a,b\n1,2\n\n3\n", 4, "1 cell where the header has 2");
    refused("a,b\n\"x\ny\",2\n1,2,3\n", 4, "3 cells where the header has 2");
    refused("a,b\n1,2,\n", 2, "3 cells");
    refused("\na,b,a\n", 2, "two columns are named 'a'");
    refused("a,,b\n", 1, "column 2 has no name");
    refused("a,b\n1,\"2\n3\n", 2, "a quote is opened and never closed");
    refused("a,b\n1,\"", 2, "a quote is opened and never closed");
    refused("a,b\n1,\"2\"\"", 2, "a quote is opened and never closed");
    refused("a,b\n\"1\"x,2\n", 2, "text after a closing quote");
    refused("a,b\n1\"x,2\n", 2, "a quote inside an unquoted cell");
    refused("a;b\n1;2\n", 1, "the cells of a CSV file are separated by commas");
    write_csv("a\0b\n", 4);
    Table *table = NULL;
    assert_int_equal(table_read_csv(&table, csv_path), ERR_FORMAT);
    assert_int_equal(table_read_csv(&table, "/tmp"), ERR_FILE);
    assert_int_equal(table_read_csv(&table, "/nowhere/at/all.csv"), ERR_FILE);
    assert_non_null(strstr(err_last(), "/nowhere/at/all.csv: there is no such file"));
    assert_null(table);
}

/* Every prefix of a file is read or refused; none reads past its end (the sanitizers watch). */
static void test_csv_prefixes(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf\"a\"\"\",b\r\n\"x,\"\"\r\n\",2\r\n ,\"\"\r\n";
    for (size_t n = 0; n < sizeof text; n++) {
        Table *table = NULL;
        write_csv(text, n);
        if (table_read_csv(&table, csv_path) == OK) assert_non_null(table);
        table_free(table);
    }
}

static void test_many_rows(void **state)
{
    (void)state;
    Table *table = table_new("many", "");
    table_add_column(table, COLUMN_INTEGER, "i", "", "");
    table_add_column(table, COLUMN_TEXT, "t", "", "");
    for (int64_t i = 0; i < 10000; i++) table_set_integer(table, table_add_row(table), "i", i * i);
    table_set_text(table, 9999, "t", "end");
    table_set_text(table, 9999, "t", table_text(table, 9999, "t"));
    Table *copy = table_copy(table);
    table_free(table);
    assert_int_equal(table_integer(copy, 9999, "i"), 9999 * 9999);
    assert_string_equal(table_text(copy, 9999, "t"), "end");
    assert_string_equal(table_text(copy, 0, "t"), "");
    table_free(copy);
}

static int make_path(void **state)
{
    (void)state;
    snprintf(csv_path, sizeof csv_path, "%s/test_table.XXXXXX", temporary_place());
    int fd = mkstemp(csv_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(csv_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv), cmocka_unit_test(test_markdown), cmocka_unit_test(test_tex),
        cmocka_unit_test(test_json), cmocka_unit_test(test_json_text_is_always_utf8), cmocka_unit_test(test_failed_stream),
        cmocka_unit_test(test_csv_round_trip), cmocka_unit_test(test_csv_of_one_column_keeps_empty_rows),
        cmocka_unit_test(test_csv_as_people_write_it), cmocka_unit_test(test_damaged_csv),
        cmocka_unit_test(test_csv_prefixes), cmocka_unit_test(test_many_rows),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
