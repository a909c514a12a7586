/*
 * allocation_json.c - what `allocate --json` prints as a table like that of a results file: a row for each layer of each allocation
 *
 * Every number and word that an allocation has beside its choices becomes a column, whatever it is, so that --where can choose by it;
 * `bits`, which is the average there and a layer's own in a results file, is `average` here.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/json.h"
#include "experiments/recipe/recipe.h"

static const char *column_of(const char *key) { return !strcmp(key, "bits") ? "average" : key; }

static void add_columns(Table *table, json_t *allocation)
{
    const char *key;
    json_t *value;
    json_object_foreach(allocation, key, value)
        if ((json_is_number(value) || json_is_string(value)) && !table_column(table, column_of(key)))
            table_add_column(table, json_is_string(value) ? COLUMN_TEXT : COLUMN_NUMBER, column_of(key), "", "");
}

static void set_cells(Table *table, int64_t row, json_t *allocation)
{
    const char *key;
    json_t *value;
    json_object_foreach(allocation, key, value) {
        const Column *column = table_column(table, column_of(key));
        if (column && column->type == COLUMN_NUMBER && json_is_number(value)) table_set_number(table, row, column->name, json_number_value(value));
        if (column && column->type == COLUMN_TEXT && json_is_string(value)) table_set_text(table, row, column->name, json_string_value(value));
    }
}

static int add_rows(Table *table, json_t *allocation, const char *path)
{
    json_t *choices = json_object_get(allocation, "choices"), *value;
    const char *layer;
    if (!json_is_object(choices) || json_object_size(choices) == 0) FAIL(ERR_FORMAT, "%s: an allocation has no 'choices', a name for each layer", path);
    json_object_foreach(choices, layer, value) {
        if (!json_is_string(value)) FAIL(ERR_FORMAT, "%s: the choice of layer '%s' is no string", path, layer);
        const int64_t row = table_add_row(table);
        set_cells(table, row, allocation);
        table_set_text(table, row, "layer", layer);
        table_set_text(table, row, "choice", json_string_value(value));
    }
    return OK;
}

static int fill(Table *table, json_t *list, const char *path)
{
    json_t *allocation;
    size_t i;
    if (!json_is_array(list) || json_array_size(list) == 0) FAIL(ERR_FORMAT, "%s has no 'allocations', a list as linearity allocate --json prints it", path);
    table_add_column(table, COLUMN_NUMBER, "budget", "", "");
    table_add_column(table, COLUMN_TEXT, "layer", "", "");
    table_add_column(table, COLUMN_TEXT, "choice", "", "");
    json_array_foreach(list, i, allocation) add_columns(table, allocation);
    json_array_foreach(list, i, allocation) TRY(add_rows(table, allocation, path));
    return OK;
}

int allocation_table_from_json(Table **out, const char *path)
{
    json_t *file;
    TRY(json_object_from_file(&file, path));
    Table *table = table_new("allocations", "");
    int status = fill(table, json_object_get(file, "allocations"), path);
    json_decref(file);
    if (status == OK) *out = table;
    else table_free(table);
    return status;
}
