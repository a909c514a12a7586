/*
 * llama_quantize.c - the file of `llama-quantize --tensor-type-file FILE` (llama.cpp, tools/quantize/quantize.cpp): words REGEX=TYPE
 *
 * A regular expression that is found in a tensor's name gives it the type; of several the first does, in versions of 2025 the last, so
 * each line here matches one name.  Names are compared in lower case and the words are parted by any white space, so that the file
 * has no place for a comment.  Where blocks do not fit into a row, versions of 2026 choose another type themselves (for q2_k and q3_k
 * another than the method ggml takes) and earlier ones stop: so what is written is the type that is really used, which needs the lengths
 * of the rows, and so the model.
 *
 * llama-quantize gives every other matrix the type that is its last argument; where that is no quantized one, or in 2025 one whose blocks
 * do not fit, it leaves the file aside.  Matrices of a GGUF model that are not in the allocation are written with the type they have, and
 * so are not touched.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/model/gguf_names.h"
#include "core/quantize/ggml.h"
#include "experiments/recipe/recipe.h"

static bool is_gguf(const Model *model) { return model && !strcmp(model_tensor(model, WEIGHT_EMBEDDING, 0)->name, gguf_names[WEIGHT_EMBEDDING]); }

/* "^blk\.3\.ffn_down\.weight$=q4_k" */
static void write_line(FILE *out, const char *name, const char *type)
{
    fputc('^', out);
    for (; *name; name++) fprintf(out, *name == '.' ? "\\%c" : "%c", *name);
    fputs("$=", out);
    for (; *type; type++) fputc(tolower((unsigned char)*type), out);
    fputc('\n', out);
}

static int check(const RecipeLayer *layer)
{
    const Choice *choice = &layer->choice;
    if (strcmp(choice->perturbation->name, "ggml") != 0)
        FAIL(ERR_ARGUMENT, "%s: llama-quantize cannot take %s; it takes the block formats of the method ggml", layer->name, choice->name);
    const char *type = options_text(choice->options, "type");
    if (!layer->cols && strchr(type, 'k'))
        FAIL(ERR_ARGUMENT, "%s: %s gives way to another type where a row is no multiple of 256 weights: say with --model whose rows they are", layer->name,
             choice->name);
    return OK;
}

static int write_layer(FILE *out, const Recipe *recipe, const RecipeLayer *layer)
{
    char *name = xformat(GGUF_BLOCKS "%d.%s", layer->block, gguf_names[layer->type]);
    int status = OK;
    if (layer->choice.perturbation) {
        status = check(layer);
        const char *type = status == OK ? options_text(layer->choice.options, "type") : NULL;
        if (status == OK) write_line(out, name, layer->cols ? dtype_name(ggml_type_used(type, layer->cols)) : type);
    } else if (is_gguf(recipe->model)) {
        write_line(out, name, dtype_name(model_tensor(recipe->model, layer->type, layer->block)->dtype));
    }
    free(name);
    return status;
}

static int llama_quantize_write(FILE *out, const Recipe *recipe)
{
    static const WeightKind others[] = { WEIGHT_EMBEDDING, WEIGHT_HEAD };
    for (int i = 0; i < recipe->n_layers; i++) TRY(write_layer(out, recipe, &recipe->layer[i]));
    for (int i = 0; i < 2 && is_gguf(recipe->model); i++) {
        const Tensor *tensor = model_tensor(recipe->model, others[i], 0);
        if (tensor) write_line(out, tensor->name, dtype_name(tensor->dtype));
    }
    return OK;
}

static char *llama_quantize_warn(const Recipe *recipe)
{
    if (is_gguf(recipe->model)) return NULL;
    return xstrdup("the embedding, the head and layers that the allocation leaves out get llama-quantize's last argument as their type; "
                   "with --model MODEL.gguf they keep the one they have there");
}

const RecipeFormat recipe_llama_quantize = {
    .name = "llama-quantize", .summary = "llama.cpp: a type per tensor; takes the method ggml, and needs --model for types of blocks of 256",
    .use = "llama-quantize --tensor-type-file FILE MODEL.gguf OUT.gguf Q8_0    any type that is quantized; --allow-requantize where MODEL is",
    .write = llama_quantize_write, .warn = llama_quantize_warn,
};
