/*
 * additivity.c - where does sum_l a_l t_l^2 stop predicting whole models, why, and what repairs it?
 *
 *     linear      KL = sum_l a_l t_l^2                      a_l: Fisher information at the clean weights
 *     trapezoid   half of that, half of the same with the slopes at the point itself
 *     ladder      the integral of the slopes at all smaller errors up to the point [nats/token]
 *
 * All on one text, paired by window: noise of rising size in all layers at once, quantized models, and noise that has a
 * quantized model's t_l^2; each error with both signs, since means of both have no odd part.  The slopes of a backward
 * pass at the perturbed weights (gradients.h) say how far a_l still holds there.  Then halves of the layers, and
 * (additivity.singles) each layer alone: is the excess the layers' own, or what they do to each other?
 * Cost: a backward pass (3-4 forward passes) for each sign of each draw of each level, and 4 for each choice and node;
 * halves and singles are forward passes.
 */
#include "experiments/additivity/additivity.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

static void additivity_free(Additivity *a)
{
    rays_free(a);
    double *numbers[] = { a->a, a->clean, a->t2, a->bits, a->v };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) free(numbers[i]);
    Table *tables[] = { a->ladder_table, a->whole_table, a->halves_table, a->slopes_table, a->singles_table, a->equivalence_table };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i]) table_free(tables[i]);
}

/* Everything that is put in; nothing is measured yet. */
static int additivity_init(Additivity *a, Run *run)
{
    const Corpus *corpus = study_corpus(run->study);
    *a = (Additivity){ .run = run, .n_layers = run->n_layers, .n_windows = corpus->n_windows, .n_choices = run->config->n_choices, .tokens = corpus->tokens };
    const size_t layers = (size_t)a->n_layers, windows = (size_t)a->n_windows, cells = layers * (size_t)(a->n_choices ? a->n_choices : 1);
    a->a = xcalloc(layers * windows, sizeof(double)), a->clean = xcalloc(windows, sizeof(double)), a->v = xcalloc(layers, sizeof(double));
    a->t2 = xcalloc(cells, sizeof(double)), a->bits = xcalloc(cells, sizeof(double));
    int status = additivity_check(run);
    if (status == OK) status = choices_apply(a);
    if (status == OK) status = rays_init(a);
    if (status != OK) additivity_free(a);
    return status;
}

static int plan(Plan *out, int *later, Run *run)
{
    Additivity a;
    TRY(additivity_init(&a, run));
    plan_add_null(out);
    rays_plan(out, &a);
    parts_plan(out, &a);
    additivity_free(&a);
    *later = 0;
    return OK;
}

static int measure_floor(Additivity *a)
{
    Measurement m;
    TRY(run_measure(&m, a->run, &(LayerMap){ .null_run = true, .label = "null run" }));
    a->floor_kl = mean_over_windows(a, m.kl).value;
    measurement_free(&m);
    return OK;
}

static int measure_all(Additivity *a)
{
    TRY(measure_floor(a));
    TRY(fisher_measure(a));
    TRY(rays_measure(a));
    TRY(halves_measure(a));
    TRY(whole_models(a));
    slopes_make(a);
    singles_test(a);
    return OK;
}

static void emit_all(Additivity *a)
{
    Table **table[] = { &a->ladder_table, &a->whole_table, &a->halves_table, &a->slopes_table, &a->singles_table, &a->equivalence_table };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (*table[i] && (*table[i])->n_rows) run_emit(a->run, *table[i]);
        else if (*table[i]) table_free(*table[i]);
        *table[i] = NULL;
    }
}

static int run(Run *run)
{
    Additivity a;
    TRY(additivity_init(&a, run));
    int status = measure_all(&a);
    if (status == OK) {
        additivity_say(&a);
        emit_all(&a);
    }
    additivity_free(&a);
    return status;
}

const Experiment experiment_additivity = {
    .name = "additivity", .summary = "noise and quantizers in all layers at once: where the law ends, why, and rules that repair it",
    .plan = plan, .run = run,
};
