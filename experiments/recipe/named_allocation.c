/*
 * named_allocation.c - one allocation from the JSON of `allocate` or from a results file
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/json.h"
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

static bool same_budget(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

/* "3, 3.5 and 4", each once; the caller frees. */
static char *list_budgets(const double *budget, int64_t n)
{
    char *text = xstrdup("");
    double *each = xcalloc((size_t)n, sizeof *each);
    int count = 0;
    for (int64_t i = 0; i < n; i++) {
        bool known = false;
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

/* Which of the n budgets, each NaN or a number, is meant.  chosen[n]; returns how many budgets differ among them. */
static int choose_budget(bool *chosen, const double *budget, int64_t n, const char *path, const Options *options)
{
    const bool given = options_is_given(options, "budget");
    const double wanted = given ? options_number(options, "budget") : NAN;
    bool any = false, several = false;
    for (int64_t i = 0; i < n; i++) {
        chosen[i] = !given || same_budget(budget[i], wanted);
        any |= chosen[i];
        several |= budget[i] != budget[0] && !(isnan(budget[i]) && isnan(budget[0]));
    }
    if (any && (given || !several)) return OK;
    char *all = list_budgets(budget, n);
    if (given) err_set(ERR_ARGUMENT, "%s has no allocation for a budget of %.9g; it has %s", path, wanted, all);
    else err_set(ERR_ARGUMENT, "%s has allocations for several budgets: choose one of %s with --budget", path, all);
    free(all);
    return ERR_ARGUMENT;
}

/* ---- JSON ---- */

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int read_choices(NamedAllocation *out, json_t *allocation, const char *path)
{
    json_t *choices = json_object_get(allocation, "choices"), *value;
    const char *layer;
    if (!json_is_object(choices) || json_object_size(choices) == 0) FAIL(ERR_FORMAT, "%s: an allocation has no 'choices', a name for each layer", path);
    named_new(out, json_object_size(choices));
    out->budget = number_of(allocation, "budget");
    out->average = number_of(allocation, "bits");
    json_object_foreach(choices, layer, value) {
        if (!json_is_string(value)) FAIL(ERR_FORMAT, "%s: the choice of layer '%s' is no string", path, layer);
        named_add(out, layer, json_string_value(value), NAN);
    }
    return OK;
}

static int choose_allocation(NamedAllocation *out, json_t *list, const char *path, const Options *options)
{
    const size_t n = json_array_size(list);
    double *budget = xcalloc(n, sizeof *budget);
    bool *chosen = xcalloc(n, sizeof *chosen);
    for (size_t i = 0; i < n; i++) budget[i] = number_of(json_array_get(list, i), "budget");
    int status = choose_budget(chosen, budget, (int64_t)n, path, options), count = 0;
    json_t *one = NULL;
    for (size_t i = 0; i < n; i++)
        if (chosen[i]) one = json_array_get(list, i), count++;
    free(budget);
    free(chosen);
    TRY(status);
    if (count > 1) FAIL(ERR_ARGUMENT, "%s has %d allocations for one budget: leave one of them in it", path, count);
    return read_choices(out, one, path);
}

static int read_json(NamedAllocation *out, const char *path, const Options *options)
{
    json_t *file;
    if (options_is_given(options, "where")) FAIL(ERR_ARGUMENT, "--where chooses rows of a results file, and %s is none", path);
    TRY(json_object_from_file(&file, path));
    json_t *list = json_object_get(file, "allocations");
    int status = OK;
    if (!json_is_array(list) || json_array_size(list) == 0)
        status = err_set(ERR_FORMAT, "%s has no 'allocations', a list as linearity allocate --json prints it", path);
    if (status == OK) status = choose_allocation(out, list, path, options);
    json_decref(file);
    return status;
}

/* ---- a results file ---- */

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
    const bool equal = !strcmp(text, value) || (column->type == COLUMN_NUMBER && *value && !*end && same_budget(column->number[row], number));
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
        if (!equals) FAIL(ERR_ARGUMENT, "--where '%.80s': write it as column=value, for example --where rule=additive", word);
        if (!column) FAIL(ERR_ARGUMENT, "--where '%.80s': the table allocations of %s has no such column", word, path);
        if (left == 0) FAIL(ERR_ARGUMENT, "--where '%.80s': no row of the table allocations of %s is left", word, path);
    }
    return OK;
}

/* Where a layer stands twice, the column that tells which is which: swept keys and words, not what is the layer's own. */
static const Column *telling_column(const Table *table, int64_t a, int64_t b)
{
    for (int c = 0; c < table->n_columns; c++) {
        const Column *column = &table->column[c];
        const bool own = !strcmp(column->name, "layer") || !strcmp(column->name, "choice") || !strcmp(column->name, "budget");
        if (own || (column->type != COLUMN_TEXT && !column_is_swept(column))) continue;
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
    if (!column) FAIL(ERR_ARGUMENT, "%s: the table allocations has layer '%s' twice for one budget", path, layer);
    char *first = cell_text(column, a), *second = cell_text(column, b);
    err_set(ERR_ARGUMENT, "%s has several allocations for one budget: choose one with --where, for example --where %s=%s (another is %s)", path, column->name,
            first, second);
    free(first);
    free(second);
    return ERR_ARGUMENT;
}

static int take_rows(NamedAllocation *out, const Table *table, const bool *keep, const char *path)
{
    const Column *bits = table_column(table, "bits"), *layer = table_column(table, "layer");
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

static int read_results(NamedAllocation *out, const char *path, const Options *options)
{
    Store *store = NULL;
    Table *table = NULL;
    TRY(store_open(&store, path, true));
    int status = store_get_table(&table, store, "allocations");
    if (status == OK) status = read_table(out, table, path, options);
    else err_context(status, "%s", path);
    table_free(table);
    store_close(&store);
    return status;
}

static bool is_hdf5(const char *path)
{
    static const char signature[] = "\x89HDF\r\n\x1a\n";
    char begin[8] = { 0 };
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    const size_t n = fread(begin, 1, sizeof begin, file);
    fclose(file);
    return n == sizeof begin && !memcmp(begin, signature, sizeof begin);
}

int named_read(NamedAllocation *out, const char *path, const Options *options)
{
    *out = (NamedAllocation){ 0 };
    return (is_hdf5(path) ? read_results : read_json)(out, path, options);
}
