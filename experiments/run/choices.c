/*
 * choices.c - choices and budgets that cannot work, told before hours of measuring
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/run/run.h"

static int check_choice(const Run *run, const Choice *choice)
{
    const Perturbation *p = choice->perturbation;
    if (!p->encode) FAIL(ERR_ARGUMENT, "%s: '%s' is noise and has no size in bits, so it cannot be a choice", run->config->path, p->name);
    if (p->needs && !options_is_set(run->options, "calibration.file"))
        FAIL(ERR_ARGUMENT, "%s: the choice %s needs to see %s: give calibration.file, a text that they are taken from", run->config->path, choice->name,
             needs_text(perturbation_needs(p, choice->options)));
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

/* The bits of one choice in one layer, from a few rows: enough to tell a hopeless budget before hours
 * of measuring, not to allocate by. */
static int first_bits(double *bits, const Run *run, int i, const Choice *choice, bool codes)
{
    enum { ROWS = 16 };
    const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
    int64_t rows = layer->rows < ROWS ? layer->rows : ROWS, n = rows * layer->cols;
    float *w = xmalloc(sizeof *w * (size_t)n), *out = xmalloc(sizeof *out * (size_t)n);
    LayerWeights weights = { w, rows, layer->cols, run->layer[i] };
    PerturbationError error;
    int status = model_read(w, study_model(run->study), layer->type, layer->block, 0, rows);
    if (status == OK) status = perturbation_apply(out, &error, choice->perturbation, &weights, choice->options, NULL, (Draw){ study_seed(run->study), 0, 0 });
    if (status == OK) *bits = codes ? error.code_bits : error.bits;
    free(w);
    free(out);
    return status == OK ? OK : err_context(status, "choice %s, %s", choice->name, layer->name);
}

/* Choices that need inputs are too dear to be tried for their size: with them the allocation itself will tell. */
static bool sizes_are_cheap(const Run *run)
{
    for (int c = 0; c < run->config->n_choices; c++)
        if (run->config->choice[c].perturbation->needs) return false;
    return true;
}

int run_check_budgets(const Run *run, bool codes)
{
    double least = 0, weights = 0;
    if (options_count(run->options, "budgets") == 0 || !sizes_are_cheap(run)) return OK;
    for (int i = 0; i < run->n_layers; i++) {
        const Layer *layer = model_layer(study_model(run->study), run->layer[i]);
        double fewest = INFINITY, bits = 0;
        for (int c = 0; c < run->config->n_choices; c++) {
            TRY(first_bits(&bits, run, i, &run->config->choice[c], codes));
            fewest = fmin(fewest, bits);
        }
        least += fewest * (double)(layer->rows * layer->cols);
        weights += (double)(layer->rows * layer->cols);
    }
    for (int b = 0; b < options_count(run->options, "budgets"); b++)
        if (options_number_at(run->options, "budgets", b) * weights < least * (1 - 1e-9))
            FAIL(ERR_BUDGET, "%s: no allocation fits the budget of %g bits per weight; the smallest choices need %.6f (%s)",
                 run->config->path, options_number_at(run->options, "budgets", b), least / weights, codes ? "codes alone" : "group sizes and scales count");
    return OK;
}
