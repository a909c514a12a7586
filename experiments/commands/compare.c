/*
 * compare.c - do the coefficients of one run stand for those of another? (another text, another estimator)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/agreement.h"
#include "core/store/store.h"
#include "experiments/command.h"

static const Option own[] = {
    { "estimator", OPTION_TEXT, false, NULL, 0, 0, NULL, "", "rows of the tables to compare (default: the first that each has)" },
    { "robust",    OPTION_FLAG, false, "no", 0, 0, NULL, "", "compare alpha_robust, in which no window counts more than 5 times a layer's median one" },
    { 0 },
};

/* The coefficients of one file, in the order of its table. */
typedef struct { Table *table; const char *path, *estimator, *first_token, *alpha, *alpha_se; } Side;

static int side_open(Side *out, const char *path, const char *estimator, bool robust)
{
    Store *store = NULL;
    *out = (Side){ .path = path, .estimator = estimator, .first_token = "", .alpha = robust ? "alpha_robust" : "alpha", .alpha_se = robust ? "alpha_robust_se" : "alpha_se" };
    TRY(store_open(&store, path, true));
    int status = store_get_table(&out->table, store, "coefficients");
    store_close(&store);
    TRY(status);
    const char *const needed[] = { "layer", "estimator", "metric", "weights", out->alpha, out->alpha_se };
    for (int i = 0; i < 6; i++)
        if (!table_column(out->table, needed[i])) FAIL(ERR_FORMAT, "%s: the table coefficients has no column %s", path, needed[i]);
    if (out->table->n_rows == 0) FAIL(ERR_FORMAT, "%s: the table coefficients is empty", path);
    for (int c = 0; c < out->table->n_columns; c++)
        if (column_is_swept(&out->table->column[c]))
            FAIL(ERR_ARGUMENT, "%s holds a sweep over %s: compare runs of one setting", path, out->table->column[c].name);
    if (!out->estimator) out->estimator = table_text(out->table, 0, "estimator");
    if (table_column(out->table, "first_token")) out->first_token = table_text(out->table, 0, "first_token");
    return OK;
}

static int64_t row_of(const Side *side, const char *layer)
{
    for (int64_t row = 0; row < side->table->n_rows; row++)
        if (!strcmp(table_text(side->table, row, "estimator"), side->estimator) && !strcmp(table_text(side->table, row, "layer"), layer)) return row;
    return -1;
}

/* Layers that both have, side by side. */
typedef struct { int n; double *a, *a_se, *b, *b_se; int64_t *weights; } Pairs;

static int pair_layers(Pairs *out, const Side *a, const Side *b)
{
    const size_t n = (size_t)a->table->n_rows;
    *out = (Pairs){ 0, xmalloc(n * sizeof(double)), xmalloc(n * sizeof(double)), xmalloc(n * sizeof(double)), xmalloc(n * sizeof(double)), xmalloc(n * sizeof(int64_t)) };
    for (int64_t row = 0; row < a->table->n_rows; row++) {
        if (strcmp(table_text(a->table, row, "estimator"), a->estimator)) continue;
        int64_t other = row_of(b, table_text(a->table, row, "layer"));
        if (other < 0) continue;
        if (strcmp(table_text(a->table, row, "metric"), table_text(b->table, other, "metric")))
            FAIL(ERR_ARGUMENT, "%s counts %s and %s %s: --estimator chooses rows of one metric", a->path, table_text(a->table, row, "metric"), b->path, table_text(b->table, other, "metric"));
        if (table_column(a->table, "scale") && table_column(b->table, "scale") && strcmp(table_text(a->table, row, "scale"), table_text(b->table, other, "scale")))
            FAIL(ERR_ARGUMENT, "%s has coefficients of noise.scale %s and %s of %s: they are not of one kind", a->path, table_text(a->table, row, "scale"), b->path,
                 table_text(b->table, other, "scale"));
        out->a[out->n] = table_number(a->table, row, a->alpha), out->a_se[out->n] = table_number(a->table, row, a->alpha_se);
        out->b[out->n] = table_number(b->table, other, b->alpha), out->b_se[out->n] = table_number(b->table, other, b->alpha_se);
        out->weights[out->n++] = table_integer(a->table, row, "weights");
    }
    if (out->n < 2) FAIL(ERR_ARGUMENT, "%s (%s) and %s (%s) have %d layers in common; two are the least that can be compared", a->path, a->estimator, b->path, b->estimator, out->n);
    return OK;
}

static void print_json(const Agreement *g)
{
    const struct { const char *name; double value; } pair[] = { { "scale", g->scale }, { "correlation", g->correlation }, { "spread", g->spread },
                                                                { "spread_beyond_errors", g->beyond }, { "regret", g->regret }, { "regret_of_errors", g->noise } };
    printf("{\"layers\":%d", g->n);
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        printf(",\"%s\":", pair[i].name);
        json_number(stdout, pair[i].value);
    }
    puts("}");
}

static void print_text(const Agreement *g, const Side *a, const Side *b)
{
    printf("%d layers, %s (%s) against %s (%s)\n", g->n, a->path, a->estimator, b->path, b->estimator);
    printf("scale        %.3f          ratio of the sums\n", g->scale);
    printf("correlation  %.3f          of the logarithms\n", g->correlation);
    printf("spread       %.3f          sd of the log ratios, of which %.3f is beyond the standard errors\n", g->spread, g->beyond);
    printf("regret       %.2g %%         more loss by the second's measure where bits are allocated by the first (%.2g %% from the errors alone)\n", 100 * g->regret,
           100 * g->noise);
    if (strcmp(a->first_token, b->first_token))
        printf("Windows begin with a token that is %s in one and %s in the other: coefficients of the first block are not of one kind.\n", a->first_token, b->first_token);
}

static int run(const Arguments *args)
{
    Side a = { 0 }, b = { 0 };
    Pairs pairs = { 0 };
    const char *estimator = options_is_set(args->options, "estimator") ? options_text(args->options, "estimator") : NULL;
    const bool robust = options_flag(args->options, "robust");
    int status = side_open(&a, args->positional[0], estimator, robust);
    if (status == OK) status = side_open(&b, args->positional[1], estimator, robust);
    if (status == OK) status = pair_layers(&pairs, &a, &b);
    if (status == OK) {
        Agreement g = agreement_of(pairs.a, pairs.a_se, pairs.b, pairs.b_se, pairs.weights, pairs.n);
        if (g.n < 2) status = err_set(ERR_ARGUMENT, "of %d layers in common %d have a positive %s in both files: two are the least that can be compared", pairs.n, g.n, a.alpha);
        else if (options_flag(args->options, "json")) print_json(&g);
        else print_text(&g, &a, &b);
    }
    free(pairs.a), free(pairs.a_se), free(pairs.b), free(pairs.b_se), free(pairs.weights);
    if (a.table) table_free(a.table);
    if (b.table) table_free(b.table);
    return status;
}

const Command command_compare = {
    .name = "compare", .arguments = "RUN.h5 OTHER.h5", .summary = "whether the coefficients of one run stand for another's",
    .details = "The errors are taken to be of independent texts: two runs on the same text differ by less than they say.\n",
    .own = own, .least = 2, .most = 2, .json = true, .run = run,
};
