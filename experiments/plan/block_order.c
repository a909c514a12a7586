#include "experiments/plan/block_order.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/importance/importance.h"
#include "core/store/store.h"

static void order_new(BlockOrder *out, const char *rule, int n_blocks)
{
    const size_t n = (size_t)n_blocks;
    *out = (BlockOrder){ .rule = xstrdup(rule), .n_blocks = n_blocks, .order = xcalloc(n, sizeof *out->order),
                         .value = xcalloc(n, sizeof *out->value), .se = xcalloc(n, sizeof *out->se) };
    for (int b = 0; b < n_blocks; b++) out->value[b] = out->se[b] = NAN;
}

void block_order_free(BlockOrder *o)
{
    free(o->rule), free(o->source), free(o->order), free(o->value), free(o->se);
    *o = (BlockOrder){ 0 };
}

void block_order_first_to_last(BlockOrder *out, int n_blocks)
{
    order_new(out, importance_first_to_last.name, n_blocks);
    for (int b = 0; b < n_blocks; b++) out->order[b] = b;
}

/* ---- a table, and where it stands ---- */

typedef struct { const Table *table; const char *path; bool in_store; } Source;

/* "a.csv:3" or "a.h5, row 2 of importance"; good until the next call. */
static const char *place(const Source *s, int64_t row)
{
    static _Thread_local char text[512];
    if (s->in_store) snprintf(text, sizeof text, "%.400s, row %lld of %.60s", s->path, (long long)row + 1, s->table->name);
    else snprintf(text, sizeof text, "%.400s:%lld", s->path, (long long)row + 2);
    return text;
}

static int check_columns(const Source *s, const char *const *numbers, int n, const char *text)
{
    if (text) {
        const Column *column = table_column(s->table, text);
        if (!column || (s->table->n_rows && column->type != COLUMN_TEXT)) FAIL(ERR_FORMAT, "%s has no column '%s' with words", s->path, text);
    }
    for (int i = 0; i < n; i++) {
        const Column *column = table_column(s->table, numbers[i]);
        if (!column) FAIL(ERR_FORMAT, "%s has no column '%s'", s->path, numbers[i]);
        if (column->type == COLUMN_TEXT)
            FAIL(ERR_FORMAT, "%s: column '%s' must hold numbers, not '%s'", s->path, numbers[i], s->table->n_rows ? column->text[0] : "");
    }
    for (int c = 0; c < s->table->n_columns; c++)
        if (column_is_swept(&s->table->column[c]))
            FAIL(ERR_ARGUMENT, "%s holds a sweep over %s: plan with a run of one setting", s->path, s->table->column[c].name);
    return OK;
}

/* NaN where the table has no such column of numbers. */
static double cell(const Table *table, int64_t row, const char *name)
{
    const Column *column = table_column(table, name);
    if (!column || column->type == COLUMN_TEXT) return NAN;
    return column->type == COLUMN_INTEGER ? (double)column->integer[row] : column->number[row];
}

static int read_block(int *out, const Source *s, int64_t row, int n_blocks)
{
    const double block = cell(s->table, row, "block");
    if (!(block >= 0 && block < n_blocks) || block != floor(block))
        FAIL(ERR_FORMAT, "%s: there is no block %g in a model of %d blocks", place(s, row), block, n_blocks);
    *out = (int)block;
    return OK;
}

/* ---- the rule ---- */

/* "jaccard, lim and zd": the different words of a column; the caller frees. */
static char *words_of(int *n, const Column *column, int64_t n_rows)
{
    char *text = xstrdup("");
    *n = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        bool known = false;
        for (int64_t k = 0; k < i && !known; k++) known = !strcmp(column->text[k], column->text[i]);
        if (known) continue;
        char *longer = xformat("%s%s%s", text, (*n)++ ? ", " : "", column->text[i]);
        free(text);
        text = longer;
    }
    return text;
}

static bool has_rule(const Table *table, const char *rule)
{
    const Column *column = table_column(table, "rule");
    if (!column || column->type != COLUMN_TEXT) return false;
    for (int64_t i = 0; i < table->n_rows; i++)
        if (!strcmp(column->text[i], rule)) return true;
    return false;
}

static int choose_rule(const char **rule, const Source *s)
{
    int n;
    if (s->table->n_rows == 0) FAIL(ERR_FORMAT, "%s: the table %s has no rows", s->path, s->table->name);
    if (*rule && has_rule(s->table, *rule)) return OK;
    char *all = words_of(&n, table_column(s->table, "rule"), s->table->n_rows);
    int status = OK;
    if (*rule) status = err_set(ERR_ARGUMENT, "%s has no importance by rule '%s'; it has %s", s->path, *rule, all);
    else if (n > 1) status = err_set(ERR_ARGUMENT, "%s has importances by several rules: choose one of %s with --rule", s->path, all);
    free(all);
    if (status == OK) *rule = table_text(s->table, 0, "rule");
    return status;
}

/* ---- importances with ranks ---- */

