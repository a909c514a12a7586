#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/store/record.h"

typedef struct { ColumnType type; const char *name, *unit, *meaning; } ColumnRow;

static const ColumnRow measurement_columns[] = {
    { COLUMN_TEXT,    "key",      "", "SHA-256 of text; equal keys are one measurement" },
    { COLUMN_TEXT,    "text",     "", "all that the result depends on: model, corpus, protocol, precision, seed, perturbation of each layer" },
    { COLUMN_TEXT,    "label",    "", "short name for people" },
    { COLUMN_INTEGER, "windows",  "", "number of windows of text" },
    { COLUMN_INTEGER, "tokens",   "", "number of scored tokens" },
    { COLUMN_NUMBER,  "nll",      "nats/token", "negative log-likelihood, mean over scored tokens" },
    { COLUMN_NUMBER,  "nll_se",   "nats/token", "standard error of nll over windows; NaN for one window" },
    { COLUMN_NUMBER,  "kl",       "nats/token", "Kullback-Leibler divergence of the clean model's next-token distribution to this one's, mean over scored tokens; NaN for the clean model" },
    { COLUMN_NUMBER,  "kl_se",    "nats/token", "standard error of kl over windows; NaN for one window" },
    { COLUMN_NUMBER,  "same_top", "", "share of scored tokens where the most likely one is the clean model's" },
    { COLUMN_INTEGER, "layers",   "", "number of perturbed layers" },
    { COLUMN_TEXT,    "layer",    "", "the perturbed layer where there is one; empty otherwise (all: measurement_layers)" },
    { COLUMN_NUMBER,  "t2",       "", "relative squared error |W^ - W|^2 / |W|^2 of that layer; NaN where there is not one" },
    { COLUMN_NUMBER,  "bits",     "bits/weight", "rate of that layer; NaN for noise, or where there is not one" },
    { 0 }
};

static const ColumnRow layer_columns[] = {
    { COLUMN_INTEGER, "measurement", "", "row in measurements" },
    { COLUMN_INTEGER, "layer",       "", "index of the perturbed layer in the model" },
    { COLUMN_TEXT,    "name",        "", "name of the perturbed layer" },
    { COLUMN_NUMBER,  "t2",          "", "relative squared error |W^ - W|^2 / |W|^2, mean over windows" },
    { COLUMN_NUMBER,  "t2_asked",    "", "the t2 that was asked for; NaN where none was" },
    { COLUMN_NUMBER,  "kappa",       "", "shrinkage -<W^ - W, W> / |W|^2, mean over windows" },
    { COLUMN_NUMBER,  "bits",        "bits/weight", "rate, all overhead counted; NaN for noise" },
    { COLUMN_NUMBER,  "code_bits",   "bits/weight", "rate of the codes alone, without scales and the like; NaN for noise" },
    { 0 }
};

static const ColumnRow window_columns[] = {
    { COLUMN_INTEGER, "measurement", "", "row in measurements" },
    { COLUMN_INTEGER, "window",      "", "number of the window, from 0" },
    { COLUMN_INTEGER, "tokens",      "", "number of scored tokens" },
    { COLUMN_NUMBER,  "nll",         "nats/token", "negative log-likelihood, mean over the window" },
    { COLUMN_NUMBER,  "kl",          "nats/token", "Kullback-Leibler divergence to the clean model, mean over the window; NaN for the clean model" },
    { COLUMN_NUMBER,  "same_top",    "", "share of scored tokens where the most likely one is the clean model's" },
    { 0 }
};

static const ColumnRow timing_columns[] = {
    { COLUMN_INTEGER, "measurement", "", "row in measurements" },
    { COLUMN_NUMBER,  "seconds",     "s", "wall time of the measurement" },
    { 0 }
};

enum { MEASUREMENTS, LAYERS, WINDOWS, FORMS, TIMINGS };
const char *const record_table_names[RECORD_TABLES] = { "measurements", "measurement_layers", "measurement_windows", "measurement_forms", "timings" };

/* That of FORMS, whose columns the records decide, is made by forms_table. */
static const struct { const ColumnRow *columns; const char *meaning; } table_rows[RECORD_TABLES] = {
    [MEASUREMENTS] = { measurement_columns, "one row per measurement: some layers' weights replaced, the text run through, the losses compared" },
    [LAYERS] = { layer_columns, "one row per perturbed layer of each measurement" },
    [WINDOWS] = { window_columns, "one row per window of text of each measurement" },
    [TIMINGS] = { timing_columns, "wall times: the only record of a measurement that differs from one run to the next" },
};

/* ---- records to tables ---- */

