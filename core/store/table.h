/*
 * table.h - columns of numbers and words with units and meanings: what experiments produce, the
 * store keeps and `export` prints
 */
#ifndef CORE_STORE_TABLE_H
#define CORE_STORE_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum { COLUMN_INTEGER, COLUMN_NUMBER, COLUMN_TEXT } ColumnType;

typedef struct {
    char *name, *unit, *meaning;
    ColumnType type;
    int64_t *integer;               /* the one of `type` is in use, [rows] */
    double *number;                 /* NaN: undefined; shown as an empty cell, null in JSON, NaN in HDF5 */
    char **text;
} Column;

typedef struct {
    char *name, *meaning;
    int n_columns;
    Column *column;
    int64_t n_rows, capacity;
} Table;

/* The meaning of a column that tells the combinations of a sweep apart. */
#define SWEPT_MEANING "swept setting"
bool column_is_swept(const Column *column);

Table *table_new(const char *name, const char *meaning);
Table *table_copy(const Table *table);
void   table_free(Table *table);

/* Adds a column, in rows that are there already empty; returns its index.  All strings are copied. */
int table_add_column(Table *table, ColumnType type, const char *name, const char *unit, const char *meaning);

/* Adds an empty row (0, NaN, "") and returns its index. */
int64_t table_add_row(Table *table);
void table_set_integer(Table *table, int64_t row, const char *column, int64_t value);
void table_set_number(Table *table, int64_t row, const char *column, double value);
void table_set_text(Table *table, int64_t row, const char *column, const char *value);

/* Column by name, NULL where there is none; values (the column must exist and have that type). */
const Column *table_column(const Table *table, const char *name);
double table_number(const Table *table, int64_t row, const char *column);
int64_t table_integer(const Table *table, int64_t row, const char *column);
const char *table_text(const Table *table, int64_t row, const char *column);

typedef enum { FORMAT_CSV, FORMAT_MARKDOWN, FORMAT_TEX, FORMAT_JSON } TableFormat;

/* csv: one header line, RFC 4180 quoting (lines end with \n), numbers with 17 significant digits.  md
 * and tex: rounded for reading (5 digits), units in the header, tex escaped (booktabs).  json: an
 * array of objects, 17 digits, null for undefined.  ERR_FILE where the stream fails. */
int table_write(const Table *table, FILE *out, TableFormat format);

/* Reads a CSV with a header line; a column is integer, number or text by what it holds (a missing
 * cell makes integers numbers and is NaN there).  The table's name is the file's, without folder and
 * ending.  Blank lines and blanks around unquoted cells do not count.  ERR_FILE; ERR_FORMAT with
 * path:line. */
int table_read_csv(Table **out, const char *path);

/* A number as JSON: 17 digits, "null" where it is not finite. */
void json_number(FILE *out, double value);
void json_text(FILE *out, const char *text);        /* quoted and escaped */

#endif
