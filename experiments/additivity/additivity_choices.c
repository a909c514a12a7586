/*
 * additivity_choices.c - settings that cannot work, told before hours of measuring; what choices do to the weights
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/additivity/additivity.h"

static int check_choice(const Run *run, const Choice *choice)
{
    if (choice->perturbation->random)
        FAIL(ERR_ARGUMENT, "%s: '%s' is noise and has no size in bits, so it cannot be a choice", run->config->path, choice->perturbation->name);
    for (int i = 0; i < run->n_layers && choice->perturbation->check; i++) {
        const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
        int status = choice->perturbation->check(layer->rows, layer->cols, choice->options);
        if (status != OK) return err_context(status, "choice %s, %s", choice->name, layer->name);
    }
    return OK;
}

int additivity_check(const Run *run)
{
    if (!strcmp(options_text(run->options, "noise.fresh"), "shared"))
        FAIL(ERR_ARGUMENT, "%s: the experiment additivity has errors over windows only, so it needs noise.fresh: sequence", run->config->path);
    for (int c = 0; c < run->config->n_choices; c++) TRY(check_choice(run, &run->config->choice[c]));
    return OK;
}

static int apply_to_layer(Additivity *a, int i)
{
    const Layer *layer = additivity_layer(a, i);
    const int64_t n = layer->rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n), *out = xmalloc(sizeof *out * (size_t)n);
    const LayerWeights weights = { w, layer->rows, layer->cols, a->run->layer[i] };
    int status = model_read(w, study_model(a->run->study), layer->type, layer->block, 0, layer->rows);
    for (int c = 0; c < a->n_choices && status == OK; c++) {
        const Choice *choice = additivity_choice(a, c);
        PerturbationError error;
        status = perturbation_apply(out, &error, choice->perturbation, &weights, choice->options, NULL, (Draw){ study_seed(a->run->study), 0, 0 });
        if (status != OK) err_context(status, "%s", layer->name);
        else a->t2[c * a->n_layers + i] = error.t2, a->bits[c * a->n_layers + i] = error.bits;
    }
    free(w);
    free(out);
    return status;
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
