#include "experiments/allocate/choice_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/store/table.h"

/* Where a row stands, for messages: "a.csv:3" or "a.h5, row 2 of choices". */
typedef struct { const Table *table; const char *path; bool in_store; } Source;

void choice_rows_free(ChoiceRows *r)
{
    for (int64_t i = 0; i < r->n_rows; i++) {
        free(r->layer[i]);
        free(r->name[i]);
        if (r->group) free(r->group[i]);
    }
    free(r->layer), free(r->name), free(r->group), free(r->weights), free(r->row_layer), free(r->row_before), free(r->bits), free(r->cost), free(r->cost_se);
    *r = (ChoiceRows){ 0 };
}

static const char *place(const Source *s, int64_t row)
{
    static _Thread_local char text[512];
    snprintf(text, sizeof text, s->in_store ? "%.400s, row %lld of choices" : "%.400s:%lld", s->path, (long long)row + (s->in_store ? 1 : 2));
    return text;
}

/* ---- columns ---- */

static int check_columns(const Source *s)
{
    static const char *const needed[] = { "layer", "weights", "choice", "bits", "cost" };
    for (int i = 0; i < 5; i++) {
        const Column *column = table_column(s->table, needed[i]);
        if (!column) FAIL(ERR_FORMAT, "%s has no column '%s'; needed are layer, weights, choice, bits, cost", s->path, needed[i]);
        const int text = i == 0 || i == 2;
        if (!text && column->type == COLUMN_TEXT) FAIL(ERR_FORMAT, "%s: column '%s' must hold numbers, not '%s'", s->path, needed[i], column->text[0]);
    }
    const Column *error = table_column(s->table, "cost_se");
    if (error && error->type == COLUMN_TEXT) FAIL(ERR_FORMAT, "%s: column 'cost_se' must hold numbers, not '%s'", s->path, error->text[0]);
    for (int i = 0; i < s->table->n_columns; i++)
        if (column_is_swept(&s->table->column[i]))
            FAIL(ERR_FORMAT, "%s: the choices are those of a sweep over '%s'; write them with linearity export %s choices, keep the rows of one "
                 "value, and allocate from that CSV", s->path, s->table->column[i].name, s->path);
    return OK;
}

static double cell(const Table *table, int64_t row, const char *name)
{
    const Column *column = table_column(table, name);
    return column->type == COLUMN_INTEGER ? (double)column->integer[row] : column->number[row];
}

/* A name that happens to be a number reads as one; its text is needed back. */
static char *cell_text(const Table *table, int64_t row, const char *name)
{
    const Column *column = table_column(table, name);
    if (column->type == COLUMN_TEXT) return xstrdup(column->text[row]);
    if (column->type == COLUMN_NUMBER && isnan(column->number[row])) return xstrdup("");
    return column->type == COLUMN_INTEGER ? xformat("%lld", (long long)column->integer[row]) : xformat("%.17g", column->number[row]);
}

static int read_number(double *out, const Source *s, int64_t row, const char *name)
{
    *out = cell(s->table, row, name);
    if (isfinite(*out)) return OK;
    FAIL(ERR_FORMAT, "%s: the cell '%s' is %s", place(s, row), name, isnan(*out) ? "empty or not a number" : "infinite");
}

/* An error that is not known is an empty cell. */
static int read_error(ChoiceRows *r, const Source *s, int64_t row)
{
    if (!r->cost_se) return OK;
    r->cost_se[row] = cell(s->table, row, "cost_se");
    if (isnan(r->cost_se[row])) r->cost_se[row] = 0;
    if (!(r->cost_se[row] >= 0 && isfinite(r->cost_se[row])))
        FAIL(ERR_FORMAT, "%s: the standard error 'cost_se' is %g", place(s, row), r->cost_se[row]);
    return OK;
}

/* ---- layers ---- */

static int layer_of(const ChoiceRows *r, int n_layers, const char *name)
{
    for (int l = n_layers - 1; l >= 0; l--)             /* rows of a layer usually stand together */
        if (!strcmp(r->layer[l], name)) return l;
    return n_layers;
}

