#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/record.h"

static void set(Provenance *provenance, const char *name, char *value)
{
    for (int i = 0; i < provenance->n; i++)
        if (strcmp(provenance->name[i], name) == 0) {
            free(provenance->value[i]);
            provenance->value[i] = value;
            return;
        }
    unsigned long n = (unsigned long)++provenance->n;
    provenance->name = xrealloc(provenance->name, n * sizeof *provenance->name);
    provenance->value = xrealloc(provenance->value, n * sizeof *provenance->value);
    provenance->name[n - 1] = xstrdup(name);
    provenance->value[n - 1] = value;
}

void provenance_add(Provenance *provenance, const char *name, const char *format, ...)
{
    char *value = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&value, format, args);
    va_end(args);
    assert(n >= 0 && *name && !strchr(name, '/') && strcmp(name, "run") != 0 && "the name becomes a column of /runs");
    (void)n;
    set(provenance, name, value);
}

void provenance_free(Provenance *provenance)
{
    for (int i = 0; i < provenance->n; i++) {
        free(provenance->name[i]);
        free(provenance->value[i]);
    }
    free(provenance->name);
    free(provenance->value);
    *provenance = (Provenance){ 0 };
}

void provenance_copy(Provenance *out, const Provenance *from)
{
    Provenance copy = { 0 };
    for (int i = 0; i < from->n; i++) provenance_add(&copy, from->name[i], "%s", from->value[i]);
    provenance_free(out);
    *out = copy;
}

Table *runs_table(const Provenance *runs, int n)
{
    Table *table = table_new("runs", "one row for each opening that measured something; empty where a run did not record it");
    table_add_column(table, COLUMN_INTEGER, "run", "", "number of the run, from 0");
    for (int run = 0; run < n; run++)
        for (int i = 0; i < runs[run].n; i++)
            if (!table_column(table, runs[run].name[i])) table_add_column(table, COLUMN_TEXT, runs[run].name[i], "", "");
    for (int run = 0; run < n; run++) {
        int64_t row = table_add_row(table);
        table_set_integer(table, row, "run", run);
        for (int i = 0; i < runs[run].n; i++) table_set_text(table, row, runs[run].name[i], runs[run].value[i]);
    }
    return table;
}

int runs_from_table(Provenance **out, int *n, const Table *table)
{
    for (int c = 0; c < table->n_columns; c++) {
        const char *name = table->column[c].name;
        ColumnType type = strcmp(name, "run") == 0 ? COLUMN_INTEGER : COLUMN_TEXT;
        if (table->column[c].type != type) FAIL(ERR_FORMAT, "the column runs/%s has the wrong type", name);
    }
    if (table->n_rows > INT_MAX) FAIL(ERR_FORMAT, "%lld runs are too many", (long long)table->n_rows);
    *n = (int)table->n_rows;
    *out = xcalloc((unsigned long)table->n_rows, sizeof **out);
    for (int run = 0; run < *n; run++)
        for (int c = 0; c < table->n_columns; c++) {
            const Column *column = &table->column[c];
            if (column->type == COLUMN_TEXT && *column->text[run]) provenance_add(&(*out)[run], column->name, "%s", column->text[run]);
        }
    return OK;
}
