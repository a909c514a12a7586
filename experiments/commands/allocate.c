/*
 * allocate.c - one choice per layer from a table of bits and costs, exact, at each budget
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "core/store/table.h"
#include "experiments/command.h"

static const Option own[] = {
    { "budget", OPTION_NUMBER, true, NULL, 0.01, 64, NULL, "bits/weight", "average bits per weight over all layers, all overhead included; may be repeated" },
    { 0 },
};

/* The rows of a CSV grouped by layer. */
typedef struct { ChoiceTable choices; int64_t n_rows; char **layer, **name; int64_t *weights; int *row_layer; double *bits, *cost; } Rows;

static void rows_free(Rows *r)
{
    for (int64_t i = 0; i < r->n_rows; i++) {
        free(r->layer[i]);
        free(r->name[i]);
    }
    free(r->layer);
    free(r->name);
    free(r->weights);
    free(r->row_layer);
    free(r->bits);
    free(r->cost);
}

static int layer_of(Rows *r, int n_layers, const char *name)
{
    for (int l = n_layers - 1; l >= 0; l--)             /* rows of a layer usually stand together */
        if (!strcmp(r->layer[l], name)) return l;
    return n_layers;
}

static double cell(const Table *table, int64_t row, const char *name)
{
    const Column *column = table_column(table, name);
    return column->type == COLUMN_INTEGER ? (double)column->integer[row] : column->number[row];
}

static int check_columns(const Table *table, const char *path)
{
    static const char *const needed[] = { "layer", "weights", "choice", "bits", "cost" };
    for (int i = 0; i < 5; i++) {
        const Column *column = table_column(table, needed[i]);
        if (!column) FAIL(ERR_FORMAT, "%s has no column '%s'; needed are layer, weights, choice, bits, cost", path, needed[i]);
        int text = i == 0 || i == 2;
        if (!text && column->type == COLUMN_TEXT) FAIL(ERR_FORMAT, "%s: column '%s' must hold numbers, not '%s'", path, needed[i], column->text[0]);
    }
    return OK;
}

/* A name that happens to be a number reads as one; its text is needed back. */
static char *cell_text(const Table *table, int64_t row, const char *name)
{
    const Column *column = table_column(table, name);
    if (column->type == COLUMN_TEXT) return xstrdup(column->text[row]);
    return column->type == COLUMN_INTEGER ? xformat("%lld", (long long)column->integer[row]) : xformat("%.17g", column->number[row]);
}

/* The layer of row i, entered if it is new; its weights must agree with its earlier rows. */
static int enter_layer(Rows *r, int *n_layers, const Table *table, int64_t i, const char *path)
{
    char *name = cell_text(table, i, "layer");
    double weights = cell(table, i, "weights");
    int layer = layer_of(r, *n_layers, name), status = OK;
    if (!(weights >= 1) || weights != floor(weights) || weights > 1e15)
        status = err_set(ERR_FORMAT, "%s:%lld: weights must be a whole number of at least 1", path, (long long)i + 2);
    else if (layer < *n_layers && r->weights[layer] != (int64_t)weights)
        status = err_set(ERR_FORMAT, "%s:%lld: layer '%s' has %lld weights in an earlier row and %.0f here", path, (long long)i + 2,
                         name, (long long)r->weights[layer], weights);
    if (status == OK && layer == *n_layers) {
        r->weights[layer] = (int64_t)weights;
        r->layer[(*n_layers)++] = name;
        name = NULL;
    }
    free(name);
    r->row_layer[i] = layer;
    return status;
}

static int check_new(const Rows *r, int64_t row, const char *path)
{
    for (int64_t i = 0; i < row; i++)
        if (r->row_layer[i] == r->row_layer[row] && !strcmp(r->name[i], r->name[row]))
            FAIL(ERR_FORMAT, "%s:%lld: layer '%s' has the choice '%s' twice", path, (long long)row + 2, r->layer[r->row_layer[row]], r->name[row]);
    return OK;
}

static int read_number(double *out, const Table *table, int64_t row, const char *name, const char *path)
{
    *out = cell(table, row, name);
    if (isfinite(*out)) return OK;
    FAIL(ERR_FORMAT, "%s:%lld: the cell '%s' is %s", path, (long long)row + 2, name, isnan(*out) ? "empty or not a number" : "infinite");
}

