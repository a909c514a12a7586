/*
 * compressed_tensors.c - the quantization_config of compressed-tensors (llm-compressor, transformers, vLLM): a group for each setting
 *
 * Targets are regular expressions ("re:" before them) that must match a module's name from its start.  The groups have the names that
 * compressed-tensors itself gives (group_0): vLLM has taken others for names of schemes.
 */
#include <jansson.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

static json_t *weights_object(const UniformSetting *s)
{
    json_t *weights = json_pack("{s:i, s:s, s:b, s:s}", "num_bits", s->bits, "type", "int", "symmetric", s->symmetric, "strategy",
                                s->group == GROUP_ROW ? "channel" : "group");
    if (s->group != GROUP_ROW) json_object_set_new(weights, "group_size", json_integer(s->group));
    if (s->act_order) json_object_set_new(weights, "actorder", json_string("weight"));
    return weights;
}

static void append_targets(json_t *list, const Recipe *recipe, const UniformSettings *settings, int index)
{
    Patterns patterns = layer_patterns(recipe, settings->of_layer, index);
    for (int i = 0; i < patterns.n; i++) {
        char *target = xformat("re:%s", patterns.text[i]);
        json_array_append_new(list, json_string(target));
        free(target);
    }
    patterns_free(&patterns);
}

static int compressed_tensors_write(FILE *out, const Recipe *recipe)
{
    UniformSettings settings;
    TRY(uniform_settings(&settings, recipe, "compressed-tensors"));
    json_t *groups = json_object(), *ignore = json_array();
    for (int k = 0; k < settings.n; k++) {
        char name[24];
        snprintf(name, sizeof name, "group_%d", k);
        json_t *targets = json_array();
        append_targets(targets, recipe, &settings, k);
        json_object_set_new(groups, name, json_pack("{s:o, s:o}", "targets", targets, "weights", weights_object(&settings.setting[k])));
    }
    json_array_append_new(ignore, json_string("lm_head"));
    append_targets(ignore, recipe, &settings, -1);
    json_t *config = json_pack("{s:s, s:s, s:o, s:o}", "quant_method", "compressed-tensors", "format", "pack-quantized", "config_groups", groups, "ignore", ignore);
    json_dumpf(config, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(config);
    uniform_settings_free(&settings);
    return OK;
}

const RecipeFormat recipe_compressed_tensors = {
    .name = "compressed-tensors", .summary = "llm-compressor, vLLM: config_groups and ignore; takes rtn, gptq, and awq without scales",
    .use = "GPTQModifier(config_groups=c[\"config_groups\"], ignore=c[\"ignore\"])    in Python, after c = json.load(open(FILE))",
    .write = compressed_tensors_write, .warn = warn_split,
};
