#include "core/store/table.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

bool column_is_swept(const Column *column) { return strcmp(column->meaning, SWEPT_MEANING) == 0; }

Table *table_new(const char *name, const char *meaning)
{
    Table *table = xcalloc(1, sizeof *table);
    table->name = xstrdup(name);
    table->meaning = xstrdup(meaning);
    return table;
}

static void column_free(Column *column, int64_t n_rows)
{
    if (column->text)
        for (int64_t i = 0; i < n_rows; i++) free(column->text[i]);
    free(column->text);
    free(column->integer);
    free(column->number);
    free(column->name);
    free(column->unit);
    free(column->meaning);
}

void table_free(Table *table)
{
    if (!table) return;
    for (int c = 0; c < table->n_columns; c++) column_free(&table->column[c], table->n_rows);
    free(table->column);
    free(table->name);
    free(table->meaning);
    free(table);
}

static void column_reserve(Column *column, int64_t capacity)
{
    unsigned long n = (unsigned long)capacity;
    switch (column->type) {
    case COLUMN_INTEGER: column->integer = xrealloc(column->integer, n * sizeof *column->integer); break;
    case COLUMN_NUMBER:  column->number = xrealloc(column->number, n * sizeof *column->number);    break;
    case COLUMN_TEXT:    column->text = xrealloc(column->text, n * sizeof *column->text);          break;
    }
}

static void cell_init(Column *column, int64_t row)
{
    switch (column->type) {
    case COLUMN_INTEGER: column->integer[row] = 0;       break;
    case COLUMN_NUMBER:  column->number[row] = NAN;      break;
    case COLUMN_TEXT:    column->text[row] = xstrdup(""); break;
    }
}

int table_add_column(Table *table, ColumnType type, const char *name, const char *unit, const char *meaning)
{
    assert(!table_column(table, name) && "a column's name is its own");
    int index = table->n_columns++;
    table->column = xrealloc(table->column, (unsigned long)table->n_columns * sizeof *table->column);
    Column *column = &table->column[index];
    *column = (Column){ .name = xstrdup(name), .unit = xstrdup(unit), .meaning = xstrdup(meaning), .type = type };
    if (table->n_rows) column_reserve(column, table->capacity);
    for (int64_t row = 0; row < table->n_rows; row++) cell_init(column, row);
    return index;
}

int64_t table_add_row(Table *table)
{
    if (table->n_rows == table->capacity || table->n_rows == 0) {
        table->capacity = table->n_rows == 0 ? 16 : 2 * table->capacity;
        for (int c = 0; c < table->n_columns; c++) column_reserve(&table->column[c], table->capacity);
    }
    int64_t row = table->n_rows++;
    for (int c = 0; c < table->n_columns; c++) cell_init(&table->column[c], row);
    return row;
}

Table *table_copy(const Table *table)
{
    Table *copy = table_new(table->name, table->meaning);
    for (int c = 0; c < table->n_columns; c++) {
        const Column *column = &table->column[c];
        table_add_column(copy, column->type, column->name, column->unit, column->meaning);
    }
    for (int64_t row = 0; row < table->n_rows; row++) {
        table_add_row(copy);
        for (int c = 0; c < table->n_columns; c++) {
            const Column *from = &table->column[c];
            Column *to = &copy->column[c];
            switch (from->type) {
            case COLUMN_INTEGER: to->integer[row] = from->integer[row]; break;
            case COLUMN_NUMBER:  to->number[row] = from->number[row];   break;
            case COLUMN_TEXT:    free(to->text[row]); to->text[row] = xstrdup(from->text[row]); break;
            }
        }
    }
    return copy;
}

const Column *table_column(const Table *table, const char *name)
{
    for (int c = 0; c < table->n_columns; c++)
        if (strcmp(table->column[c].name, name) == 0) return &table->column[c];
    return NULL;
}

static const Column *cell_column(const Table *table, int64_t row, const char *name, ColumnType type)
{
    const Column *column = table_column(table, name);
    assert(column && column->type == type && "the column exists and has this type");
    assert(row >= 0 && row < table->n_rows);
    (void)row, (void)type;
    return column;
}

void table_set_integer(Table *table, int64_t row, const char *column, int64_t value)
{
    cell_column(table, row, column, COLUMN_INTEGER)->integer[row] = value;
}

void table_set_number(Table *table, int64_t row, const char *column, double value)
{
    cell_column(table, row, column, COLUMN_NUMBER)->number[row] = value;
}

void table_set_text(Table *table, int64_t row, const char *column, const char *value)
{
    char **cell = &cell_column(table, row, column, COLUMN_TEXT)->text[row];
    char *text = xstrdup(value);        /* before the old one goes: value may be it */
    free(*cell);
    *cell = text;
}

double table_number(const Table *table, int64_t row, const char *column)
{
    return cell_column(table, row, column, COLUMN_NUMBER)->number[row];
}

int64_t table_integer(const Table *table, int64_t row, const char *column)
{
    return cell_column(table, row, column, COLUMN_INTEGER)->integer[row];
}

const char *table_text(const Table *table, int64_t row, const char *column)
{
    return cell_column(table, row, column, COLUMN_TEXT)->text[row];
}
