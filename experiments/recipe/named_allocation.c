/*
 * named_allocation.c - one allocation out of a table of them: by --budget, and by --where for what else tells them apart
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "experiments/recipe/recipe.h"

void named_free(NamedAllocation *named)
{
    for (int i = 0; i < named->n; i++) {
        free(named->layer[i]);
        free(named->choice[i]);
    }
    free(named->layer);
    free(named->choice);
    free(named->bits);
    *named = (NamedAllocation){ 0 };
}

static void named_new(NamedAllocation *out, size_t most)
{
    *out = (NamedAllocation){ NAN, NAN, 0, xcalloc(most, sizeof *out->layer), xcalloc(most, sizeof *out->choice), xcalloc(most, sizeof *out->bits) };
}

static void named_add(NamedAllocation *out, const char *layer, const char *choice, double bits)
{
    out->layer[out->n] = xstrdup(layer);
    out->choice[out->n] = xstrdup(choice);
    out->bits[out->n++] = bits;
}

/* ---- which budget ---- */

static bool same_number(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b) || (isnan(a) && isnan(b)); }

/* "3, 3.5 and 4", each once, those that are numbers; the caller frees. */
static char *list_budgets(const double *budget, int64_t n)
{
    char *text = xstrdup("");
    double *each = xcalloc((size_t)n, sizeof *each);
    int count = 0;
    for (int64_t i = 0; i < n; i++) {
        bool known = isnan(budget[i]);
        for (int k = 0; k < count && !known; k++) known = budget[i] == each[k];
        if (!known) each[count++] = budget[i];
    }
    for (int k = 0; k < count; k++) {
        char *longer = xformat("%s%s%.9g", text, !k ? "" : k + 1 < count ? ", " : " and ", each[k]);
        free(text);
        text = longer;
    }
    free(each);
    return text;
}

/* Which of the n budgets is meant: chosen[n].  NaN where the file does not tell. */
static int choose_budget(bool *chosen, const double *budget, int64_t n, const char *path, const Options *options)
{
    const bool given = options_is_given(options, "budget");
    const double wanted = given ? options_number(options, "budget") : NAN;
    bool any = false, several = false;
    for (int64_t i = 0; i < n; i++) {
        chosen[i] = !given || same_number(budget[i], wanted);
        any |= chosen[i];
        several |= !same_number(budget[i], budget[0]);
    }
    if (any && (given || !several)) return OK;
    char *all = list_budgets(budget, n);
    if (given) err_set(ERR_ARGUMENT, "%s has no allocation for a budget of %.9g; it has %s", path, wanted, all);
    else err_set(ERR_ARGUMENT, "%s has allocations for several budgets: choose one of %s with --budget", path, all);
    free(all);
    return ERR_ARGUMENT;
}

/* ---- which rows ---- */

/* The caller frees. */
static char *cell_text(const Column *column, int64_t row)
{
    if (column->type == COLUMN_TEXT) return xstrdup(column->text[row]);
    return column->type == COLUMN_INTEGER ? xformat("%lld", (long long)column->integer[row]) : xformat("%.9g", column->number[row]);
}

static bool cell_is(const Column *column, int64_t row, const char *value)
{
    char *end, *text = cell_text(column, row);
    const double number = strtod(value, &end);
    const bool equal = !strcmp(text, value) || (column->type == COLUMN_NUMBER && *value && !*end && same_number(column->number[row], number));
    free(text);
    return equal;
}

/* Keeps the rows that every --where COLUMN=VALUE is true of. */
static int apply_where(bool *keep, const Table *table, const char *path, const Options *options)
{
    for (int k = 0; k < options_count(options, "where"); k++) {
        const char *word = options_text_at(options, "where", k), *equals = strchr(word, '=');
        char *name = xformat("%.*s", (int)(equals ? equals - word : 0), word);
        const Column *column = equals ? table_column(table, name) : NULL;
        int64_t left = 0;
        for (int64_t i = 0; column && i < table->n_rows; i++) left += keep[i] = keep[i] && cell_is(column, i, equals + 1);
        free(name);
        if (!equals) FAIL(ERR_ARGUMENT, "--where '%.80s': write it as key=value, for example --where rank=1", word);
        if (!column) FAIL(ERR_ARGUMENT, "--where '%.80s': the allocations of %s have no such key", word, path);
        if (left == 0) FAIL(ERR_ARGUMENT, "--where '%.80s': no allocation of %s is left", word, path);
    }
    return OK;
}

/* Where a layer stands twice, the column that tells which is which: its rank among the best, words, swept keys; not what is the
 * layer's own. */
