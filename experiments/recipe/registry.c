#include <string.h>

#include "core/base/err.h"
#include "experiments/recipe/recipe.h"

/* Every format, in the order of --help: X(name) stands for recipe_name. */
#define FORMAT_LIST(X)      \
    X(llama_quantize)       \
    X(gptqmodel)            \
    X(compressed_tensors)   \
    X(auto_round)           \
    X(json)                 \
    X(csv)

#define X(name) extern const RecipeFormat recipe_##name;
FORMAT_LIST(X)
#undef X

#define X(name) &recipe_##name,
const RecipeFormat *const recipe_formats[] = { FORMAT_LIST(X) NULL };
#undef X

enum { COUNT = sizeof recipe_formats / sizeof *recipe_formats - 1 };

const RecipeFormat *recipe_format_find(const char *name)
{
    const char *names[COUNT];
    for (int i = 0; i < COUNT; i++) {
        if (!strcmp(recipe_formats[i]->name, name)) return recipe_formats[i];
        names[i] = recipe_formats[i]->name;
    }
    const char *nearest = err_nearest(name, names, COUNT);
    if (nearest) err_set(ERR_ARGUMENT, "--format: unknown format '%.80s'; did you mean '%s'?", name, nearest);
    else err_set(ERR_ARGUMENT, "--format: unknown format '%.80s'; linearity recipe --help lists them", name);
    return NULL;
}