static int take_row(BlockOrder *out, int *at, const Source *s, int64_t row)
{
    int block = 0;
    TRY(read_block(&block, s, row, out->n_blocks));
    const double value = cell(s->table, row, "importance"), rank = cell(s->table, row, "rank"), se = cell(s->table, row, "importance_se");
    if (!isnan(out->value[block])) FAIL(ERR_FORMAT, "%s: block %d is there twice", place(s, row), block);
    if (!isfinite(value)) FAIL(ERR_FORMAT, "%s: the importance of block %d is not a finite number", place(s, row), block);
    if (!(rank >= 1 && rank <= out->n_blocks) || rank != floor(rank))
        FAIL(ERR_FORMAT, "%s: the rank of block %d must be a whole number from 1 to %d", place(s, row), block, out->n_blocks);
    if (at[(int)rank - 1] >= 0) FAIL(ERR_FORMAT, "%s: blocks %d and %d both have rank %d", place(s, row), at[(int)rank - 1], block, (int)rank);
    at[(int)rank - 1] = block;
    out->value[block] = value;
    out->se[block] = se;
    return OK;
}

/* What ranks of nearly equal importances may differ by is rounding. */
static int check_order(const BlockOrder *o, const Source *s)
{
    for (int b = 0; b < o->n_blocks; b++)
        if (isnan(o->value[b])) FAIL(ERR_FORMAT, "%s: block %d has no importance by rule '%s'", s->path, b, o->rule);
    for (int i = 1; i < o->n_blocks; i++) {
        const int before = o->order[i - 1], block = o->order[i];
        const double a = o->value[before], b = o->value[block];
        if (b > a + 1e-9 * fmax(fabs(a), fabs(b)))
            FAIL(ERR_FORMAT, "%s: block %d has rank %d and importance %.9g, block %d behind it %.9g: larger should be more important", s->path, before,
                 i, a, block, b);
    }
    return OK;
}

static int read_ranks(BlockOrder *out, const Source *s, const char *rule)
{
    static const char *const numbers[] = { "block", "importance", "rank" };
    TRY(check_columns(s, numbers, 3, "rule"));
    TRY(choose_rule(&rule, s));
    order_new(out, rule, out->n_blocks);
    for (int b = 0; b < out->n_blocks; b++) out->order[b] = -1;
    for (int64_t row = 0; row < s->table->n_rows; row++)
        if (!strcmp(table_text(s->table, row, "rule"), rule)) TRY(take_row(out, out->order, s, row));
    return check_order(out, s);
}

/* ---- coefficients ---- */

static void sort_by_value(BlockOrder *o)
{
    for (int b = 0; b < o->n_blocks; b++) {
        int at = b;
        for (; at > 0 && o->value[o->order[at - 1]] < o->value[b]; at--) o->order[at] = o->order[at - 1];
        o->order[at] = b;
    }
}

/* Rows of one estimator: the first that the table has. */
static bool is_first_estimator(const Table *table, int64_t row)
{
    const Column *column = table_column(table, "estimator");
    return !column || column->type != COLUMN_TEXT || !strcmp(column->text[row], column->text[0]);
}

static int sum_coefficients(BlockOrder *out, const Source *s)
{
    static const char *const numbers[] = { "block", "alpha" };
    TRY(check_columns(s, numbers, 2, NULL));
    order_new(out, importance_alpha.name, out->n_blocks);
    int *layers = xcalloc((size_t)out->n_blocks, sizeof *layers), status = OK;
    for (int64_t row = 0; row < s->table->n_rows && status == OK; row++) {
        int block = 0;
        if (!is_first_estimator(s->table, row) || (status = read_block(&block, s, row, out->n_blocks)) != OK) continue;
        const double alpha = cell(s->table, row, "alpha"), se = cell(s->table, row, "alpha_se");
        if (!isfinite(alpha)) status = err_set(ERR_FORMAT, "%s: the coefficient is not a finite number", place(s, row));
        out->value[block] = layers[block] ? out->value[block] + alpha : alpha;
        out->se[block] = layers[block]++ ? out->se[block] + se : se;
    }
    for (int b = 0; b < out->n_blocks && status == OK; b++)
        if (layers[b] != layers[0] || layers[b] == 0)
            status = err_set(ERR_FORMAT, "%s has coefficients of %d layers of block %d, and of %d of block 0: the sums are of all layers", s->path,
                             layers[b], b, layers[0]);
    free(layers);
    if (status == OK) sort_by_value(out);
    return status;
}

/* ---- files ---- */

static bool is_alpha(const char *rule) { return !rule || !strcmp(rule, importance_alpha.name); }

/* The table importance; coefficients where alpha will do and no importance has it. */
static int read_stored(Table **out, const char *path, const char *rule)
{
    Table *table = NULL;
    const bool there = store_read_table(&table, path, "importance") == OK;
    if (there && (!is_alpha(rule) || !rule || has_rule(table, rule))) {
        *out = table;
        return OK;
    }
    if (is_alpha(rule) && store_read_table(out, path, "coefficients") == OK) {
        table_free(table);
        return OK;
    }
    *out = table;
    return there ? OK : store_read_table(out, path, "importance");      /* whose sentence tells what there is */
}

static bool holds_coefficients(const Table *table, const char *rule)
{
    return is_alpha(rule) && table_column(table, "alpha") && !table_column(table, "importance");
}

int block_order_read(BlockOrder *out, const char *path, const char *rule, int n_blocks)
{
    Table *table = NULL;
    const bool in_store = store_is_file(path);
    *out = (BlockOrder){ .n_blocks = n_blocks };
    TRY(in_store ? read_stored(&table, path, rule) : table_read_csv(&table, path));
    const Source source = { table, path, in_store };
    int status = holds_coefficients(table, rule) ? sum_coefficients(out, &source) : read_ranks(out, &source, rule);
    if (status == OK) out->source = in_store ? xformat("table %s of %s", table->name, path) : xstrdup(path);
    else block_order_free(out);
    table_free(table);
    return status;
}
