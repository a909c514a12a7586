#include "experiments/recipe/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void recipe_free(Recipe *recipe)
{
    for (int i = 0; i < recipe->n_layers; i++) choice_free(&recipe->layer[i].choice);
    free(recipe->layer);
    *recipe = (Recipe){ 0 };
}

/* "blocks.3.down" as it is written by us: no leading zeros, nothing behind it. */
static bool read_layer_name(int *block, WeightKind *type, const char *name)
{
    enum { MOST_BLOCKS = 100000 };
    char *end = NULL;
    const long number = strncmp(name, "blocks.", 7) ? -1 : strtol(name + 7, &end, 10);
    if (number < 0 || number >= MOST_BLOCKS || *end != '.') return false;
    for (int t = 0; t < LAYER_TYPES; t++) {
        char exact[32];
        snprintf(exact, sizeof exact, "blocks.%ld.%s", number, layer_type_name[t]);
        if (strcmp(exact, name)) continue;
        *block = (int)number;
        *type = (WeightKind)t;
        return true;
    }
    return false;
}

static int count_blocks(int *out, const NamedAllocation *named, const Model *model)
{
    int block;
    WeightKind type;
    *out = model ? model_shape(model)->n_blocks : 0;
    for (int i = 0; i < named->n; i++) {
        if (!read_layer_name(&block, &type, named->layer[i]))
            FAIL(ERR_ARGUMENT, "'%.80s' is no layer: a recipe needs names such as blocks.3.down, with q, k, v, o, gate, up or down", named->layer[i]);
        if (model && block >= *out) FAIL(ERR_ARGUMENT, "there is no layer %s in %s, which has %d blocks", named->layer[i], model_path(model), *out);
        if (!model && block >= *out) *out = block + 1;
    }
    return OK;
}

static int set_choice(RecipeLayer *layer, const char *choice, double bits)
{
    if (choice_parse(&layer->choice, choice) != OK) return err_context(ERR_ARGUMENT, "%s", layer->name);
    const Perturbation *p = layer->choice.perturbation;
    if (!p->encode) FAIL(ERR_ARGUMENT, "%s: the choice '%s' is noise, which no other program can store", layer->name, choice);
    if (layer->cols && p->check && p->check(layer->rows, layer->cols, layer->choice.options) != OK) return err_context(ERR_ARGUMENT, "%s", layer->name);
    layer->bits = bits;
    return OK;
}

int recipe_init(Recipe *out, const NamedAllocation *named, const Model *model)
{
    int n_blocks, block, status = OK;
    WeightKind type;
    TRY(count_blocks(&n_blocks, named, model));
    Recipe r = { named->budget, named->average, n_blocks * LAYER_TYPES, xcalloc((size_t)(n_blocks * LAYER_TYPES), sizeof *r.layer), model };
    for (int i = 0; i < r.n_layers; i++) {
        RecipeLayer *layer = &r.layer[i];
        *layer = (RecipeLayer){ .block = i / LAYER_TYPES, .type = (WeightKind)(i % LAYER_TYPES), .bits = NAN };
        snprintf(layer->name, sizeof layer->name, "blocks.%d.%s", layer->block, layer_type_name[layer->type]);
        if (model) layer->rows = model_layer(model, i)->rows, layer->cols = model_layer(model, i)->cols;
    }
    for (int i = 0; i < named->n && status == OK; i++) {
        read_layer_name(&block, &type, named->layer[i]);
        status = set_choice(&r.layer[model_layer_index(block, type)], named->choice[i], named->bits[i]);
    }
    if (status == OK) *out = r;
    else recipe_free(&r);
    return status;
}
