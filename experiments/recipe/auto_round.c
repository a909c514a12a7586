/*
 * auto_round.c - AutoRound's layer_config: a setting for each layer by its whole name
 *
 * AutoRound takes regular expressions too, but puts a backslash before every dot of them itself and lets them override whole names: names
 * cannot be mistaken.  It stores 8 bits only symmetric, except for llm-compressor.
 */
#include <jansson.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

static int check(const RecipeLayer *layer, const UniformSetting *s)
{
    if (s->bits == 8 && !s->symmetric)
        FAIL(ERR_ARGUMENT, "%s: auto-round cannot take %s; its grids of 8 bits are symmetric", layer->name, layer->choice.name);
    if (layer->cols && (layer->rows % 32 || layer->cols % 32))
        FAIL(ERR_ARGUMENT, "%s: auto-round cannot take %s; it leaves alone what has not a multiple of 32 rows and columns", layer->name, layer->choice.name);
    return OK;
}

static json_t *setting_object(const UniformSetting *s)
{
    if (!s) return json_pack("{s:i, s:s}", "bits", 16, "data_type", "float");
    return json_pack("{s:i, s:I, s:b, s:s}", "bits", s->bits, "group_size", s->group == GROUP_ROW ? (json_int_t)-1 : (json_int_t)s->group,
                     "sym", s->symmetric, "data_type", "int");
}

static int auto_round_write(FILE *out, const Recipe *recipe)
{
    UniformSettings settings;
    TRY(uniform_settings(&settings, recipe, "auto-round"));
    json_t *config = json_object();
    int status = OK;
    for (int i = 0; i < recipe->n_layers && status == OK; i++) {
        const UniformSetting *s = settings.of_layer[i] < 0 ? NULL : &settings.setting[settings.of_layer[i]];
        char *name = hugging_face_module(&recipe->layer[i]);
        if (s) status = check(&recipe->layer[i], s);
        json_object_set_new(config, name, setting_object(s));
        free(name);
    }
    if (status == OK) {
        json_dumpf(config, out, JSON_INDENT(2));
        fputc('\n', out);
    }
    json_decref(config);
    uniform_settings_free(&settings);
    return status;
}

const RecipeFormat recipe_auto_round = {
    .name = "auto-round", .summary = "AutoRound: layer_config; takes rtn, gptq, and awq without scales",
    .use = "AutoRound(MODEL, scheme=\"W4A16\", layer_config=json.load(open(FILE))).quantize_and_save(DIR)    in Python",
    .write = auto_round_write, .warn = warn_split,
};
