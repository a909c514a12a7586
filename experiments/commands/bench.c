/*
 * bench.c - how fast this machine is at what the program does
 */
#include <stdio.h>

#include "core/base/err.h"
#include "core/model/random_model.h"
#include "experiments/bench/bench.h"
#include "experiments/command.h"

static const Option own[] = {
    { "shape",   OPTION_ONE_OF,  false, "smollm2-135m", 0, 0, "smollm2-135m|llama-3.2-1b|llama-3.1-8b|tiny", "", "of the model with random weights that stands in where no MODEL is given" },
    { "context", OPTION_INTEGER, false, "512",          2, 1e7,   NULL, "tokens", "length of each window of random tokens" },
    { "windows", OPTION_INTEGER, false, "4",            1, 1e6,   NULL, "windows", "windows that a pass takes" },
    { "large",   OPTION_INTEGER, false, NULL,           16, 65536, NULL, "numbers", "rows and columns of the large product and copy that rates are held against (default 8192 on a GPU, 1536 otherwise)" },
    { "repeats", OPTION_INTEGER, false, "5",            1, 1000,  NULL, "", "times that everything is done again" },
    { "forward-only", OPTION_FLAG, false, "no",         0, 0,     NULL, "", "the forward pass alone, without a KL measurement and a Fisher pass" },
    { 0 },
};

static int bench(Bench *b, const Options *options)
{
    TRY(bench_ceilings(b));
    TRY(bench_forward(b));
    if (!options_flag(options, "forward-only")) TRY(bench_measurements(b));
    if (options_flag(options, "json")) bench_print_json(b);
    else bench_print(b);
    return OK;
}

static int run(const Arguments *a)
{
    const Options *o = a->options;
    Bench b = { .repeats = (int)options_integer(o, "repeats"), .quiet = options_flag(o, "quiet") };
    Model *model = NULL;
    Corpus corpus = { 0 };
    TRY(chosen_kernels(&b.kernels, o));
    b.memory = chosen_memory(o, b.kernels);
    b.large = options_is_given(o, "large") ? (int)options_integer(o, "large") : b.kernels->finish ? 8192 : 1536;
    TRY(a->n_positional ? model_open(&model, a->positional[0]) : model_random(&model, options_text(o, "shape")));
    const int context = (int)options_integer(o, "context");
    int status = OK;
    if (context > model_shape(model)->context) status = err_set(ERR_ARGUMENT, "--context %d is more than the model's %d", context, model_shape(model)->context);
    if (status == OK) status = corpus_random(&corpus, (int)options_integer(o, "windows"), context, model_shape(model)->vocabulary, 1);
    b.model = model;
    b.corpus = &corpus;
    if (status == OK) status = bench(&b, o);
    corpus_free(&corpus);
    model_close(&model);
    return status;
}

const Command command_bench = {
    .name = "bench", .arguments = "[MODEL]", .summary = "how fast this machine is at what the program does",
    .own = own, .least = 0, .most = 1, .json = true, .run = run,
};