static int rows_init(Rows *out, const Table *table, const char *path)
{
    TRY(check_columns(table, path));
    size_t n = (size_t)table->n_rows;
    Rows r = { .n_rows = table->n_rows, .layer = xcalloc(n, sizeof *r.layer), .name = xcalloc(n, sizeof *r.name), .weights = xcalloc(n, sizeof *r.weights),
               .row_layer = xcalloc(n, sizeof *r.row_layer), .bits = xcalloc(n, sizeof *r.bits), .cost = xcalloc(n, sizeof *r.cost) };
    int n_layers = 0;
    *out = r;                                           /* the caller frees it on failure too */
    for (int64_t i = 0; i < table->n_rows; i++) {
        TRY(enter_layer(&r, &n_layers, table, i, path));
        r.name[i] = cell_text(table, i, "choice");
        TRY(check_new(&r, i, path));
        TRY(read_number(&r.bits[i], table, i, "bits", path));
        TRY(read_number(&r.cost[i], table, i, "cost", path));
    }
    out->choices = (ChoiceTable){ .n_layers = n_layers, .layer = (const char *const *)r.layer, .weights = r.weights, .n_choices = (int)table->n_rows,
                                  .row_layer = r.row_layer, .row_name = (const char *const *)r.name, .row_bits = r.bits, .row_cost = r.cost };
    return OK;
}

static void print_json(const Allocation *a, const ChoiceTable *t, int first)
{
    const struct { const char *name; double value; } pair[] = {
        { "budget", a->budget }, { "bits", a->bits }, { "cost", a->cost }, { "lower_bound", a->lower_bound },
    };
    fputs(first ? "{" : ",{", stdout);
    for (int i = 0; i < 4; i++) {
        printf("\"%s\":", pair[i].name);
        json_number(stdout, pair[i].value);
        putchar(',');
    }
    printf("\"optimal\":%s,\"clamped\":%d,\"choices\":{", a->optimal ? "true" : "false", a->clamped);
    for (int l = 0; l < t->n_layers; l++) {
        if (l) putchar(',');
        json_text(stdout, t->layer[l]);
        putchar(':');
        json_text(stdout, t->row_name[a->row[l]]);
    }
    fputs("}}", stdout);
}

static void print_text(const Allocation *a, const ChoiceTable *t)
{
    printf("budget %g bits/weight: %.6g bits, cost %.9g (%s)\n", a->budget, a->bits, a->cost, a->optimal ? "optimal, proven" : "not proven optimal");
    if (!a->optimal) printf("  no allocation can cost less than %.9g\n", a->lower_bound);
    if (a->clamped) printf("  %d negative costs taken as 0\n", a->clamped);
    for (int l = 0; l < t->n_layers; l++) printf("  %-24s %s\n", t->layer[l], t->row_name[a->row[l]]);
}

static int solve_all(const ChoiceTable *choices, const Options *options)
{
    int json = options_flag(options, "json"), n = options_count(options, "budget"), status = OK;
    Allocation *solved = xcalloc((size_t)n, sizeof *solved);
    for (int i = 0; i < n && status == OK; i++) status = allocate(&solved[i], choices, options_number_at(options, "budget", i));
    if (status == OK && json) fputs("{\"allocations\":[", stdout);
    for (int i = 0; i < n; i++) {
        if (status == OK && json) print_json(&solved[i], choices, i == 0);
        else if (status == OK) print_text(&solved[i], choices);
        allocation_free(&solved[i]);
    }
    if (status == OK && json) puts("]}");
    free(solved);
    return status;
}

static int run(const Arguments *a)
{
    Table *table = NULL;
    TRY(table_read_csv(&table, a->positional[0]));
    Rows rows = { 0 };
    int status = rows_init(&rows, table, a->positional[0]);
    if (status == OK && (status = solve_all(&rows.choices, a->options)) != OK) err_context(status, "%s", a->positional[0]);
    rows_free(&rows);
    table_free(table);
    return status;
}

const Command command_allocate = {
    .name = "allocate", .arguments = "TABLE.csv --budget B", .summary = "the best choice per layer under a size, exact",
    .details = "TABLE.csv has the columns layer, weights, choice, bits (per weight, all overhead included) and cost (predicted loss).\n",
    .own = own, .required = (const char *const[]){ "budget", NULL }, .least = 1, .most = 1, .json = true, .run = run,
};