static const Column *telling_column(const Table *table, int64_t a, int64_t b)
{
    for (int c = 0; c < table->n_columns; c++) {
        const Column *column = &table->column[c];
        const bool own = !strcmp(column->name, "layer") || !strcmp(column->name, "choice") || !strcmp(column->name, "budget");
        const bool tells = column->type == COLUMN_TEXT || column_is_swept(column) || !strcmp(column->name, "rank");
        if (own || !tells) continue;
        char *first = cell_text(column, a), *second = cell_text(column, b);
        const bool differs = strcmp(first, second) != 0;
        free(first);
        free(second);
        if (differs) return column;
    }
    return NULL;
}

static int refuse_twice(const Table *table, int64_t a, int64_t b, const char *path)
{
    const Column *column = telling_column(table, a, b);
    const char *layer = table_text(table, a, "layer");
    if (!column) FAIL(ERR_ARGUMENT, "%s has layer '%s' twice for one budget", path, layer);
    char *first = cell_text(column, a), *second = cell_text(column, b);
    err_set(ERR_ARGUMENT, "%s has several allocations for one budget: choose one with --where, for example --where %s=%s (another is %s)", path, column->name,
            first, second);
    free(first);
    free(second);
    return ERR_ARGUMENT;
}

static int take_rows(NamedAllocation *out, const Table *table, const bool *keep, const char *path)
{
    const Column *bits = table_column(table, "bits"), *average = table_column(table, "average"), *layer = table_column(table, "layer");
    int64_t *row = xcalloc((size_t)table->n_rows, sizeof *row);
    int status = OK;
    named_new(out, (size_t)table->n_rows);
    for (int64_t i = 0; i < table->n_rows && status == OK; i++) {
        if (!keep[i]) continue;
        for (int k = 0; k < out->n && status == OK; k++)
            if (!strcmp(out->layer[k], layer->text[i])) status = refuse_twice(table, row[k], i, path);
        row[out->n] = i;
        named_add(out, layer->text[i], table_text(table, i, "choice"), bits && bits->type == COLUMN_NUMBER ? bits->number[i] : NAN);
        out->budget = table_number(table, i, "budget");
        if (average && average->type == COLUMN_NUMBER) out->average = average->number[i];
    }
    free(row);
    return status;
}

static int check_columns(const Table *table, const char *path)
{
    static const struct { const char *name; ColumnType type; } needed[] = { { "budget", COLUMN_NUMBER }, { "layer", COLUMN_TEXT }, { "choice", COLUMN_TEXT } };
    for (int i = 0; i < 3; i++) {
        const Column *column = table_column(table, needed[i].name);
        if (!column || column->type != needed[i].type) FAIL(ERR_FORMAT, "%s: the table allocations has no column '%s' as it should be", path, needed[i].name);
    }
    if (table->n_rows == 0) FAIL(ERR_FORMAT, "%s: the table allocations has no rows", path);
    return OK;
}

/* --budget is asked for first: of the rows that --where keeps. */
static int choose_rows(bool *keep, const Table *table, const char *path, const Options *options)
{
    for (int64_t i = 0; i < table->n_rows; i++) keep[i] = true;
    TRY(apply_where(keep, table, path, options));
    double *budget = xcalloc((size_t)table->n_rows, sizeof *budget);
    bool *chosen = xcalloc((size_t)table->n_rows, sizeof *chosen);
    int64_t n = 0;
    for (int64_t i = 0; i < table->n_rows; i++)
        if (keep[i]) budget[n++] = table_number(table, i, "budget");
    int status = choose_budget(chosen, budget, n, path, options);
    for (int64_t i = 0, k = 0; i < table->n_rows; i++)
        if (keep[i]) keep[i] = chosen[k++];
    free(budget);
    free(chosen);
    return status;
}

static int read_table(NamedAllocation *out, const Table *table, const char *path, const Options *options)
{
    TRY(check_columns(table, path));
    bool *keep = xcalloc((size_t)table->n_rows, sizeof *keep);
    int status = choose_rows(keep, table, path, options);
    if (status == OK) status = take_rows(out, table, keep, path);
    free(keep);
    return status;
}

static int table_from_results(Table **out, const char *path)
{
    Store *store = NULL;
    TRY(store_open(&store, path, true));
    int status = store_get_table(out, store, "allocations");
    if (status != OK) err_context(status, "%s", path);
    store_close(&store);
    return status;
}

int named_read(NamedAllocation *out, const char *path, const Options *options)
{
    *out = (NamedAllocation){ 0 };
    Table *table = NULL;
    TRY((store_is_file(path) ? table_from_results : allocation_table_from_json)(&table, path));
    int status = read_table(out, table, path, options);
    table_free(table);
    return status;
}
