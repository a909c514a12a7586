#include "core/report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define TYPES  " q k v o gate up down "
#define MODELS " allocated uniform "
#define DYNAMIC " uniform allocated ends types greedy threshold "
#define LAWS   " quantizer noise "
#define PREDICTORS " sigma group kronecker shrinkage square "
#define WAYS   " fisher fisher-sampled fisher-labels hutchinson kl nll-pair nll-control paper "

const Figure figures[] = {
    { "response",     "responses",    { "t2", "kl" },             "type",  TYPES,  .also = "coefficients" },
    { "coefficients", "coefficients", { "alpha", "alpha" },       "type",  TYPES,  .question = NULL },
    { "checks",       "checks",       { "ratio", "ratio" },       "type",  TYPES,  .question = "checks" },
    { "predicted",    "predictions",  { "predicted_kl", "kl" },   "model", MODELS, .also = "floor" },
    { "frontier",     "predictions",  { "bits", "kl" },           "model", MODELS, .question = NULL },
    { "ladder",       "ladder",       { "t2", "ratio_linear" },   "law",   LAWS,   .question = "additivity" },
    { "additivity",   "additivity",   { "bits", "ratio_linear" }, "law",   LAWS,   .question = "additivity" },
    { "ppl_law",      "additivity",   { "bits", "ppl" },          "law",   LAWS,   .question = "additivity" },
    { "slopes",       "slopes",       { "bits", "ratio" },        "type",  TYPES,  .question = "additivity" },
    { "singles",      "singles",      { "predicted", "ratio" },   "law",   LAWS,   .question = "singles" },
    { "quantizers",   "quantizers",   { "bits", "kl" },           "method", NULL, .question = "quantizers" },
    { "accuracies",   "quantizers",   { "kl", "acc" },            "choice", NULL, .optional = true, .question = "quantizers" },
    { "predictors",   "predictors",   { "ratio", "ratio" },       "predictor", PREDICTORS, .question = "quantizers" },
    { "dynamic",      "models",       { "bits", "kl" },           "model", DYNAMIC, .question = "dynamic" },
    { "lsaq",         "plans",        { "bytes", "kl" },          "rule",  NULL,   .question = "lsaq" },
    { "lsaq_predicted", "plans",      { "predicted", "kl" },      "rule",  NULL,   .question = "lsaq" },
    { "importance",   "importance",   { "rank", "rank" },         "rule",  NULL,   .question = "lsaq" },
    { "masks",        "masks",        { "bits", "kl" },           "method", NULL, .question = "tacq" },
    { "mask_ratio",   "masks",        { "ratio", "kl" },          "method", NULL, .question = "tacq" },
    { "masks_predicted", "masks",     { "linear", "kl" },         "method", NULL, .question = "tacq" },
    { "estimators",   "estimators",   { "five_median", "passes" }, "estimator", WAYS, .question = "estimators" },
    { 0 },
};

/* ---- sweeps ---- */

/* Some settings have the name of a column of ours (layers, estimator), so the meaning tells.  Names that are none of a
 * setting do not reach the scripts: they come from a file. */
static bool is_swept(const Column *column)
{
    if (column->name[strspn(column->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")]) return false;
    return column_is_swept(column);
}

char *figure_swept(const Table *table)
{
    char *list = xstrdup("");
    for (int c = 0; c < table->n_columns; c++) {
        if (!is_swept(&table->column[c])) continue;
        char *longer = xformat("%s%s%s", list, *list ? " " : "", table->column[c].name);
        free(list);
        list = longer;
    }
    return list;
}

static bool cells_equal(const Column *column, int64_t a, int64_t b)
{
    switch (column->type) {
    case COLUMN_INTEGER: return column->integer[a] == column->integer[b];
    case COLUMN_NUMBER:  return column->number[a] == column->number[b] || (isnan(column->number[a]) && isnan(column->number[b]));
    case COLUMN_TEXT:    return strcmp(column->text[a], column->text[b]) == 0;
    }
    return false;
}

static bool in_first_combination(const Table *table, int64_t row)
{
    for (int c = 0; c < table->n_columns; c++)
        if (is_swept(&table->column[c]) && !cells_equal(&table->column[c], row, 0)) return false;
    return true;
}

/* ---- rows ---- */

static bool is_positive(const Column *column, int64_t row)
{
    switch (column->type) {
    case COLUMN_INTEGER: return column->integer[row] > 0;
    case COLUMN_NUMBER:  return column->number[row] > 0 && isfinite(column->number[row]);
    case COLUMN_TEXT:    return false;
    }
    return false;
}

static bool is_among(const char *words, const char *word)
{
    char *spaced = xformat(" %s ", word);
    bool found = strstr(words, spaced) != NULL;
    free(spaced);
    return found;
}

static bool has_row(const Figure *figure, const Table *table)
{
    const Column *x = table_column(table, figure->columns[0]), *y = table_column(table, figure->columns[1]);
    const Column *kind = table_column(table, figure->kind);
    for (int64_t row = 0; row < table->n_rows; row++)
        if (is_positive(x, row) && is_positive(y, row) && (!figure->kinds || is_among(figure->kinds, kind->text[row])) && in_first_combination(table, row))
            return true;
    return false;
}

static char *objection(const Figure *figure, const Table *table)
{
    if (!table) return xformat("there is no table %s", figure->table);
    const char *needed[] = { figure->columns[0], figure->columns[1], figure->kind };
    for (int c = 0; c < 3; c++)
        if (!table_column(table, needed[c])) return xformat("the table %s has no column %s", figure->table, needed[c]);
    if (table_column(table, figure->kind)->type != COLUMN_TEXT) return xformat("the column %s of the table %s holds no words", figure->kind, figure->table);
    if (has_row(figure, table)) return NULL;
    return xformat("the table %s has no row to draw (positive %s)", figure->table, figure->columns[1]);
}

bool figure_is_drawable(const Figure *figure, const Table *table, char **reason)
{
    char *why_not = objection(figure, table);
    if (reason) *reason = why_not;
    else free(why_not);
    return !why_not;
}
