/*
 * recipe.c - an allocation in the words of the program that is to carry it out
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/durable.h"
#include "experiments/command.h"
#include "experiments/recipe/recipe.h"

static const Option own[] = {
    { "format", OPTION_TEXT,   false, NULL, 0,    0,  NULL, "", "the program it is for, one of those below" },
    { "budget", OPTION_NUMBER, false, NULL, 0.01, 64, NULL, "bits/weight", "which allocation, where ALLOCATION has several" },
    { "where",  OPTION_TEXT,   true,  NULL, 0,    0,  NULL, "", "which allocation, where ALLOCATION has several for a budget: --where rank=2" },
    { "model",  OPTION_TEXT,   false, NULL, 0,    0,  NULL, "", "the model that is to be quantized: the lengths of its rows decide what fits, and layers that "
                                                                "the allocation leaves out are named as such" },
    { "out",    OPTION_TEXT,   false, NULL, 0,    0,  NULL, "", "a file in the place of stdout" },
    { 0 },
};

static int check(const Arguments *a)
{
    return recipe_format_find(options_text(a->options, "format")) ? OK : ERR_ARGUMENT;
}

static int put(const char *text, size_t n, const Options *options)
{
    if (options_is_given(options, "out")) return durable_replace(options_text(options, "out"), text, n);
    fwrite(text, 1, n, stdout);                         /* main.c sees whether it failed */
    return OK;
}

/* Nothing is put out until all of it is known to be right. */
static int write_recipe(const RecipeFormat *format, const Recipe *recipe, const Options *options)
{
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    if (!memory) FAIL(ERR_MEMORY, "no memory for the recipe (%s)", strerror(errno));
    int status = format->write(memory, recipe);
    if (fclose(memory) != 0 && status == OK) status = err_set(ERR_MEMORY, "no memory for the recipe (%s)", strerror(errno));
    if (status == OK) status = put(text, n, options);
    free(text);
    return status;
}

static void say(const RecipeFormat *format, const Recipe *recipe, const Options *options)
{
    char *warning = format->warn && !options_flag(options, "quiet") ? format->warn(recipe) : NULL;
    if (warning) fprintf(stderr, "%s: %s\n", format->name, warning);
    free(warning);
}

static int run(const Arguments *a)
{
    const RecipeFormat *format = recipe_format_find(options_text(a->options, "format"));
    NamedAllocation named = { 0 };
    Recipe recipe = { 0 };
    Model *model = NULL;
    int status = named_read(&named, a->positional[0], a->options);
    if (status == OK && options_is_given(a->options, "model")) status = model_open(&model, options_text(a->options, "model"));
    if (status == OK) status = recipe_init(&recipe, &named, model);
    if (status == OK) status = write_recipe(format, &recipe, a->options);
    if (status == OK) say(format, &recipe, a->options);
    recipe_free(&recipe);
    model_close(&model);
    named_free(&named);
    return status;
}

static char *manual(void)
{
    char *text = xstrdup("Formats (--format), each with what is done with FILE:\n");
    for (int i = 0; recipe_formats[i]; i++) {
        const RecipeFormat *f = recipe_formats[i];
        char *longer = xformat("%s  %-18s  %s\n%s%s%s", text, f->name, f->summary, f->use ? "      " : "", f->use ? f->use : "", f->use ? "\n" : "");
        free(text);
        text = longer;
    }
    return text;
}

static const char *const required[] = { "format", NULL };

const Command command_recipe = {
    .name = "recipe", .arguments = "ALLOCATION --format FORMAT", .summary = "an allocation as the input of the program that quantizes",
    .details = "ALLOCATION is what linearity allocate --json prints, or a results file with a table allocations.\n"
               "  linearity allocate RUN.h5 --size 100MB --model MODEL.gguf --json > a.json\n"
               "  linearity recipe a.json --format llama-quantize --model MODEL.gguf > types.txt\n",
    .manual = manual, .own = own, .required = required, .check = check, .least = 1, .most = 1, .run = run,
};
