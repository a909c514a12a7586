/*
 * additivity_choices.c - settings that cannot work, told before hours of measuring; what choices do to the weights
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/additivity/additivity.h"

int additivity_check(const Run *run)
{
    if (!strcmp(options_text(run->options, "noise.fresh"), "shared"))
        FAIL(ERR_ARGUMENT, "%s: the experiment additivity has errors over windows only, so it needs noise.fresh: sequence", run->config->path);
    return run_check_choices(run);
}

static int apply_to_layer(Additivity *a, int i)
{
    for (int c = 0; c < a->n_choices; c++) {
        const MapEntry entry = { a->run->layer[i], additivity_choice(a, c)->perturbation, additivity_choice(a, c)->options };
        PerturbationError error;
        TRY(study_apply(NULL, &error, a->run->study, &entry, (Draw){ study_seed(a->run->study), 0, 0 }));
        a->t2[c * a->n_layers + i] = error.t2, a->bits[c * a->n_layers + i] = error.bits;
    }
    return OK;
}

int choices_apply(Additivity *a)
{
    for (int i = 0; i < a->n_layers && a->n_choices; i++) TRY(apply_to_layer(a, i));
    return OK;
}

double choice_bits(const Additivity *a, int choice)
{
    double bits = 0, weights = 0;
    for (int i = 0; i < a->n_layers; i++) {
        const double n = (double)(additivity_layer(a, i)->rows * additivity_layer(a, i)->cols);
        bits += n * a->bits[choice * a->n_layers + i];
        weights += n;
    }
    return bits / weights;
}

int middle_choice(const Additivity *a)
{
    for (int c = 0; c < a->n_choices; c++) {
        int fewer = 0;
        for (int other = 0; other < a->n_choices; other++)
            fewer += choice_bits(a, other) < choice_bits(a, c) || (other < c && choice_bits(a, other) == choice_bits(a, c));
        if (fewer == a->n_choices / 2) return c;
    }
    return -1;
}
