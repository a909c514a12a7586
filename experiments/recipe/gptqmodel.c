/*
 * gptqmodel.c - GPTQModel's QuantizeConfig: the most frequent setting as the base, `dynamic` for layers that differ
 *
 * A key of `dynamic` is a regular expression that must match a module's name from its start ("+:" before it), or one whose modules are
 * not quantized ("-:"; GPTQModel moves these to the front, so none may match a layer of another).  act_order with grids from the
 * original weights, as the method gptq has it, is desc_act with static_groups.
 */
#include <jansson.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

static json_t *setting_object(const UniformSetting *s)
{
    return json_pack("{s:i, s:I, s:b, s:b, s:b}", "bits", s->bits, "group_size", s->group == GROUP_ROW ? (json_int_t)-1 : (json_int_t)s->group,
                     "sym", s->symmetric, "desc_act", s->act_order, "static_groups", s->act_order);
}

static void add_patterns(json_t *dynamic, const Recipe *recipe, const UniformSettings *settings, int index)
{
    Patterns patterns = layer_patterns(recipe, settings->of_layer, index);
    for (int i = 0; i < patterns.n; i++) {
        char *key = xformat("%s:%s", index < 0 ? "-" : "+", patterns.text[i]);
        json_object_set_new(dynamic, key, index < 0 ? json_object() : setting_object(&settings->setting[index]));
        free(key);
    }
    patterns_free(&patterns);
}

static int gptqmodel_write(FILE *out, const Recipe *recipe)
{
    UniformSettings settings;
    TRY(uniform_settings(&settings, recipe, "gptqmodel"));
    json_t *config = setting_object(&settings.setting[0]), *dynamic = json_object();
    add_patterns(dynamic, recipe, &settings, -1);
    for (int k = 1; k < settings.n; k++) add_patterns(dynamic, recipe, &settings, k);
    json_object_set_new(config, "dynamic", dynamic);
    json_dumpf(config, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(config);
    uniform_settings_free(&settings);
    return OK;
}

const RecipeFormat recipe_gptqmodel = {
    .name = "gptqmodel", .summary = "GPTQModel: bits, group_size, sym and dynamic; takes rtn, gptq, and awq without scales",
    .use = "GPTQModel.load(MODEL, QuantizeConfig(**json.load(open(FILE)))).quantize(CALIBRATION)    in Python",
    .write = gptqmodel_write, .warn = warn_split,
};
