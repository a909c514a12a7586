/*
 * plot_tables.h - tables as the experiments make them, small or large, with cells that are missing
 */
#ifndef CORE_TESTS_PLOT_TABLES_H
#define CORE_TESTS_PLOT_TABLES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/store/store.h"
#include "core/tests/scratch.h"

static const char *const types[] = { "q", "k", "v", "o", "gate", "up", "down" };
typedef struct { int n_blocks, n_levels, n_groups; double floor; bool with_predictions; } Made;

static inline void add_numbers(Table *table, const char *names)
{
    char *list = xstrdup(names), *rest = list;
    for (char *name = strtok_r(rest, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        table_add_column(table, COLUMN_NUMBER, name, "", "");
    free(list);
}

static inline Table *layer_table(const char *name, const char *numbers)
{
    Table *table = table_new(name, "");
    table_add_column(table, COLUMN_TEXT, "layer", "", "");
    table_add_column(table, COLUMN_INTEGER, "block", "", "");
    table_add_column(table, COLUMN_TEXT, "type", "", "");
    add_numbers(table, numbers);
    return table;
}

static inline int64_t add_layer(Table *table, int block, int type)
{
    int64_t row = table_add_row(table);
    char *name = xformat("blocks.%d.%s", block, types[type]);
    table_set_text(table, row, "layer", name);
    table_set_integer(table, row, "block", block);
    table_set_text(table, row, "type", types[type]);
    free(name);
    return row;
}

/* From 0.003 to 5, as in a model of 30 blocks. */
static inline double alpha_of(int block, int type) { return 0.003 * pow(5 / 0.003, fmod(0.37 * block + 0.61 * type, 1)); }

static inline Table *make_responses(const Made *made)
{
    Table *table = layer_table("responses", "t2_asked t2 kl kl_se");
    table_add_column(table, COLUMN_INTEGER, "near_floor", "", "");
    table_add_column(table, COLUMN_INTEGER, "noise.group", "", SWEPT_MEANING);
    for (int i = 0; i < made->n_groups * made->n_blocks * 7 * made->n_levels; i++) {
        int level = i % made->n_levels, layer = i / made->n_levels % (7 * made->n_blocks);
        double t2 = 0.003 * pow(10, 0.5 * level), kl = alpha_of(layer / 7, layer % 7) * t2 * (1 - 0.5 * t2);
        int64_t row = add_layer(table, layer / 7, layer % 7);
        table_set_number(table, row, "t2_asked", t2);
        table_set_number(table, row, "t2", 1.001 * t2);
        table_set_number(table, row, "kl", kl);
        if (layer % 5) table_set_number(table, row, "kl_se", 0.05 * kl);        /* one window: no standard error */
        table_set_integer(table, row, "near_floor", kl < 1e-5);
        table_set_integer(table, row, "noise.group", 64 + i / (made->n_levels * 7 * made->n_blocks));
    }
    return table;
}

static inline Table *make_coefficients(const Made *made)
{
    Table *table = layer_table("coefficients", "alpha alpha_low alpha_high b");
    table_add_column(table, COLUMN_TEXT, "estimator", "", "");
    table_add_column(table, COLUMN_TEXT, "metric", "", "");
    table_add_column(table, COLUMN_INTEGER, "noise.group", "", SWEPT_MEANING);
    for (int layer = 0; layer < made->n_blocks * 7; layer++) {
        double alpha = alpha_of(layer / 7, layer % 7);
        int64_t row = add_layer(table, layer / 7, layer % 7);
        table_set_text(table, row, "estimator", "kl");
        table_set_text(table, row, "metric", "kl");
        table_set_number(table, row, "alpha", alpha);
        table_set_number(table, row, "alpha_low", layer == 3 ? -alpha : 0.9 * alpha);
        table_set_number(table, row, "alpha_high", 1.1 * alpha);
        if (made->n_levels > 1) table_set_number(table, row, "b", -0.5 * alpha);
        table_set_integer(table, row, "noise.group", 64);
    }
    return table;
}

static inline Table *make_predictions(void)
{
    Table *table = table_new("predictions", "");
    table_add_column(table, COLUMN_TEXT, "model", "", "");
    add_numbers(table, "bits predicted_kl predicted_low predicted_high kl kl_se");
    table_add_column(table, COLUMN_TEXT, "note", "", "");
    table_set_text(table, table_add_row(table), "model", "clean");
    for (int i = 0; i < 8; i++) {
        int64_t row = table_add_row(table);
        double bits = 2.5 + i / 2 * 0.5, kl = 40 * pow(4, -bits) * (i % 2 ? 1 : 0.6);
        table_set_text(table, row, "model", i % 2 ? "uniform" : "allocated");
        table_set_number(table, row, "bits", bits);
        table_set_number(table, row, "predicted_kl", kl);
        if (i != 6) {                   /* one window: no interval */
            table_set_number(table, row, "predicted_low", i == 1 ? -kl : 0.8 * kl);
            table_set_number(table, row, "predicted_high", i == 2 ? 1.02 * kl : 1.2 * kl);
        }
        if (i == 5) continue;           /* predicted, not measured */
        table_set_number(table, row, "kl", 1.05 * kl);
        table_set_number(table, row, "kl_se", 0.03 * kl);
        table_set_text(table, row, "note", "a \"note\", with a comma");
    }
    return table;
}

static inline Table *make_floor(double kl)
{
    Table *table = table_new("floor", "");
    add_numbers(table, "kl kl_se");
    table_set_number(table, table_add_row(table), "kl", kl);
    return table;
}

static inline void put(Store *store, Table *table)
{
    assert_int_equal(store_put_table(store, table), OK);
    table_free(table);
}

static inline Store *make_store(const char *name, Made made)
{
    Store *store = NULL;
    if (store_open(&store, scratch_path(name), false) != OK) fail_msg("%s", err_last());
    put(store, make_responses(&made));
    put(store, make_coefficients(&made));
    if (made.with_predictions) put(store, make_predictions());
    if (made.floor > 0) put(store, make_floor(made.floor));
    return store;
}

#endif