static void set_means(Table *table, int64_t row, const Measurement *m)
{
    const struct { const char *mean, *se; const double *x; } quantity[] = { { "nll", "nll_se", m->nll }, { "kl", "kl_se", m->kl }, { "same_top", NULL, m->same_top } };
    for (int i = 0; i < 3; i++) {
        double mean, se;
        weighted_mean(&mean, &se, quantity[i].x, m->tokens, m->n_windows);
        table_set_number(table, row, quantity[i].mean, mean);
        if (quantity[i].se) table_set_number(table, row, quantity[i].se, se);
    }
}

static void add_measurement(Table *table, int index, const Measurement *m)
{
    (void)index;
    int64_t row = table_add_row(table), tokens = 0;
    for (int w = 0; w < m->n_windows; w++) tokens += m->tokens[w];
    table_set_text(table, row, "key", m->key);
    table_set_text(table, row, "text", m->text);
    table_set_text(table, row, "label", m->label);
    table_set_integer(table, row, "windows", m->n_windows);
    table_set_integer(table, row, "tokens", tokens);
    table_set_integer(table, row, "layers", m->n_layers);
    set_means(table, row, m);
    if (m->n_layers != 1) return;
    table_set_text(table, row, "layer", m->layer_name[0]);
    table_set_number(table, row, "t2", m->t2[0]);
    table_set_number(table, row, "bits", m->bits[0]);
}

static void add_layers(Table *table, int index, const Measurement *m)
{
    for (int i = 0; i < m->n_layers; i++) {
        int64_t row = table_add_row(table);
        table_set_integer(table, row, "measurement", index);
        table_set_integer(table, row, "layer", m->layer[i]);
        table_set_text(table, row, "name", m->layer_name[i]);
        table_set_number(table, row, "t2", m->t2[i]);
        table_set_number(table, row, "t2_asked", m->t2_asked[i]);
        table_set_number(table, row, "kappa", m->kappa[i]);
        table_set_number(table, row, "bits", m->bits[i]);
        table_set_number(table, row, "code_bits", m->code_bits[i]);
    }
}

static void add_windows(Table *table, int index, const Measurement *m)
{
    for (int w = 0; w < m->n_windows; w++) {
        int64_t row = table_add_row(table);
        table_set_integer(table, row, "measurement", index);
        table_set_integer(table, row, "window", w);
        table_set_integer(table, row, "tokens", m->tokens[w]);
        table_set_number(table, row, "nll", m->nll[w]);
        table_set_number(table, row, "kl", m->kl[w]);
        table_set_number(table, row, "same_top", m->same_top[w]);
    }
}

static void add_timing(Table *table, int index, const Measurement *m)
{
    int64_t row = table_add_row(table);
    table_set_integer(table, row, "measurement", index);
    table_set_number(table, row, "seconds", m->seconds);
}

Table *record_table(int which, Measurement *const *measurement, int n)
{
    static void (*const add[RECORD_TABLES])(Table *, int, const Measurement *) = { add_measurement, add_layers, add_windows, NULL, add_timing };
    if (which == FORMS) return forms_table(record_table_names[which], measurement, n);
    Table *table = table_new(record_table_names[which], table_rows[which].meaning);
    for (const ColumnRow *c = table_rows[which].columns; c->name; c++) table_add_column(table, c->type, c->name, c->unit, c->meaning);
    for (int i = 0; i < n; i++) add[which](table, i, measurement[i]);
    return table;
}

/* ---- tables to records ---- */

/* Files from before the column are read all the same. */
static bool is_newer(const char *column) { return !strcmp(column, "code_bits"); }

static int check_columns(int which, const Table *table)
{
    const char *name = record_table_names[which];
    if (which == FORMS) return table ? forms_check_columns(table) : OK;
    if (!table) FAIL(ERR_FORMAT, "the table %s is missing", name);
    for (const ColumnRow *c = table_rows[which].columns; c->name; c++) {
        const Column *column = table_column(table, c->name);
        if (!column && is_newer(c->name)) continue;
        if (!column) FAIL(ERR_FORMAT, "the column %s/%s is missing", name, c->name);
        if (column->type != c->type) FAIL(ERR_FORMAT, "the column %s/%s has the wrong type", name, c->name);
    }
    return OK;
}

/* Do `count` rows from `first` on belong to this measurement, and number windows in order? */
static int check_rows(int which, const Table *table, int64_t first, int64_t count, int64_t measurement)
{
    if (count < 0 || count > INT_MAX || count > table->n_rows - first)
        FAIL(ERR_FORMAT, "measurement %lld has %lld rows in %s, which has %lld more", (long long)measurement, (long long)count,
             table->name, (long long)(table->n_rows - first));
    for (int64_t i = 0; i < count; i++) {
        bool in_order = table_integer(table, first + i, "measurement") == measurement;
        if (which == WINDOWS) in_order = in_order && table_integer(table, first + i, "window") == i;
        if (which == LAYERS) in_order = in_order && llabs(table_integer(table, first + i, "layer")) <= INT_MAX;
        if (!in_order) FAIL(ERR_FORMAT, "row %lld of %s is not the one that measurement %lld needs", (long long)(first + i), table->name, (long long)measurement);
    }
    return OK;
}

