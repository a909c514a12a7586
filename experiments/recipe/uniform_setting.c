/*
 * uniform_setting.c - choices as integer grids: width, group, symmetric or not; which is what GPTQ's and its relatives' files hold
 *
 * How the codes are found (rounded to nearest, by GPTQ, with a grid that is clipped) is the other program's affair: what a recipe says
 * is the form in which they are stored.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

static bool has_grid(const Choice *choice)
{
    const char *name = choice->perturbation->name;
    if (!strcmp(name, "rtn") || !strcmp(name, "gptq")) return true;
    return !strcmp(name, "awq") && !options_flag(choice->options, "scales");    /* else a column has a factor of its own */
}

/* The group as the other program should have it: one that is no shorter than a row is the row. */
static int read_group(int64_t *out, const RecipeLayer *layer, const char *format)
{
    const int64_t group = options_integer(layer->choice.options, "group"), cols = layer->cols;
    *out = cols && group >= cols ? GROUP_ROW : group;
    if (cols && *out != GROUP_ROW && cols % group != 0)
        FAIL(ERR_ARGUMENT, "%s: %s cannot take %s here, since a row of %lld weights is no whole number of groups of %lld", layer->name, format, layer->choice.name,
             (long long)cols, (long long)group);
    return OK;
}

static int read_setting(UniformSetting *out, const RecipeLayer *layer, const char *format)
{
    const Choice *choice = &layer->choice;
    if (!has_grid(choice))
        FAIL(ERR_ARGUMENT, "%s: %s cannot take %s; it takes integer grids: rtn, gptq, and awq with scales=no", layer->name, format, choice->name);
    if (strcmp(options_text(choice->options, "scale_bits"), "16") != 0)
        FAIL(ERR_ARGUMENT, "%s: %s cannot take %s; its scales have 16 bits", layer->name, format, choice->name);
    *out = (UniformSetting){
        .bits = (int)options_integer(choice->options, "bits"),
        .symmetric = options_flag(choice->options, "symmetric"),
        .act_order = options_has(choice->options, "act_order") && options_flag(choice->options, "act_order"),
    };
    return read_group(&out->group, layer, format);
}

static bool same_setting(const UniformSetting *a, const UniformSetting *b)
{
    return a->bits == b->bits && a->group == b->group && a->symmetric == b->symmetric && a->act_order == b->act_order;
}

static int enter(UniformSettings *s, const UniformSetting *setting)
{
    for (int i = 0; i < s->n; i++)
        if (same_setting(&s->setting[i], setting)) return i;
    s->setting[s->n] = *setting;
    return s->n++;
}

/* The first of those that most layers have becomes number 0. */
static void most_frequent_first(UniformSettings *s, int n_layers)
{
    int best = 0, most = 0;
    for (int k = 0; k < s->n; k++) {
        int count = 0;
        for (int i = 0; i < n_layers; i++) count += s->of_layer[i] == k;
        if (count > most) most = count, best = k;
    }
    const UniformSetting first = s->setting[best];
    memmove(s->setting + 1, s->setting, (size_t)best * sizeof *s->setting);
    s->setting[0] = first;
    for (int i = 0; i < n_layers; i++) {
        int *k = &s->of_layer[i];
        if (*k >= 0 && *k <= best) *k = *k == best ? 0 : *k + 1;
    }
}

int uniform_settings(UniformSettings *out, const Recipe *recipe, const char *format)
{
    const size_t n = (size_t)recipe->n_layers;
    UniformSettings s = { 0, xcalloc(n, sizeof *s.of_layer), xcalloc(n, sizeof *s.setting) };
    int status = OK;
    for (int i = 0; i < recipe->n_layers && status == OK; i++) {
        UniformSetting setting;
        s.of_layer[i] = -1;
        if (!recipe->layer[i].choice.perturbation) continue;
        status = read_setting(&setting, &recipe->layer[i], format);
        if (status == OK) s.of_layer[i] = enter(&s, &setting);
    }
    if (status == OK) most_frequent_first(&s, recipe->n_layers);
    if (status == OK) *out = s;
    else uniform_settings_free(&s);
    return status;
}

void uniform_settings_free(UniformSettings *settings)
{
    free(settings->of_layer);
    free(settings->setting);
    *settings = (UniformSettings){ 0 };
}

char *warn_split(const Recipe *recipe)
{
    UniformSettings settings;
    if (uniform_settings(&settings, recipe, "") != OK) return NULL;
    int n = 0;
    for (const int *k = settings.of_layer; k < settings.of_layer + recipe->n_layers; k += LAYER_TYPES)
        n += k[WEIGHT_Q] != k[WEIGHT_K] || k[WEIGHT_Q] != k[WEIGHT_V] || k[WEIGHT_GATE] != k[WEIGHT_UP];
    uniform_settings_free(&settings);
    if (n == 0) return NULL;
    return xformat("in %d of %d blocks q, k and v, or gate and up, differ in setting: transformers takes that, vLLM, which joins them, does not "
                   "(allocate --together q,k,v --together gate,up gives them one)", n, recipe->n_layers / LAYER_TYPES);
}
