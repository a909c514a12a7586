/*
 * csv.c - the same as a table: a row a layer, the options as one cell
 */
#include <stdlib.h>

#include "core/store/table.h"
#include "experiments/recipe/recipe.h"

static int csv_write(FILE *out, const Recipe *recipe)
{
    Table *table = table_new("recipe", "a choice for each layer");
    table_add_column(table, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(table, COLUMN_TEXT, "choice", "", "what it gets");
    table_add_column(table, COLUMN_TEXT, "method", "", "quantizer");
    table_add_column(table, COLUMN_TEXT, "options", "", "key=value of all its options, parted by commas");
    table_add_column(table, COLUMN_NUMBER, "bits", "bits/weight", "of this layer");
    for (int i = 0; i < recipe->n_layers; i++) {
        const RecipeLayer *layer = &recipe->layer[i];
        if (!layer->choice.perturbation) continue;
        char *options = options_canonical(layer->choice.options);
        const int64_t row = table_add_row(table);
        table_set_text(table, row, "layer", layer->name);
        table_set_text(table, row, "choice", layer->choice.name);
        table_set_text(table, row, "method", layer->choice.perturbation->name);
        table_set_text(table, row, "options", options);
        table_set_number(table, row, "bits", layer->bits);
        free(options);
    }
    int status = table_write(table, out, FORMAT_CSV);
    table_free(table);
    return status;
}

const RecipeFormat recipe_csv = {
    .name = "csv", .summary = "the same as a table: layer, choice, method, options (key=value,..), bits; any method", .write = csv_write,
};
