/*
 * plan.c - lists of measurements, the tables and the summary of a run
 */
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run.h"

static void plan_push(Plan *plan, LayerMap map)
{
    if (plan->n == plan->capacity) {
        plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
        plan->map = xrealloc(plan->map, sizeof *plan->map * (size_t)plan->capacity);
    }
    plan->map[plan->n++] = map;
}

void plan_add_null(Plan *plan) { plan_push(plan, (LayerMap){ .null_run = true, .label = xstrdup("null run") }); }

void plan_add(Plan *plan, const MapEntry *entry, int n, int draw, const char *label)
{
    MapEntry *copy = xmalloc(sizeof *copy * (size_t)(n ? n : 1));
    for (int i = 0; i < n; i++) copy[i] = (MapEntry){ entry[i].layer, entry[i].perturbation, options_copy(entry[i].options) };
    plan_push(plan, (LayerMap){ .n = n, .entry = copy, .draw = draw, .label = xstrdup(label) });
}

void plan_free(Plan *plan)
{
    for (int i = 0; i < plan->n; i++) {
        LayerMap *map = &plan->map[i];
        for (int j = 0; j < map->n; j++) options_free((Options *)map->entry[j].options);
        free((MapEntry *)map->entry);
        free((char *)map->label);
    }
    free(plan->map);
    *plan = (Plan){ 0 };
}

/* ---- measuring what is planned ---- */

static int compare_keys(const void *a, const void *b) { return strcmp(a, b); }

bool key_is_new(void **seen, const char *key)
{
    char *copy = xstrdup(key);
    bool is_new = *(char **)tsearch(copy, seen, compare_keys) == copy;
    if (!is_new) free(copy);
    return is_new;
}

void keys_free(void **seen)
{
    tdestroy(*seen, free);
    *seen = NULL;
}

int run_measure(Measurement *out, Run *run, const LayerMap *map)
{
    bool known = measure_known(run->study, map);
    double work = measure_cost(run->study, map);
    int before = study_executed(run->study);
    TRY(measure(out, run->study, map));
    run->measured += study_executed(run->study) - before;
    if (!key_is_new(&run->seen, out->key)) return OK;
    run->found += known;
    if (known) progress_skip(run->progress, work);
    else progress_step(run->progress, work, map->label);
    return OK;
}

void run_say(Run *run, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    run->summary = xrealloc(run->summary, sizeof *run->summary * (size_t)(run->n_summary + 1));
    run->summary[run->n_summary++] = xstrdup(line);
}

/* ---- tables over all combinations of the sweep ---- */

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
    for (int i = 0; i < point->n; i++) table_add_column(t, COLUMN_TEXT, point->name[i], "", "swept setting");
    return t;
}

static void append_rows(Table *to, const Table *from, const SweepPoint *point)
{
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

int tables_store(const Tables *tables, Store *store)
{
    for (int i = 0; i < tables->n; i++) TRY(store_put_table(store, tables->table[i]));
    return OK;
}

void tables_free(Tables *tables)
{
    for (int i = 0; i < tables->n; i++) table_free(tables->table[i]);
    free(tables->table);
    *tables = (Tables){ 0 };
}