/* The layer of row i, entered if it is new; its weights must agree with its earlier rows. */
static int enter_layer(ChoiceRows *r, int *n_layers, int *last, const Source *s, int64_t i)
{
    char *name = cell_text(s->table, i, "layer");
    double weights = cell(s->table, i, "weights");
    int layer = layer_of(r, *n_layers, name), status = OK;
    if (!(weights >= 1) || weights != floor(weights) || weights > 1e15)
        status = err_set(ERR_FORMAT, "%s: weights must be a whole number of at least 1", place(s, i));
    else if (layer < *n_layers && r->weights[layer] != (int64_t)weights)
        status = err_set(ERR_FORMAT, "%s: layer '%s' has %lld weights in an earlier row and %.0f here", place(s, i), name,
                         (long long)r->weights[layer], weights);
    if (status == OK && layer == *n_layers) {
        r->weights[layer] = (int64_t)weights;
        last[layer] = -1;
        r->layer[(*n_layers)++] = name;
        name = NULL;
    }
    free(name);
    r->row_layer[i] = layer;
    if (status == OK) {
        r->row_before[i] = last[layer];
        last[layer] = (int)i;
    }
    return status;
}

static int enter_group(ChoiceRows *r, const Source *s, int64_t i)
{
    if (!r->group) return OK;
    char *text = cell_text(s->table, i, "group"), **known = &r->group[r->row_layer[i]];
    int status = OK;
    if (*known && strcmp(*known, text))
        status = err_set(ERR_FORMAT, "%s: layer '%s' is of group '%s' in an earlier row and of '%s' here", place(s, i), r->layer[r->row_layer[i]],
                         *known, text);
    if (*known) free(text);
    else *known = text;
    return status;
}

static int check_new(const ChoiceRows *r, const Source *s, int64_t row)
{
    for (int i = r->row_before[row]; i >= 0; i = r->row_before[i])
        if (!strcmp(r->name[i], r->name[row])) {
            const char *way = s->in_store ? "; write the table with linearity export, keep one of them, and allocate from that CSV" : "";
            FAIL(ERR_FORMAT, "%s: layer '%s' has the choice '%s' twice%s", place(s, row), r->layer[r->row_layer[row]], r->name[row], way);
        }
    return OK;
}

static int fill(ChoiceRows *out, const Source *s)
{
    TRY(check_columns(s));
    const Table *table = s->table;
    size_t n = (size_t)table->n_rows;
    ChoiceRows r = { .n_rows = table->n_rows, .layer = xcalloc(n, sizeof *r.layer), .name = xcalloc(n, sizeof *r.name),
                     .weights = xcalloc(n, sizeof *r.weights), .row_layer = xcalloc(n, sizeof *r.row_layer),
                     .row_before = xcalloc(n, sizeof *r.row_before), .bits = xcalloc(n, sizeof *r.bits), .cost = xcalloc(n, sizeof *r.cost) };
    if (table_column(table, "cost_se")) r.cost_se = xcalloc(n, sizeof *r.cost_se);
    if (table_column(table, "group")) r.group = xcalloc(n, sizeof *r.group);
    int n_layers = 0, status = OK, *last = xcalloc(n, sizeof *last);
    for (int64_t i = 0; i < table->n_rows && status == OK; i++) {
        status = enter_layer(&r, &n_layers, last, s, i);
        if (status == OK) status = enter_group(&r, s, i);
        if (status == OK) r.name[i] = cell_text(table, i, "choice");
        if (status == OK) status = check_new(&r, s, i);
        if (status == OK) status = read_number(&r.bits[i], s, i, "bits");
        if (status == OK) status = read_number(&r.cost[i], s, i, "cost");
        if (status == OK) status = read_error(&r, s, i);
    }
    free(last);
    r.choices = (ChoiceTable){ .n_layers = n_layers, .layer = (const char *const *)r.layer, .weights = r.weights, .n_choices = (int)table->n_rows,
                               .row_layer = r.row_layer, .row_name = (const char *const *)r.name, .row_bits = r.bits, .row_cost = r.cost };
    if (status == OK) *out = r;
    else choice_rows_free(&r);
    return status;
}

/* ---- files ---- */

static int read_store(Table **out, const char *path)
{
    Store *store = NULL;
    TRY(store_open(&store, path, true));
    int status = store_get_table(out, store, "choices");
    store_close(&store);
    return status;
}

int choice_rows_read(ChoiceRows *out, const char *path)
{
    Table *table = NULL;
    const bool in_store = store_is_file(path);
    TRY(in_store ? read_store(&table, path) : table_read_csv(&table, path));
    const Source source = { table, path, in_store };
    const int status = fill(out, &source);
    table_free(table);
    return status;
}
