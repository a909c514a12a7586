#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/durable.h"
#include "core/store/table.h"

typedef struct {
    const char *path, *at, *end;    /* the rest of the text, which ends with a zero at `end`       */
    int line;
} CsvReader;

typedef struct { char **cell; int n, line; } CsvRow;

static void row_free(CsvRow *row)
{
    for (int i = 0; i < row->n; i++) free(row->cell[i]);
    free(row->cell);
    *row = (CsvRow){ 0 };
}

static void row_add(CsvRow *row, char *cell)
{
    row->cell = xrealloc(row->cell, (unsigned long)(row->n + 1) * sizeof *row->cell);
    row->cell[row->n++] = cell;
}

static bool at_line_end(const CsvReader *reader)
{
    return reader->at == reader->end || *reader->at == '\n' || (*reader->at == '\r' && reader->at[1] == '\n');
}

static void skip_line_end(CsvReader *reader)
{
    if (reader->at == reader->end) return;
    reader->at += *reader->at == '\r' ? 2 : 1;
    reader->line++;
}

static void skip_blanks(CsvReader *reader)
{
    while (*reader->at == ' ' || *reader->at == '\t') reader->at++;
}

/* Stands behind the opening quote; leaves behind the closing one.  A doubled quote stands for one. */
static int quoted_cell(char **out, CsvReader *reader)
{
    const char *stop = reader->at;
    while (stop < reader->end && (*stop != '"' || stop[1] == '"')) stop += *stop == '"' ? 2 : 1;
    if (stop >= reader->end) FAIL(ERR_FORMAT, "%s:%d: a quote is opened and never closed", reader->path, reader->line);
    char *cell = xmalloc((size_t)(stop - reader->at) + 1), *put = cell;
    for (; reader->at < stop; reader->at++) {
        if (*reader->at == '"') reader->at++;
        if (*reader->at == '\n') reader->line++;
        *put++ = *reader->at;
    }
    *put = '\0';
    reader->at = stop + 1;
    *out = cell;
    return OK;
}

static int plain_cell(char **out, CsvReader *reader)
{
    const char *start = reader->at;
    while (!at_line_end(reader) && *reader->at != ',' && *reader->at != '"') reader->at++;
    if (*reader->at == '"') FAIL(ERR_FORMAT, "%s:%d: a quote inside an unquoted cell; quote the whole cell and double the quote", reader->path, reader->line);
    const char *stop = reader->at;
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    size_t n = (size_t)(stop - start);
    *out = memcpy(xcalloc(n + 1, 1), start, n);
    return OK;
}

static int read_cell(char **out, CsvReader *reader)
{
    skip_blanks(reader);
    if (*reader->at != '"') return plain_cell(out, reader);
    reader->at++;
    TRY(quoted_cell(out, reader));
    skip_blanks(reader);
    if (at_line_end(reader) || *reader->at == ',') return OK;
    free(*out);
    FAIL(ERR_FORMAT, "%s:%d: text after a closing quote", reader->path, reader->line);
}

/* The next line that is not blank; no cells at the end of the text.  A cell may span lines. */
static int read_row(CsvRow *row, CsvReader *reader)
{
    *row = (CsvRow){ 0 };
    for (skip_blanks(reader); at_line_end(reader); skip_blanks(reader)) {
        if (reader->at == reader->end) return OK;
        skip_line_end(reader);
    }
    row->line = reader->line;
    for (;;) {
        char *cell = NULL;
        int status = read_cell(&cell, reader);
        if (status != OK) {
            row_free(row);
            return status;
        }
        row_add(row, cell);
        if (at_line_end(reader)) break;
        reader->at++;                   /* the comma */
    }
    skip_line_end(reader);
    return OK;
}

/* ---- rows to columns ---- */

/* Is the cell a number, and a whole one that int64 holds?  Hexadecimal is text. */
static bool is_number(const char *cell, double *value)
{
    char *end;
    if (strpbrk(cell, "xXpP")) return false;
    *value = strtod(cell, &end);
    return end != cell && *end == '\0';
}

static bool is_integer(const char *cell, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(cell, &end, 10);
    return end != cell && *end == '\0' && errno == 0;
}

