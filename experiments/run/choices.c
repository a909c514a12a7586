/*
 * choices.c - choices that cannot work, told before hours of measuring
 */
#include "core/base/err.h"
#include "experiments/run/run.h"

static int check_choice(const Run *run, const Choice *choice)
{
    const Perturbation *p = choice->perturbation;
    if (!p->encode) FAIL(ERR_ARGUMENT, "%s: '%s' is noise and has no size in bits, so it cannot be a choice", run->config->path, p->name);
    if (p->needs && !options_is_set(run->options, "calibration.file"))
        FAIL(ERR_ARGUMENT, "%s: the choice %s needs to see the inputs of the layers: give calibration.file, a text that they are taken from", run->config->path, choice->name);
    for (int i = 0; i < run->n_layers && p->check; i++) {
        const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
        int status = p->check(layer->rows, layer->cols, choice->options);
        if (status != OK) return err_context(status, "choice %s, %s", choice->name, layer->name);
    }
    return OK;
}

int run_check_choices(const Run *run)
{
    for (int c = 0; c < run->config->n_choices; c++) TRY(check_choice(run, &run->config->choice[c]));
    return OK;
}
