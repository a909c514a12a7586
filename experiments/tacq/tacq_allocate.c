/*
 * tacq_allocate.c - plain choices layer by layer at the sizes of the other models, exactly
 *
 *     cost(choice, layer) = a^G t^2 r(choice, kind of layer),    r = sum of <G, E>^2 / 2T over the layers of a kind / sum of a^G t^2
 *
 * G on the calibration text, so that an allocation has seen what a mask has.  (The forms of single errors know a choice's factor for a kind of layer
 * well and single layers badly; experiments/dynamic.)
 */
#include <stdlib.h>
#include <string.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "core/base/stage.h"
#include "core/estimate/fit.h"
#include "core/measure/gradient_sums.h"
#include "experiments/tacq/tacq.h"

enum { ROWS = 1024 };

/* Plain choices with what they cost; place [n]: among the config's. */
typedef struct {
    int n, *place;
    double *cost;                   /* [n_layers][n] */
} Costs;

double allocation_passes(const Run *run)
{
    const EvidenceSource *source = study_source(run->study);
    const Corpus *own = study_corpus(run->study);
    const ModelShape *shape = model_shape(study_model(run->study));
    if (!source) return 0;
    return gradient_sums_flops(shape, evidence_corpus(source)) / network_flops(shape, own->n_inputs, (double)own->n_inputs / own->n_segments, 0, own->n_scored);
}

int allocation_windows(const Run *run)
{
    const EvidenceSource *source = study_source(run->study);
    return source ? evidence_corpus(source)->n_windows : 0;
}

/* ---- forms on the calibration text ---- */

static int open_calibrated(Study **out, const Tacq *t)
{
    const Study *study = t->run->study;
    EvidenceSource *source = study_source(study);
    if (!source) FAIL(ERR_ARGUMENT, "%s: tacq.allocate needs calibration.file, the text that allocations go by", t->run->config->path);
    const Corpus *text = evidence_corpus(source);
    const StudyPlan plan = { .network = { .chunk_rows = text->longest }, .backward = { false, ROWS } };
    TRY(study_open(out, study_model(study), text, study_kernels(study), &plan, study_seed(study), study_store(study)));
    study_calibrate(*out, source);
    return OK;
}

static double mean_of(const Corpus *text, const double *by_window)
{
    double mean, se;
    weighted_mean(&mean, &se, by_window, text->tokens, text->n_windows);
    return mean;
}

/* Means over windows: of group into cost, of square. */
static void add_pass(double *square, Costs *costs, const Tacq *t, const Corpus *text, const Measurement *m, int first, int n)
{
    const double *group = measurement_form(m, "group");
    for (int i = 0; i < t->n_layers; i++)
        for (int j = first; j < first + n; j++) {
            const int c = costs->place[j];
            char *name = xformat("%s.square", tacq_choice(t, c)->name);
            costs->cost[i * costs->n + j] = mean_of(text, group + (int64_t)i * m->n_windows) * t->t2[tacq_at(t, i, c)];
            square[i * costs->n + j] = mean_of(text, measurement_form(m, name) + (int64_t)i * m->n_windows);
            free(name);
        }
}

static int measure_costs(double *square, Costs *costs, Tacq *t)
{
    for (int first = 0; first < costs->n; first += MOST_ERRORS) {
        const int n = costs->n - first < MOST_ERRORS ? costs->n - first : MOST_ERRORS;
        ErrorForm error[MOST_ERRORS];
        for (int j = 0; j < n; j++) {
            const Choice *choice = tacq_choice(t, costs->place[first + j]);
            error[j] = (ErrorForm){ choice->name, choice->perturbation, choice->options, 0 };
        }
        const GradientRequest request = { .probe = PROBE_SIGNS, .group = (int)options_integer(t->run->options, "noise.group"), .n_layers = t->n_layers,
                                          .layer = t->run->layer, .n_errors = n, .error = error, .label = "errors, calibration" };
        Measurement m;
        TRY(run_gradients(&m, t->run, &request));
        add_pass(square, costs, t, study_corpus(t->run->study), &m, first, n);
        measurement_free(&m);
    }
    return OK;
}

