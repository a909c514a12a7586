/*
 * quantizers_alone.c - each choice in one layer after the other: what it costs, and all that its predictions are made from
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/glob.h"
#include "core/measure/kronecker.h"
#include "core/network/device.h"
#include "experiments/quantizers/quantizers.h"

/* Memory for Kronecker factors beside the study's. */
static const int64_t FACTOR_BYTES = (int64_t)512 << 20;

int alone_init(Quantizers *q)
{
    const Options *options = q->run->options;
    const int globs = options_count(options, "quantizers.singles");
    const char **pattern = xmalloc(sizeof *pattern * (size_t)(globs + 1)), **name = xmalloc(sizeof *name * (size_t)q->n_layers);
    bool *chosen = xcalloc((size_t)q->n_layers, sizeof *chosen);
    for (int i = 0; i < globs; i++) pattern[i] = options_text_at(options, "quantizers.singles", i);
    for (int i = 0; i < q->n_layers; i++) name[i] = quantizers_layer(q, i)->name;
    int status = globs ? glob_select(chosen, pattern, globs, name, q->n_layers, "quantizers.singles: no layer under study") : 0;
    q->single = xmalloc(sizeof *q->single * (size_t)q->n_layers);
    for (int i = 0; i < q->n_layers; i++)
        if (chosen[i]) q->single[q->n_singles++] = i;
    q->of = xcalloc((size_t)(q->n_choices * q->n_singles), sizeof *q->of);
    q->square = xcalloc((size_t)(q->n_choices * q->n_singles) * (size_t)q->n_windows, sizeof *q->square);
    for (int k = 0; k < q->n_choices * q->n_singles; k++) {
        q->of[k].square = q->square + (int64_t)k * q->n_windows;
        q->of[k].kl = xcalloc((size_t)q->n_windows, sizeof(double));
        if (q->mirrored) q->of[k].kl_mirrored = xcalloc((size_t)q->n_windows, sizeof(double));
    }
    free(pattern);
    free(name);
    free(chosen);
    return status < 0 ? status : OK;
}

void alone_free(Quantizers *q)
{
    for (int k = 0; q->of && k < q->n_choices * q->n_singles; k++) {
        free(q->of[k].kl);
        free(q->of[k].kl_mirrored);
    }
    free(q->of);
    free(q->square);
    free(q->single);
}

static MapEntry entry_of(const Quantizers *q, int c, int s)
{
    return (MapEntry){ q->run->layer[q->single[s]], quantizers_choice(q, c)->perturbation, quantizers_choice(q, c)->options };
}

/* ---- forms of the errors ---- */

static int plan_errors(void *context, const GradientRequest *request, int first)
{
    (void)first;
    plan_add_gradients(context, request);
    return OK;
}

static int measure_errors(void *context, const GradientRequest *request, int first)
{
    Quantizers *q = context;
    return add_error_pass(q->square, q->run, request, first);
}

/* ---- Kronecker factors, and the errors themselves ---- */

/* K of every choice in one layer. */
static int size_errors(void *context, int layer, const float *input, const float *gradient)
{
    Quantizers *q = context;
    Study *study = q->run->study;
    const Layer *l = model_layer(study_model(study), layer);
    const int64_t n = l->rows * l->cols;
    int s = 0, status = OK;
    while (q->run->layer[q->single[s]] != layer) s++;
    float *w = xmalloc(sizeof *w * (size_t)n), *error = xmalloc(sizeof *error * (size_t)n);
    status = model_read(w, study_model(study), l->type, l->block, 0, l->rows);
    for (int c = 0; c < q->n_choices && status == OK; c++) {
        const MapEntry entry = entry_of(q, c, s);
        Single *single = single_of(q, c, s);
        status = study_apply(error, &single->error, study, &entry, (Draw){ study_seed(study), 0, 0 });
        for (int64_t i = 0; i < n && status == OK; i++) error[i] -= w[i];
        if (status == OK) single->kronecker = kronecker_size(error, w, input, gradient, l->rows, l->cols, study_kernels(study));
    }
    free(w);
    free(error);
    return kernels_status_after(study_kernels(study), status);
}

static int measure_factors(Quantizers *q)
{
    int *layer = xmalloc(sizeof *layer * (size_t)(q->n_singles + 1));
    for (int s = 0; s < q->n_singles; s++) layer[s] = q->run->layer[q->single[s]];
    const GradientRequest request = { .probe = PROBE_SIGNS, .group = 1, .n_layers = q->n_singles, .layer = layer, .label = "Kronecker factors" };
    int status = q->n_singles ? measure_kronecker(q->run->study, &request, FACTOR_BYTES, size_errors, q) : OK;
    free(layer);
    return status;
}

/* ---- measured ---- */

static LayerMap map_of(MapEntry *entry, char **label, const Quantizers *q, int c, int s, bool mirrored)
{
    *entry = entry_of(q, c, s);
    *label = xformat("%s %s%s", quantizers_layer(q, q->single[s])->name, quantizers_choice(q, c)->name, mirrored ? " mirrored" : "");
    return (LayerMap){ .n = 1, .entry = entry, .mirrored = mirrored, .label = *label };
}

void alone_plan(Plan *out, Quantizers *q)
{
    each_error_pass(q->run, q->single, q->n_singles, plan_errors, out);
    for (int c = 0; c < q->n_choices; c++)
        for (int s = 0; s < q->n_singles; s++)
            for (int sign = 0; sign <= (int)q->mirrored; sign++) {
                MapEntry entry;
                char *label;
                const LayerMap map = map_of(&entry, &label, q, c, s, sign);
                plan_add(out, &map);
                free(label);
            }
}

static int measure_single(double *kl, Quantizers *q, int c, int s, bool mirrored)
{
    MapEntry entry;
    char *label;
    Measurement m;
    const LayerMap map = map_of(&entry, &label, q, c, s, mirrored);
    int status = run_measure(&m, q->run, &map);
    free(label);
    if (status != OK) return status;
    memcpy(kl, m.kl, sizeof *kl * (size_t)q->n_windows);
    measurement_free(&m);
    return OK;
}

int alone_measure(Quantizers *q)
{
    TRY(each_error_pass(q->run, q->single, q->n_singles, measure_errors, q));
    TRY(measure_factors(q));
    for (int c = 0; c < q->n_choices; c++)
        for (int s = 0; s < q->n_singles; s++) {
            Single *single = single_of(q, c, s);
            TRY(measure_single(single->kl, q, c, s, false));
            if (q->mirrored) TRY(measure_single(single->kl_mirrored, q, c, s, true));
        }
    return OK;
}
