#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/hdf5_table.h"
#include "core/store/record.h"

enum { MEASUREMENT, LAYER, WINDOW, FIXED };     /* the first columns; one per form follows */
static const struct { const char *name, *meaning; } fixed[FIXED] = {
    { "measurement", "row in measurements" },
    { "layer",       "index of the layer in the model" },
    { "window",      "number of the window, from 0" },
};

static bool is_fixed(const char *name)
{
    for (int c = 0; c < FIXED; c++)
        if (strcmp(name, fixed[c].name) == 0) return true;
    return false;
}

/* Numbers per form.  Neither factor passes INT_MAX. */
static int64_t n_cells(const Measurement *m) { return (int64_t)m->n_layers * m->n_windows; }

/* ---- what a record may hold ---- */

bool forms_fit(const Measurement *m)
{
    for (int f = 0; f < m->n_forms; f++) {
        if (hdf5_check_name("form", m->form_name[f]) != OK || is_fixed(m->form_name[f])) return false;
        for (int g = 0; g < f; g++)
            if (strcmp(m->form_name[f], m->form_name[g]) == 0) return false;
    }
    return m->n_forms == 0 || n_cells(m) > 0;
}

int forms_check_finite(const Measurement *m)
{
    for (int f = 0; f < m->n_forms; f++)
        for (int64_t i = 0; i < n_cells(m); i++) {
            double value = m->form[f * n_cells(m) + i];
            if (isfinite(value)) continue;
            FAIL(ERR_ARGUMENT, "the form %s of layer %s in window %lld is %g, not a finite number", m->form_name[f],
                 m->layer_name[i / m->n_windows], (long long)(i % m->n_windows), value);
        }
    return OK;
}

/* ---- records to a table ---- */

static void add_columns(Table *table, Measurement *const *measurement, int n)
{
    for (int c = 0; c < FIXED; c++) table_add_column(table, COLUMN_INTEGER, fixed[c].name, "", fixed[c].meaning);
    for (int i = 0; i < n; i++)
        for (int f = 0; f < measurement[i]->n_forms; f++) {
            const char *name = measurement[i]->form_name[f];
            if (!table_column(table, name)) table_add_column(table, COLUMN_NUMBER, name, "", "the form of this name; NaN where the measurement does not have it");
        }
}

static void add_cells(Table *table, int index, const Measurement *m)
{
    int64_t first = table->n_rows, n = n_cells(m);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = table_add_row(table);
        table->column[MEASUREMENT].integer[row] = index;
        table->column[LAYER].integer[row] = m->layer[i / m->n_windows];
        table->column[WINDOW].integer[row] = i % m->n_windows;
    }
    for (int f = 0; f < m->n_forms; f++)
        memcpy(table_column(table, m->form_name[f])->number + first, m->form + f * n, (size_t)n * sizeof *m->form);
}

Table *forms_table(const char *name, Measurement *const *measurement, int n)
{
    Table *table = table_new(name, "one row per layer and window of each measurement that has forms: numbers that a backward pass left there");
    add_columns(table, measurement, n);
    for (int i = 0; i < n; i++)
        if (measurement[i]->n_forms > 0) add_cells(table, i, measurement[i]);
    return table;
}

/* ---- a table to records ---- */

int forms_check_columns(const Table *table)
{
    for (int c = 0; c < FIXED; c++)
        if (!table_column(table, fixed[c].name)) FAIL(ERR_FORMAT, "the column %s/%s is missing", table->name, fixed[c].name);
    for (int c = 0; c < table->n_columns; c++) {
        const Column *column = &table->column[c];
        if (column->type != (is_fixed(column->name) ? COLUMN_INTEGER : COLUMN_NUMBER))
            FAIL(ERR_FORMAT, "the column %s/%s has the wrong type", table->name, column->name);
    }
    return OK;
}

/* Are the rows from `first` on those of every layer and window of this measurement, in order? */
static int check_cells(const Measurement *m, const Table *table, int64_t first, int64_t index)
{
    const int64_t *measurement = table_column(table, "measurement")->integer + first;
    const int64_t *layer = table_column(table, "layer")->integer + first, *window = table_column(table, "window")->integer + first;
    int64_t left = table->n_rows - first;
    for (int64_t i = 0; i < n_cells(m) && i < left; i++)
        if (measurement[i] != index || layer[i] != m->layer[i / m->n_windows] || window[i] != i % m->n_windows)
            FAIL(ERR_FORMAT, "row %lld of %s is not the one that measurement %lld needs", (long long)(first + i), table->name, (long long)index);
    if (n_cells(m) > left)
        FAIL(ERR_FORMAT, "measurement %lld needs %lld rows of %s from row %lld on, which has %lld more", (long long)index, (long long)n_cells(m),
             table->name, (long long)first, (long long)left);
    return OK;
}

static void add_form(Measurement *m, const char *name, const double *value)
{
    size_t n = (size_t)n_cells(m), f = (size_t)m->n_forms++;
    m->form_name = xrealloc(m->form_name, (f + 1) * sizeof *m->form_name);
    m->form = xrealloc(m->form, (f + 1) * n * sizeof *m->form);
    m->form_name[f] = xstrdup(name);
    memcpy(m->form + f * n, value, n * sizeof *m->form);
}

/* The first cell says whether the measurement has this form; the others must agree. */
static int read_form(Measurement *m, const Table *table, const Column *column, int64_t first, int64_t index)
{
    const double *value = column->number + first;
    bool has = !isnan(value[0]);
    for (int64_t i = 0; i < n_cells(m); i++)
        if (has ? !isfinite(value[i]) : !isnan(value[i]))
            FAIL(ERR_FORMAT, "row %lld of %s: %s must be finite in all rows of measurement %lld, or NaN in all of them", (long long)(first + i),
                 table->name, column->name, (long long)index);
    if (has) add_form(m, column->name, value);
    return OK;
}

int forms_read(Measurement *m, int64_t *row, const Table *table, int64_t index)
{
    int64_t first = *row;
    if (first == table->n_rows || table_integer(table, first, "measurement") != index) return OK;
    if (n_cells(m) == 0) FAIL(ERR_FORMAT, "row %lld of %s is of measurement %lld, which has no layers or no windows", (long long)first, table->name, (long long)index);
    TRY(check_cells(m, table, first, index));
    for (int c = 0; c < table->n_columns; c++)
        if (!is_fixed(table->column[c].name)) TRY(read_form(m, table, &table->column[c], first, index));
    if (m->n_forms == 0) FAIL(ERR_FORMAT, "row %lld of %s holds no form", (long long)first, table->name);
    *row += n_cells(m);
    return OK;
}

int forms_check_end(int64_t row, const Table *table, int64_t n_measurements)
{
    if (row == table->n_rows) return OK;
    int64_t index = table_integer(table, row, "measurement");
    if (index < 0 || index >= n_measurements)
        FAIL(ERR_FORMAT, "row %lld of %s is of measurement %lld, where there are %lld", (long long)row, table->name, (long long)index, (long long)n_measurements);
    FAIL(ERR_FORMAT, "row %lld of %s is of measurement %lld, but out of order", (long long)row, table->name, (long long)index);
}