static void scale_costs(Costs *costs, const Tacq *t, const double *square)
{
    for (int j = 0; j < costs->n; j++)
        for (int type = 0; type < LAYER_TYPES; type++) {
            double squares = 0, linear = 0;
            for (int i = 0; i < t->n_layers; i++)
                if ((int)tacq_layer(t, i)->type == type) squares += square[i * costs->n + j], linear += costs->cost[i * costs->n + j];
            for (int i = 0; i < t->n_layers; i++)
                if ((int)tacq_layer(t, i)->type == type && linear > 0) costs->cost[i * costs->n + j] *= squares / linear;
        }
}

static int fill_costs(Costs *costs, Tacq *t)
{
    Study *own = t->run->study, *calibrated = NULL;
    double *square = xcalloc((size_t)(t->n_layers * costs->n), sizeof *square);
    const StageBegun stage = stage_begin();
    int status = open_calibrated(&calibrated, t);
    if (status == OK) {
        t->run->study = calibrated;
        status = measure_costs(square, costs, t);
        t->run->study = own;
        study_close(&calibrated);
    }
    if (status == OK) scale_costs(costs, t, square);
    stage_end(&t->allocating, &stage);
    free(square);
    return status;
}

/* ---- allocations ---- */

static double largest_plain(const Tacq *t)
{
    double most = 0;
    for (int c = 0; c < t->n_choices; c++) most = t->plain[c] && t->model[c].bits > most ? t->model[c].bits : most;
    return most;
}

static int allocate_one(Tacq *t, const Costs *costs, const ChoiceTable *table, int spends)
{
    Allocation best;
    const double budget = t->model[spends].bits;
    if (budget > largest_plain(t)) {
        progress_skip(t->run->progress, t->n_sides);
        return OK;                      /* nothing plain is as large: whatever is allocated would be of another size */
    }
    int status = allocate(&best, table, budget);
    if (status == ERR_BUDGET) {
        run_say(t->run, "No allocation of plain choices fits the size of %s, %.4g bits per weight.", t->model[spends].label, budget);
        progress_skip(t->run->progress, t->n_sides);
        return OK;
    }
    TRY(status);
    int *choice = xmalloc(sizeof *choice * (size_t)t->n_layers);
    for (int i = 0; i < t->n_layers; i++) choice[i] = costs->place[best.row[i] % costs->n];
    add_mask_model(t, "allocated", xformat("allocated, %.4f bits", budget), choice, spends);
    allocation_free(&best);
    free(choice);
    return measure_mask_model(t, t->n_models - 1);
}

static int allocate_all(Tacq *t, const Costs *costs)
{
    const size_t rows = (size_t)(t->n_layers * costs->n);
    const char **layer = xmalloc(sizeof *layer * (size_t)t->n_layers), **name = xmalloc(sizeof *name * rows);
    int *row_layer = xmalloc(sizeof *row_layer * rows), status = OK;
    double *bits = xmalloc(sizeof *bits * rows);
    for (int i = 0; i < t->n_layers; i++) {
        layer[i] = tacq_layer(t, i)->name;
        for (int j = 0; j < costs->n; j++) {
            const int row = i * costs->n + j;
            row_layer[row] = i, name[row] = tacq_choice(t, costs->place[j])->name, bits[row] = t->bits[tacq_at(t, i, costs->place[j])];
        }
    }
    const ChoiceTable table = { t->n_layers, layer, t->weights, (int)rows, row_layer, name, bits, costs->cost };
    for (int m = 0; m < t->n_choices && status == OK; m++)
        if (!t->plain[m]) status = allocate_one(t, costs, &table, m);
    free(layer), free(name), free(row_layer), free(bits);
    return status;
}

int allocate_sizes(Tacq *t)
{
    Costs costs = { .place = xmalloc(sizeof *costs.place * (size_t)t->n_choices) };
    for (int c = 0; c < t->n_choices; c++)
        if (t->plain[c]) costs.place[costs.n++] = c;
    costs.cost = xcalloc((size_t)(t->n_layers * costs.n), sizeof *costs.cost);
    int status = fill_costs(&costs, t);
    if (status == OK) status = allocate_all(t, &costs);
    free(costs.place), free(costs.cost);
    return status;
}
