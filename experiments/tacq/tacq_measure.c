/*
 * tacq_measure.c - whole models on all texts
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/tacq/tacq.h"

void mask_map(MapEntry *entry, const Tacq *t, const int *choice)
{
    for (int i = 0; i < t->n_layers; i++) {
        const Choice *c = tacq_choice(t, choice[i]);
        entry[i] = (MapEntry){ t->run->layer[i], c->perturbation, c->options };
    }
}

static void forms_init(Forms *forms, int n_windows)
{
    double **all[] = { &forms->linear, &forms->square, &forms->joint, &forms->first };
    for (int i = 0; i < 4; i++) *all[i] = xcalloc((size_t)n_windows, sizeof(double));
}

MaskModel *add_mask_model(Tacq *t, const char *kind, char *label, const int *choice, int spends)
{
    t->model = xrealloc(t->model, sizeof *t->model * (size_t)(t->n_models + 1));
    MaskModel *m = &t->model[t->n_models++];
    *m = (MaskModel){ .kind = kind, .label = label, .spends = spends };
    m->choice = xmalloc(sizeof *m->choice * (size_t)t->n_layers);
    memcpy(m->choice, choice, sizeof *m->choice * (size_t)t->n_layers);
    for (int s = 0; s < t->n_sides; s++) {
        const size_t windows = (size_t)t->side[s].n_windows;
        double **all[] = { &m->on[s].kl, &m->on[s].nll, &m->on[s].same_top };
        for (int i = 0; i < 3; i++) *all[i] = xcalloc(windows, sizeof(double));
        forms_init(&m->on[s].forms, t->side[s].n_windows);
    }
    return m;
}

static double average(const Tacq *t, const double *of_layer)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < t->n_layers; i++) {
        sum += (double)t->weights[i] * of_layer[i];
        weights += (double)t->weights[i];
    }
    return sum / weights;
}

static void keep(Tacq *t, MaskModel *model, int s, const Measurement *m)
{
    const size_t bytes = sizeof(double) * (size_t)t->side[s].n_windows;
    memcpy(model->on[s].kl, m->kl, bytes), memcpy(model->on[s].nll, m->nll, bytes), memcpy(model->on[s].same_top, m->same_top, bytes);
    model->bits = average(t, m->bits), model->code_bits = average(t, m->code_bits), model->t2 = average(t, m->t2);
    if (model->spends >= 0) return;     /* sequential choices are others there: t2 is that of uniform models, whatever is measured after them */
    for (int i = 0; i < t->n_layers; i++) t->t2[tacq_at(t, i, model->choice[i])] = m->t2[i], t->bits[tacq_at(t, i, model->choice[i])] = m->bits[i];
}

static int measure_side(Tacq *t, MaskModel *model, int s, const LayerMap *map)
{
    const int before = t->run->measured + t->run->found;
    Measurement m;
    TRY(run_measure(&m, t->run, map));
    if (t->run->measured + t->run->found == before) progress_skip(t->run->progress, 1);         /* the same choices as another's */
    keep(t, model, s, &m);
    measurement_free(&m);
    return OK;
}

int measure_mask_model(Tacq *t, int index)
{
    MaskModel *model = &t->model[index];
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)t->n_layers);
    mask_map(entry, t, model->choice);
    const LayerMap map = { .n = t->n_layers, .entry = entry, .label = model->label };
    int status = measure_side(t, model, 0, &map);
    if (status == OK && t->n_sides == 2) {
        run_turn(t->run);
        status = measure_side(t, model, 1, &map);
        run_turn(t->run);
    }
    free(entry);
    return status;
}
