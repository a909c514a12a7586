/*
 * recipe.h - an allocation as the input of another program: which layer gets which setting, in that program's words
 *
 * A new format is one file that defines a RecipeFormat and one row in registry.c.
 */
#ifndef EXPERIMENTS_RECIPE_RECIPE_H
#define EXPERIMENTS_RECIPE_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "core/base/options.h"
#include "core/config/choice_name.h"
#include "core/model/model.h"
#include "core/store/table.h"

/* One allocation of a file, as it stands there. */
typedef struct {
    double budget, average;         /* [bits/weight] NaN where the file does not tell */
    int n;
    char **layer, **choice;         /* [n] names */
    double *bits;                   /* [n] per weight; NaN where the file does not tell */
} NamedAllocation;

/* From the JSON of `allocate --json` or from the table `allocations` of a results file; which one of several: --budget and --where.
 * ERR_ARGUMENT with the list where that leaves more than one or none.  named_free is due after a failure too. */
int  named_read(NamedAllocation *out, const char *path, const Options *options);
void named_free(NamedAllocation *named);

/* The former as a table like the latter, with a column for each number and word of an allocation; the caller frees. */
int  allocation_table_from_json(Table **out, const char *path);

typedef struct {
    char name[32];                  /* "blocks.3.down" */
    int block;
    WeightKind type;
    Choice choice;                  /* perturbation NULL: the allocation leaves this layer as it is */
    double bits;                    /* per weight, NaN: not told */
    int64_t rows, cols;             /* 0: no model was given */
} RecipeLayer;

typedef struct {
    double budget, average;         /* [bits/weight] NaN: not told */
    int n_layers;                   /* all layers of the model's blocks or, without a model, of the allocation's */
    RecipeLayer *layer;             /* [n_layers] in the order of the model */
    const Model *model;             /* borrowed; NULL: not given */
} Recipe;

/* ERR_ARGUMENT where a name is no layer's, a layer is not in the model, or a choice is no quantizer's. */
int  recipe_init(Recipe *out, const NamedAllocation *named, const Model *model);
void recipe_free(Recipe *recipe);

typedef struct {
    const char *name, *summary;
    const char *use;                /* how the other program takes FILE, for --help; NULL: as one likes */
    int (*write)(FILE *out, const Recipe *recipe);
    char *(*warn)(const Recipe *recipe);        /* what to know about this one, for stderr; the caller frees; NULL: nothing ever */
} RecipeFormat;

extern const RecipeFormat *const recipe_formats[];      /* ends with NULL */
const RecipeFormat *recipe_format_find(const char *name);       /* NULL, and the failure recorded, where there is none */

/* ---- for formats whose layers have uniform grids under Hugging Face names: uniform_setting.c, patterns.c ---- */

enum { GROUP_ROW = 0 };
typedef struct { int bits; int64_t group; bool symmetric, act_order; } UniformSetting;      /* group GROUP_ROW: one scale a row */

/* [n_layers] The setting of each layer, as an index into setting[*n]; -1 where it is left alone.  The most frequent setting comes
 * first, then in order of first use.  ERR_ARGUMENT names the layer, its choice and what a grid can be. */
typedef struct { int n, *of_layer; UniformSetting *setting; } UniformSettings;
int  uniform_settings(UniformSettings *out, const Recipe *recipe, const char *format);
void uniform_settings_free(UniformSettings *settings);

/* "model.layers.3.mlp.down_proj"; the caller frees. */
char *hugging_face_module(const RecipeLayer *layer);

/* Regular expressions that match the names of the layers with of_layer[i] == index and no others, one for each set of blocks:
 * "^model\.layers\.(0|1)\.(self_attn\.q_proj|mlp\.down_proj)$". */
typedef struct { int n; char *text[LAYER_TYPES]; } Patterns;
Patterns layer_patterns(const Recipe *recipe, const int *of_layer, int index);
void     patterns_free(Patterns *patterns);

/* For RecipeFormat.warn: in how many blocks q, k and v, or gate and up, differ in setting; NULL where in none. */
char *warn_split(const Recipe *recipe);

#endif
