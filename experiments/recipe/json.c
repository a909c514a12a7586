/*
 * json.c - a recipe for one's own programs: layer, method, every option with its value, bits
 */
#include <jansson.h>
#include <math.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

static json_t *number_or_null(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *option_value(const Options *options, const Option *row)
{
    switch (row->type) {
    case OPTION_FLAG:    return json_boolean(options_flag(options, row->name));
    case OPTION_NUMBER:  return json_real(options_number(options, row->name));
    case OPTION_INTEGER:
    case OPTION_SIZE:    return json_integer(options_integer(options, row->name));
    default:             return json_string(options_text(options, row->name));
    }
}

/* No quantizer has an option that is a list. */
static json_t *options_object(const Options *options)
{
    json_t *object = json_object();
    for (const Option *row = options_table(options); row->name; row++)
        if (options_is_set(options, row->name)) json_object_set_new(object, row->name, option_value(options, row));
    return object;
}

static int json_write(FILE *out, const Recipe *recipe)
{
    json_t *layers = json_array();
    for (int i = 0; i < recipe->n_layers; i++) {
        const RecipeLayer *layer = &recipe->layer[i];
        if (!layer->choice.perturbation) continue;
        json_array_append_new(layers, json_pack("{s:s, s:s, s:s, s:o, s:o}", "layer", layer->name, "choice", layer->choice.name, "method",
                                                layer->choice.perturbation->name, "options", options_object(layer->choice.options), "bits", number_or_null(layer->bits)));
    }
    json_t *recipe_object = json_pack("{s:o, s:o, s:o}", "budget", number_or_null(recipe->budget), "bits", number_or_null(recipe->average), "layers", layers);
    json_dumpf(recipe_object, out, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    fputc('\n', out);
    json_decref(recipe_object);
    return OK;
}

const RecipeFormat recipe_json = {
    .name = "json", .summary = "layer, choice, method, all options with their values, bits (null: ALLOCATION does not tell); any method", .write = json_write,
};
