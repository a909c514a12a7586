/*
 * orders.c - controls: orders of blocks that know nothing of the model, at random or by depth
 */
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/importance/importance.h"

static const Option no_options[] = { { 0 } };

static int at_random(double *out, const ImportanceEvidence *e, const Options *options)
{
    const int draw = (int)options_integer(options, "draw");
    for (int b = 0; b < model_shape(e->model)->n_blocks; b++) out[b] = rng_uniform(e->seed, rng_stream(RNG_ORDER, 0, draw, 0), (uint64_t)b);
    return OK;
}

static const Option random_options[] = {
    { "draw", OPTION_INTEGER, false, "1", 1, 65535, NULL, "", "which independent draw" },
    { 0 },
};

const ImportanceRule importance_random = {
    .name = "random", .summary = "a random order (control)", .version = 1, .options = random_options, .of_model = at_random,
};

static int from_first(double *out, const ImportanceEvidence *e, const Options *options)
{
    (void)options;
    for (int b = 0, n = model_shape(e->model)->n_blocks; b < n; b++) out[b] = n - b;
    return OK;
}

const ImportanceRule importance_first_to_last = {
    .name = "first-to-last", .summary = "the first block matters most (control)", .version = 1, .options = no_options, .of_model = from_first,
};

static int from_last(double *out, const ImportanceEvidence *e, const Options *options)
{
    (void)options;
    for (int b = 0; b < model_shape(e->model)->n_blocks; b++) out[b] = b + 1;
    return OK;
}

const ImportanceRule importance_last_to_first = {
    .name = "last-to-first", .summary = "the last block matters most (control)", .version = 1, .options = no_options, .of_model = from_last,
};
