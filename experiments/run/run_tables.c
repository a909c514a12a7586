/*
 * run_tables.c - the tables of a run over all combinations of its sweep, and the settings that made them
 *
 * Tables of other settings do not stay beside them: a picture would draw both.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run/run.h"

static Table *tables_find(const Tables *tables, const char *name)
{
    for (int i = 0; i < tables->n; i++)
        if (!strcmp(tables->table[i]->name, name)) return tables->table[i];
    return NULL;
}

static Table *copy_columns(const Table *from, const SweepPoint *point)
{
    Table *t = table_new(from->name, from->meaning);
    for (int c = 0; c < from->n_columns; c++)
        table_add_column(t, from->column[c].type, from->column[c].name, from->column[c].unit, from->column[c].meaning);
    for (int i = 0; i < point->n; i++) table_add_column(t, COLUMN_TEXT, point->name[i], "", SWEPT_MEANING);
    return t;
}

/* A point of a sweep may have columns that the first had not: accuracies, where its text is a task. */
static void append_columns(Table *to, const Table *from)
{
    for (int c = 0; c < from->n_columns; c++)
        if (!table_column(to, from->column[c].name))
            table_add_column(to, from->column[c].type, from->column[c].name, from->column[c].unit, from->column[c].meaning);
}

static void append_rows(Table *to, const Table *from, const SweepPoint *point)
{
    append_columns(to, from);
    for (int64_t r = 0; r < from->n_rows; r++) {
        int64_t row = table_add_row(to);
        for (int c = 0; c < from->n_columns; c++) {
            const Column *column = &from->column[c];
            if (column->type == COLUMN_INTEGER) table_set_integer(to, row, column->name, column->integer[r]);
            else if (column->type == COLUMN_NUMBER) table_set_number(to, row, column->name, column->number[r]);
            else table_set_text(to, row, column->name, column->text[r]);
        }
        for (int i = 0; i < point->n; i++) table_set_text(to, row, point->name[i], point->value[i]);
    }
}

void run_emit(Run *run, Table *table)
{
    Tables *all = run->tables;
    Table *to = tables_find(all, table->name);
    if (!to) {
        to = copy_columns(table, run->point);
        all->table = xrealloc(all->table, sizeof *all->table * (size_t)(all->n + 1));
        all->table[all->n++] = to;
    }
    append_rows(to, table, run->point);
    table_free(table);
}

/* The settings that decide what is in the tables: not who computed them, with how many threads or where. */
static Table *settings_table(const Config *config)
{
    static const char *const others[] = { "experiment", "backend", "device", "threads", "memory", "output" };
    Table *t = table_new("settings", "the settings that made the tables of this file");
    table_add_column(t, COLUMN_TEXT, "name", "", "key of the config");
    table_add_column(t, COLUMN_TEXT, "value", "", "its value, the default where none was given; a swept key has a further row for each value");
    table_add_column(t, COLUMN_TEXT, "unit", "", "unit of the value");
    table_add_column(t, COLUMN_TEXT, "meaning", "", "what it sets");
    for (const Option *o = config_options; o->name; o++) {
        bool left_out = !options_is_set(config->options, o->name);
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) left_out |= !strcmp(o->name, others[i]);
        if (left_out) continue;
        int64_t row = table_add_row(t);
        char *value = options_value(config->options, o->name);
        table_set_text(t, row, "name", o->name);
        table_set_text(t, row, "value", value);
        table_set_text(t, row, "unit", o->unit);
        table_set_text(t, row, "meaning", o->meaning);
        free(value);
    }
    for (int i = 0; i < config->n_sweep; i++)
        for (int v = 0; v < config->sweep[i].n; v++) {
            int64_t row = table_add_row(t);
            table_set_text(t, row, "name", config->sweep[i].name);
            table_set_text(t, row, "value", config->sweep[i].value[v]);
            table_set_text(t, row, "meaning", "swept");
        }
    for (int c = 0; c < config->n_choices; c++) {
        int64_t row = table_add_row(t);
        table_set_text(t, row, "name", "choices");
        table_set_text(t, row, "value", config->choice[c].name);
        table_set_text(t, row, "meaning", config->choice[c].perturbation->summary);
    }
    return t;
}

static bool same_settings(const Table *a, const Table *b)
{
    if (a->n_rows != b->n_rows) return false;
    for (int64_t r = 0; r < a->n_rows; r++)
        if (strcmp(table_text(a, r, "name"), table_text(b, r, "name")) || strcmp(table_text(a, r, "value"), table_text(b, r, "value"))) return false;
    return true;
}

int tables_store(const Tables *tables, const Config *config, Store *store)
{
    if (tables->n == 0) return OK;
    Table *settings = settings_table(config), *old = NULL;
    int status = OK;
    if (store_get_table(&old, store, "settings") == OK && !same_settings(old, settings)) status = store_clear_tables(store);
    if (status == OK) status = store_put_table(store, settings);
    for (int i = 0; i < tables->n && status == OK; i++) status = store_put_table(store, tables->table[i]);
    if (old) table_free(old);
    table_free(settings);
    return status;
}

void tables_free(Tables *tables)
{
    for (int i = 0; i < tables->n; i++) table_free(tables->table[i]);
    free(tables->table);
    *tables = (Tables){ 0 };
}
