/*
 * predict_allocate.c - what the choices do to the weights, and the best ones within a budget
 */
#include <math.h>
#include <stdlib.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "experiments/predict/predict.h"

int apply_choices(Prediction *p, int i)
{
    for (int c = 0; c < p->n_choices; c++) {
        const MapEntry entry = { p->run->layer[i], choice_of(p, c)->perturbation, choice_of(p, c)->options };
        PerturbationError error;
        TRY(study_apply(NULL, &error, p->run->study, &entry, (Draw){ study_seed(p->run->study), 0, 0 }));
        p->t2[prediction_at(p, i, c)] = error.t2, p->bits[prediction_at(p, i, c)] = error.bits, p->kappa[prediction_at(p, i, c)] = error.kappa;
    }
    return OK;
}

static void add_allocation(Prediction *p, const Allocation *best, const int *choice)
{
    for (int i = 0; i < p->n_layers; i++) {
        Table *t = p->allocations;
        int64_t row = table_add_row(t);
        table_set_number(t, row, "budget", best->budget);
        table_set_text(t, row, "layer", layer_of(p, i)->name);
        table_set_text(t, row, "choice", choice_of(p, choice[i])->name);
        table_set_number(t, row, "bits", p->bits[best->row[i]]);
        table_set_number(t, row, "cost", fmax(cost_of(p, i, choice[i]), 0));
        table_set_integer(t, row, "clamped", !(p->alpha[i] > 0));
        table_set_integer(t, row, "optimal", best->optimal);
    }
}

int allocate_budget(Prediction *p, int *choice, double budget)
{
    int n = p->n_layers * p->n_choices;
    const char **layer = xmalloc(sizeof *layer * (size_t)p->n_layers), **name = xmalloc(sizeof *name * (size_t)n);
    int *row_layer = xmalloc(sizeof *row_layer * (size_t)n);
    double *cost = xmalloc(sizeof *cost * (size_t)n);
    for (int i = 0; i < p->n_layers; i++) {
        layer[i] = layer_of(p, i)->name;
        for (int c = 0; c < p->n_choices; c++) {
            row_layer[prediction_at(p, i, c)] = i;
            name[prediction_at(p, i, c)] = choice_of(p, c)->name;
            cost[prediction_at(p, i, c)] = cost_of(p, i, c);
        }
    }
    ChoiceTable table = { p->n_layers, layer, p->weights, n, row_layer, name, p->bits, cost };
    Allocation best;
    int status = allocate(&best, &table, budget);
    if (status == OK) {
        for (int i = 0; i < p->n_layers; i++) choice[i] = best.row[i] % p->n_choices;
        add_allocation(p, &best, choice);
        allocation_free(&best);
    }
    free(layer);
    free(name);
    free(row_layer);
    free(cost);
    return status;
}

static double uniform_bits(const Prediction *p, int choice)
{
    double bits = 0, weights = 0;
    for (int i = 0; i < p->n_layers; i++) {
        bits += p->bits[prediction_at(p, i, choice)] * (double)p->weights[i];
        weights += (double)p->weights[i];
    }
    return bits / weights;
}

static bool is_listed(const double *budget, int n, double bits)
{
    for (int b = 0; b < n; b++)
        if (fabs(budget[b] - bits) < 1e-9) return true;
    return false;
}

double *all_budgets(const Prediction *p, int *n)
{
    const Options *options = p->run->options;
    double *budget = xmalloc(sizeof *budget * (size_t)(options_count(options, "budgets") + p->n_choices)), least = INFINITY, most = 0;
    for (*n = 0; *n < options_count(options, "budgets"); (*n)++) budget[*n] = options_number_at(options, "budgets", *n);
    if (*n) return budget;
    for (int c = 0; c < p->n_choices; c++) least = fmin(least, uniform_bits(p, c)), most = fmax(most, uniform_bits(p, c));
    for (int c = 0; c < p->n_choices; c++)
        if (uniform_bits(p, c) > least && uniform_bits(p, c) < most && !is_listed(budget, *n, uniform_bits(p, c))) budget[(*n)++] = uniform_bits(p, c);
    return budget;
}