static ColumnType type_of_cells(const CsvRow *row, int64_t n_rows, int column)
{
    bool integers = n_rows > 0;
    for (int64_t i = 0; i < n_rows; i++) {
        const char *cell = row[i].cell[column];
        double number;
        int64_t integer;
        if (*cell && !is_number(cell, &number)) return COLUMN_TEXT;
        integers = integers && is_integer(cell, &integer);
    }
    return integers ? COLUMN_INTEGER : COLUMN_NUMBER;
}

static void set_cell(Column *column, int64_t row, const char *cell)
{
    switch (column->type) {
    case COLUMN_INTEGER: is_integer(cell, &column->integer[row]); break;
    case COLUMN_NUMBER:
        if (*cell) is_number(cell, &column->number[row]);
        break;
    case COLUMN_TEXT:
        free(column->text[row]);
        column->text[row] = xstrdup(cell);
        break;
    }
}

static int check_header(const CsvRow *header, const char *path)
{
    if (header->n == 0) FAIL(ERR_FORMAT, "%s:1: empty; a header line with the columns' names is missing", path);
    for (int c = 0; c < header->n; c++) {
        if (!*header->cell[c]) FAIL(ERR_FORMAT, "%s:%d: column %d has no name", path, header->line, c + 1);
        for (int d = 0; d < c; d++)
            if (strcmp(header->cell[c], header->cell[d]) == 0)
                FAIL(ERR_FORMAT, "%s:%d: two columns are named '%s'", path, header->line, header->cell[c]);
    }
    if (header->n == 1 && strpbrk(header->cell[0], ";\t"))
        FAIL(ERR_FORMAT, "%s:%d: the cells of a CSV file are separated by commas", path, header->line);
    return OK;
}

static Table *make_table(const char *path, const CsvRow *header, const CsvRow *row, int64_t n_rows)
{
    const char *slash = strrchr(path, '/');
    char *name = xstrdup(slash ? slash + 1 : path), *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = '\0';
    Table *table = table_new(name, path);
    free(name);
    for (int c = 0; c < header->n; c++) table_add_column(table, type_of_cells(row, n_rows, c), header->cell[c], "", "");
    for (int64_t i = 0; i < n_rows; i++) {
        table_add_row(table);
        for (int c = 0; c < header->n; c++) set_cell(&table->column[c], i, row[i].cell[c]);
    }
    return table;
}

typedef struct { CsvRow header, *row; int64_t n_rows, capacity; } CsvFile;

static int read_rows(CsvFile *file, CsvReader *reader)
{
    TRY(read_row(&file->header, reader));
    TRY(check_header(&file->header, reader->path));
    for (;;) {
        CsvRow row;
        TRY(read_row(&row, reader));
        if (row.n == 0) return OK;
        if (file->n_rows == file->capacity) {
            file->capacity = 2 * file->capacity + 64;
            file->row = xrealloc(file->row, (unsigned long)file->capacity * sizeof *file->row);
        }
        file->row[file->n_rows++] = row;
        if (row.n != file->header.n)
            FAIL(ERR_FORMAT, "%s:%d: %d cell%s where the header has %d", reader->path, row.line, row.n, row.n == 1 ? "" : "s", file->header.n);
    }
}

/* The file with a zero behind it, so that looking one character ahead is safe. */
static int read_text(char **out, size_t *n, const char *path)
{
    uint8_t *data;
    TRY(durable_read(&data, n, path));
    if (!data) FAIL(ERR_FILE, "%s: there is no such file", path);
    if (memchr(data, '\0', *n)) {
        free(data);
        FAIL(ERR_FORMAT, "%s: not a CSV file: it has zero bytes", path);
    }
    *out = xrealloc(data, *n + 1);
    (*out)[*n] = '\0';
    return OK;
}

int table_read_csv(Table **out, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    TRY(read_text(&text, &n, path));
    size_t mark = strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;          /* a byte order mark */
    CsvReader reader = { path, text + mark, text + n, 1 };
    CsvFile file = { 0 };
    int status = read_rows(&file, &reader);
    if (status == OK) *out = make_table(path, &file.header, file.row, file.n_rows);
    row_free(&file.header);
    for (int64_t i = 0; i < file.n_rows; i++) row_free(&file.row[i]);
    free(file.row);
    free(text);
    return status;
}
