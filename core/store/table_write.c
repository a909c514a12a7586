#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/base/err.h"
#include "core/store/table.h"

/* ---- json ---- */

void json_number(FILE *out, double value)
{
    if (isfinite(value)) fprintf(out, "%.17g", value);
    else fputs("null", out);
}

void json_text(FILE *out, const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    fputc('"', out);
    while (*at) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &point);
        if (n <= 0) {                   /* not UTF-8: a file name, say; JSON must be */
            fputs("\\ufffd", out);
            at++;
            continue;
        }
        if (point == '"' || point == '\\') fprintf(out, "\\%c", (char)point);
        else if (point == '\n') fputs("\\n", out);
        else if (point == '\t') fputs("\\t", out);
        else if (point < 0x20 || point == 0x7f) fprintf(out, "\\u%04x", (unsigned)point);
        else fwrite(at, 1, (size_t)n, out);
        at += n;
    }
    fputc('"', out);
}

static void json_cell(FILE *out, const Column *column, int64_t row)
{
    switch (column->type) {
    case COLUMN_INTEGER: fprintf(out, "%" PRId64, column->integer[row]); break;
    case COLUMN_NUMBER:  json_number(out, column->number[row]);          break;
    case COLUMN_TEXT:    json_text(out, column->text[row]);              break;
    }
}

static void json_write(const Table *table, FILE *out)
{
    fputc('[', out);
    for (int64_t row = 0; row < table->n_rows; row++) {
        fputs(row ? ",\n {" : "\n {", out);
        for (int c = 0; c < table->n_columns; c++) {
            if (c) fputs(", ", out);
            json_text(out, table->column[c].name);
            fputs(": ", out);
            json_cell(out, &table->column[c], row);
        }
        fputc('}', out);
    }
    fputs(table->n_rows ? "\n]\n" : "]\n", out);
}

/* ---- csv ---- */