static void *slice(const void *array, int64_t first, int n, size_t size)
{
    void *copy = xmalloc((size_t)n * size);
    return n ? memcpy(copy, (const char *)array + (size_t)first * size, (size_t)n * size) : copy;
}

static double *numbers(const Table *table, const char *column, int64_t first, int n)
{
    if (!table_column(table, column)) return undefined_numbers(n);
    return slice(table_column(table, column)->number, first, n, sizeof(double));
}

static int read_layers(Measurement *m, const Table *table, int64_t first, int64_t n, int64_t measurement)
{
    TRY(check_rows(LAYERS, table, first, n, measurement));
    m->n_layers = (int)n;
    m->t2 = numbers(table, "t2", first, m->n_layers);
    m->t2_asked = numbers(table, "t2_asked", first, m->n_layers);
    m->kappa = numbers(table, "kappa", first, m->n_layers);
    m->bits = numbers(table, "bits", first, m->n_layers);
    m->code_bits = numbers(table, "code_bits", first, m->n_layers);
    m->layer = xcalloc((unsigned long)n, sizeof *m->layer);
    m->layer_name = xcalloc((unsigned long)n, sizeof *m->layer_name);
    for (int i = 0; i < m->n_layers; i++) {
        m->layer[i] = (int)table_integer(table, first + i, "layer");
        m->layer_name[i] = xstrdup(table_text(table, first + i, "name"));
    }
    return OK;
}

static int read_windows(Measurement *m, const Table *table, int64_t first, int64_t n, int64_t measurement)
{
    TRY(check_rows(WINDOWS, table, first, n, measurement));
    m->n_windows = (int)n;
    m->tokens = slice(table_column(table, "tokens")->integer, first, m->n_windows, sizeof *m->tokens);
    m->nll = numbers(table, "nll", first, m->n_windows);
    m->kl = numbers(table, "kl", first, m->n_windows);
    m->same_top = numbers(table, "same_top", first, m->n_windows);
    return OK;
}

static int read_measurement(Measurement *m, const Table *const *tables, int64_t row, int64_t layer_row, int64_t window_row)
{
    const Table *table = tables[MEASUREMENTS];
    const char *key = table_text(table, row, "key");
    if (strlen(key) != HASH_TEXT - 1) FAIL(ERR_FORMAT, "measurement %lld has no key of %d digits", (long long)row, HASH_TEXT - 1);
    memcpy(m->key, key, HASH_TEXT);
    TRY(check_rows(TIMINGS, tables[TIMINGS], row, 1, row));
    TRY(read_layers(m, tables[LAYERS], layer_row, table_integer(table, row, "layers"), row));
    TRY(read_windows(m, tables[WINDOWS], window_row, table_integer(table, row, "windows"), row));
    m->text = xstrdup(table_text(table, row, "text"));
    m->label = xstrdup(table_text(table, row, "label"));
    m->seconds = table_number(tables[TIMINGS], row, "seconds");
    return OK;
}

int records_from_tables(Measurement ***out, int *n, const Table *const *tables)
{
    for (int t = 0; t < RECORD_TABLES; t++) TRY(check_columns(t, tables[t]));
    int64_t count = tables[MEASUREMENTS]->n_rows, layer_row = 0, window_row = 0, form_row = 0, done = 0;
    const Table *forms = tables[FORMS];
    if (count > INT_MAX) FAIL(ERR_FORMAT, "%lld measurements are too many", (long long)count);
    Measurement **record = xcalloc((unsigned long)count, sizeof *record);
    int status = OK;
    while (done < count && status == OK) {
        Measurement *m = record[done] = xcalloc(1, sizeof *m);
        status = read_measurement(m, tables, done, layer_row, window_row);
        if (status == OK && forms) status = forms_read(m, &form_row, forms, done);
        done++;
        layer_row += m->n_layers;
        window_row += m->n_windows;
    }
    if (status == OK && (layer_row != tables[LAYERS]->n_rows || window_row != tables[WINDOWS]->n_rows))
        status = err_set(ERR_FORMAT, "there are layers or windows of no measurement");
    if (status == OK && forms) status = forms_check_end(form_row, forms, count);
    if (status == OK) {
        *out = record;
        *n = (int)count;
        return OK;
    }
    for (int64_t i = 0; i < done; i++) {
        measurement_free(record[i]);
        free(record[i]);
    }
    free(record);
    return status;
}
