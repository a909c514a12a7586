/*
 * patterns.c - layers by their Hugging Face names: one by one, and as anchored regular expressions
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/hugging_face_names.h"
#include "experiments/recipe/recipe.h"

#define WEIGHT ".weight"

/* "mlp.down_proj", with its dots as `dot`; the caller frees. */
static char *module_in_block(WeightKind type, const char *dot)
{
    const char *name = hugging_face_names[type], *point = strchr(name, '.');
    return xformat("%.*s%s%.*s", (int)(point - name), name, dot, (int)(strlen(point + 1) - strlen(WEIGHT)), point + 1);
}

char *hugging_face_module(const RecipeLayer *layer)
{
    char *module = module_in_block(layer->type, "."), *name = xformat(HUGGING_FACE_BLOCKS "%d.%s", layer->block, module);
    free(module);
    return name;
}

static void append(char **list, const char *more)
{
    char *longer = xformat("%s%s%s", *list, **list ? "|" : "", more);
    free(*list);
    *list = longer;
}

/* "0|2|3": the blocks whose layer of this type has the setting; "" where none has. */
static char *blocks_with(const Recipe *recipe, const int *of_layer, int index, int type)
{
    char *list = xstrdup(""), number[16];
    for (int i = type; i < recipe->n_layers; i += LAYER_TYPES) {
        if (of_layer[i] != index) continue;
        snprintf(number, sizeof number, "%d", recipe->layer[i].block);
        append(&list, number);
    }
    return list;
}

/* Parentheses where there is a choice. */
static char *pattern_of(const char *blocks, const char *modules)
{
    const char *open[2], *close[2], *list[2] = { blocks, modules };
    for (int i = 0; i < 2; i++) {
        const bool several = strchr(list[i], '|') != NULL;
        open[i] = several ? "(" : "";
        close[i] = several ? ")" : "";
    }
    return xformat("^model\\.layers\\.%s%s%s\\.%s%s%s$", open[0], blocks, close[0], open[1], modules, close[1]);
}

Patterns layer_patterns(const Recipe *recipe, const int *of_layer, int index)
{
    Patterns patterns = { 0 };
    char *blocks[LAYER_TYPES];
    for (int t = 0; t < LAYER_TYPES; t++) blocks[t] = blocks_with(recipe, of_layer, index, t);
    for (int t = 0; t < LAYER_TYPES; t++) {
        if (!*blocks[t]) continue;
        bool first = true;
        for (int u = 0; u < t; u++) first &= strcmp(blocks[u], blocks[t]) != 0;
        if (!first) continue;
        char *modules = xstrdup("");
        for (int u = t; u < LAYER_TYPES; u++) {
            if (strcmp(blocks[u], blocks[t]) != 0) continue;
            char *module = module_in_block((WeightKind)u, "\\.");
            append(&modules, module);
            free(module);
        }
        patterns.text[patterns.n++] = pattern_of(blocks[t], modules);
        free(modules);
    }
    for (int t = 0; t < LAYER_TYPES; t++) free(blocks[t]);
    return patterns;
}

void patterns_free(Patterns *patterns)
{
    for (int i = 0; i < patterns->n; i++) free(patterns->text[i]);
    patterns->n = 0;
}