/* Quotes also what table_read_csv would trim, so that what is written comes back the same. */
static void csv_text(FILE *out, const char *text)
{
    size_t n = strlen(text);
    int blank_end = n > 0 && (strchr(" \t", text[0]) || strchr(" \t", text[n - 1]));
    if (!blank_end && !strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void csv_cell(FILE *out, const Column *column, int64_t row, int alone)
{
    int empty = (column->type == COLUMN_NUMBER && isnan(column->number[row])) || (column->type == COLUMN_TEXT && !*column->text[row]);
    if (empty) {
        if (alone) fputs("\"\"", out);          /* a blank line would not count as a row */
        return;
    }
    switch (column->type) {
    case COLUMN_INTEGER: fprintf(out, "%" PRId64, column->integer[row]); break;
    case COLUMN_NUMBER:  fprintf(out, "%.17g", column->number[row]);     break;
    case COLUMN_TEXT:    csv_text(out, column->text[row]);               break;
    }
}

static void csv_write(const Table *table, FILE *out)
{
    for (int c = 0; c < table->n_columns; c++) {
        if (c) fputc(',', out);
        csv_text(out, table->column[c].name);
    }
    fputc('\n', out);
    for (int64_t row = 0; row < table->n_rows; row++) {
        for (int c = 0; c < table->n_columns; c++) {
            if (c) fputc(',', out);
            csv_cell(out, &table->column[c], row, table->n_columns == 1);
        }
        fputc('\n', out);
    }
}

/* ---- for reading by people: cells as text, escaped by the format ---- */

static char *cell_shown(const Column *column, int64_t row)
{
    switch (column->type) {
    case COLUMN_INTEGER: return xformat("%" PRId64, column->integer[row]);
    case COLUMN_NUMBER:  return isnan(column->number[row]) ? xstrdup("") : xformat("%.5g", column->number[row]);
    case COLUMN_TEXT:    return xstrdup(column->text[row]);
    }
    return NULL;
}

static char *header_shown(const Column *column)
{
    return *column->unit ? xformat("%s [%s]", column->name, column->unit) : xstrdup(column->name);
}

typedef struct { char special; const char *escaped; } Escape;

/* Replaces each special character by its escape; the list ends with a zero.  Frees text. */
static char *escape(char *text, const Escape *escapes)
{
    char *out = NULL;
    size_t n_out = 0;
    FILE *stream = open_memstream(&out, &n_out);
    assert(stream);
    for (const char *at = text; *at; at++) {
        const Escape *e = escapes;
        while (e->special && e->special != *at) e++;
        if (e->special) fputs(e->escaped, stream);
        else fputc(*at, stream);
    }
    fclose(stream);
    free(text);
    return out;
}

/* ---- markdown ---- */

static const Escape markdown_escapes[] = { { '|', "\\|" }, { '\n', "<br>" }, { '\r', "" }, { 0, NULL } };

static int shown_width(const char *text)
{
    int width = 0;
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate(at, -1, &point);
        width += n > 0 ? utf8proc_charwidth(point) : 1;
        at += n > 0 ? n : 1;
    }
    return width;
}

static void put_times(FILE *out, char c, int n)
{
    while (n-- > 0) fputc(c, out);
}

static void markdown_line(FILE *out, const Table *table, char *const *cell, const int *width)
{
    fputc('|', out);
    for (int c = 0; c < table->n_columns; c++) {
        int padding = width[c] - shown_width(cell[c]), left = table->column[c].type == COLUMN_TEXT;
        fputc(' ', out);
        if (!left) put_times(out, ' ', padding);
        fputs(cell[c], out);
        if (left) put_times(out, ' ', padding);
        fputs(" |", out);
    }
    fputc('\n', out);
}

static void markdown_rule(FILE *out, const Table *table, const int *width)
{
    fputc('|', out);
    for (int c = 0; c < table->n_columns; c++) {
        int left = table->column[c].type == COLUMN_TEXT;
        put_times(out, '-', width[c] + left + 1);
        fputs(left ? "|" : ":|", out);
    }
    fputc('\n', out);
}

static void markdown_write(const Table *table, FILE *out)
{
    int64_t n = table->n_columns, n_cells = (table->n_rows + 1) * n;
    char **cell = xcalloc((unsigned long)n_cells, sizeof *cell);        /* the header is line 0 */
    int *width = xcalloc((unsigned long)n, sizeof *width);
    for (int64_t i = 0; i < n_cells; i++) {
        const Column *column = &table->column[i % n];
        cell[i] = escape(i < n ? header_shown(column) : cell_shown(column, i / n - 1), markdown_escapes);
        int w = shown_width(cell[i]);
        if (w > width[i % n]) width[i % n] = w;
    }
    for (int64_t line = 0; line <= table->n_rows; line++) {
        markdown_line(out, table, cell + line * n, width);
        if (line == 0) markdown_rule(out, table, width);
    }
    for (int64_t i = 0; i < n_cells; i++) free(cell[i]);
    free(cell);
    free(width);
}

/* ---- tex ---- */

/* '[' too: LaTeX would take one that begins a line for an argument of the \\ before it. */
static const Escape tex_escapes[] = {
    { '\\', "\\textbackslash{}" }, { '{', "\\{" }, { '}', "\\}" }, { '$', "\\$" }, { '&', "\\&" },
    { '#', "\\#" }, { '%', "\\%" }, { '_', "\\_" }, { '^', "\\textasciicircum{}" },
    { '~', "\\textasciitilde{}" }, { '<', "\\textless{}" }, { '>', "\\textgreater{}" },
    { '|', "\\textbar{}" }, { '[', "{[}" }, { ']', "{]}" },
    { '\n', " " }, { '\r', "" }, { 0, NULL }
};

/* -1.5e-05 as $-1.5 \times 10^{-5}$, a minus sign where a bare hyphen would stand. */
static void tex_number(FILE *out, const char *text)
{
    const char *exponent = strchr(text, 'e');
    if (strstr(text, "inf")) fprintf(out, "$%s\\infty$", *text == '-' ? "-" : "");
    else if (exponent) fprintf(out, "$%.*s \\times 10^{%d}$", (int)(exponent - text), text, atoi(exponent + 1));
    else if (*text == '-') fprintf(out, "$%s$", text);
    else fputs(text, out);
}

static void tex_cell(FILE *out, const Column *column, int64_t row)
{
    char *text = cell_shown(column, row);
    if (column->type == COLUMN_TEXT) fputs(text = escape(text, tex_escapes), out);
    else tex_number(out, text);
    free(text);
}

static void tex_write(const Table *table, FILE *out)
{
    fputs("\\begin{tabular}{", out);
    for (int c = 0; c < table->n_columns; c++) fputc(table->column[c].type == COLUMN_TEXT ? 'l' : 'r', out);
    fputs("}\n\\toprule\n", out);
    for (int c = 0; c < table->n_columns; c++) {
        char *header = escape(header_shown(&table->column[c]), tex_escapes);
        fprintf(out, "%s%s", c ? " & " : "", header);
        free(header);
    }
    fputs(" \\\\\n\\midrule\n", out);
    for (int64_t row = 0; row < table->n_rows; row++) {
        for (int c = 0; c < table->n_columns; c++) {
            if (c) fputs(" & ", out);
            tex_cell(out, &table->column[c], row);
        }
        fputs(" \\\\\n", out);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", out);
}

int table_write(const Table *table, FILE *out, TableFormat format)
{
    switch (format) {
    case FORMAT_CSV:      csv_write(table, out);      break;
    case FORMAT_MARKDOWN: markdown_write(table, out); break;
    case FORMAT_TEX:      tex_write(table, out);      break;
    case FORMAT_JSON:     json_write(table, out);     break;
    }
    if (fflush(out) != 0 || ferror(out)) FAIL(ERR_FILE, "table %s cannot be written in full (%m)", table->name);
    return OK;
}
