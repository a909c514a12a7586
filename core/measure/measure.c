/*
 * measure.c - one measurement: key, look-up, the pass from the first perturbed block on, journal
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/measure/internal.h"
#include "core/measure/replacement.h"

/* ---- the key ---- */

int measure_key(char key[HASH_TEXT], char **text, Study *study, const LayerMap *map)
{
    char model[HASH_TEXT];
    TRY(model_hash(model, study->model));
    const Corpus *c = study->corpus;
    char *all = xformat("measurement 1\nmodel %s\ncorpus %s %s context %d bos %d windows %d\nprecision %s\n%s",
                        model, c->hash, c->protocol, c->context, c->bos, c->n_windows, study->kernels->precision, map->null_run ? "rounding other\n" : "");
    for (int i = 0; i < map->n; i++) {
        char *line = replacement_text(study, &map->entry[i], map), *longer = xformat("%s%s", all, line);
        free(line);
        free(all);
        all = longer;
    }
    hash_bytes(key, all, strlen(all));
    if (text) *text = all;
    else free(all);
    return OK;
}

bool measure_known(Study *study, const LayerMap *map)
{
    char key[HASH_TEXT];
    return study->store && measure_key(key, NULL, study, map) == OK && store_find(study->store, key);
}

/* ---- the run ---- */

static int first_block(const Study *study, const LayerMap *map)
{
    if (map->null_run || map->n == 0) return 0;
    return model_layer(study->model, map->entry[0].layer)->block;
}

/* The stream before the first perturbed block: the nearest kept one at or below it. */
static int start_stream(int *from, Study *study, int first)
{
    const Kernels *k = study->kernels;
    for (int b = first; b > 0; b--)
        if (study->boundary[b]) {
            k->copy(study->x, study->boundary[b], study->layout.rows * study->shape->width);
            *from = b;
            return OK;
        }
    *from = 0;
    return network_embed(study->net, study->x, &study->layout, study->corpus);
}

static int run_blocks(Study *study, const LayerMap *map, const Patch *patch)
{
    int from;
    TRY(start_stream(&from, study, first_block(study, map)));
    for (int b = from; b < study->shape->n_blocks; b++) {
        if (interrupt_requested()) FAIL(ERR_INTERRUPTED, "interrupted");
        TRY(network_block(study->net, study->x, &study->layout, b, patch));
    }
    return OK;
}

static int run_losses(Measurement *out, Study *study)
{
    TRY(study_losses(study, study->net, study->x, false, out->nll, out->kl, out->same_top));
    TRY(window_means(out->nll, study->corpus));
    TRY(window_means(out->kl, study->corpus));
    return window_means(out->same_top, study->corpus);
}

/* Room for the results of a map; everything that does not need a run is filled in. */
static void result_init(Measurement *out, const Study *study, const LayerMap *map)
{
    int windows = study->corpus->n_windows;
    *out = (Measurement){ .n_windows = windows, .n_layers = map->n, .label = xstrdup(map->label ? map->label : "") };
    out->tokens = xmalloc(sizeof *out->tokens * (size_t)windows);
    memcpy(out->tokens, study->corpus->tokens, sizeof *out->tokens * (size_t)windows);
    double **per_window[] = { &out->nll, &out->kl, &out->same_top };
    for (int i = 0; i < 3; i++) *per_window[i] = xcalloc((size_t)windows, sizeof(double));
    double **per_layer[] = { &out->t2, &out->kappa, &out->bits, &out->code_bits, &out->t2_asked };
    for (int i = 0; i < 5; i++) *per_layer[i] = xcalloc((size_t)map->n, sizeof(double));
    out->layer = xcalloc((size_t)map->n, sizeof *out->layer);
    out->layer_name = xcalloc((size_t)map->n, sizeof *out->layer_name);
    for (int i = 0; i < map->n; i++) {
        out->layer[i] = map->entry[i].layer;
        out->layer_name[i] = xstrdup(model_layer(study->model, map->entry[i].layer)->name);
    }
}

static bool asks_for_t2(const Perturbation *perturbation)
{
    for (const Option *o = perturbation->options; o->name; o++)
        if (!strcmp(o->name, "t2")) return true;
    return false;
}

/* Errors and rates: means over the windows that had weights of their own. */
static void result_errors(Measurement *out, const Replacement *r)
{
    for (int i = 0; i < r->map->n; i++) {
        const MapEntry *entry = &r->map->entry[i];
        int n = replacement_per_window(entry) ? out->n_windows : 1;
        for (int w = 0; w < n; w++) {
            const PerturbationError *error = replacement_error(r, i, w);
            out->t2[i] += error->t2 / n;
            out->kappa[i] += error->kappa / n;
            out->bits[i] += error->bits / n;
            out->code_bits[i] += error->code_bits / n;
        }
        out->t2_asked[i] = asks_for_t2(entry->perturbation) ? options_number(entry->options, "t2") * pow(replacement_factor(r->map), 2) : NAN;
    }
}

static int run(Measurement *out, Study *study, const LayerMap *map)
{
    TRY(study_prepare(study));
    if (map->n == 0 && !map->null_run) {
        memcpy(out->nll, study->clean_nll, sizeof *out->nll * (size_t)out->n_windows);
        for (int w = 0; w < out->n_windows; w++) out->kl[w] = NAN, out->same_top[w] = 1;
        return OK;
    }
    Replacement r;
    replacement_init(&r, study, map);
    network_set_rounding(study->net, map->null_run);
    study_take_stream(study);
    int status = run_blocks(study, map, &r.patch);
    if (status == OK) status = run_losses(out, study);
    study_leave_stream(study);
    network_set_rounding(study->net, false);
    if (status == OK) result_errors(out, &r);
    replacement_free(&r);
    return status;
}

int measure(Measurement *out, Study *study, const LayerMap *map)
{
    char key[HASH_TEXT], *text;
    TRY(measure_key(key, &text, study, map));
    const Measurement *known = study->store ? store_find(study->store, key) : NULL;
    if (known) {
        free(text);
        measurement_copy(out, known);
        return OK;
    }
    Measurement m;
    result_init(&m, study, map);
    memcpy(m.key, key, sizeof m.key);
    m.text = text;
    double start = clock_seconds();
    int status = run(&m, study, map);
    m.seconds = clock_seconds() - start;
    if (status == OK && study->store) status = store_append(study->store, &m);
    if (status != OK) {
        err_context(status, "%s", map->label ? map->label : "measurement");
        measurement_free(&m);
        return status;
    }
    study->executed++;
    *out = m;
    return OK;
}

int study_clean(Measurement *out, Study *study)
{
    LayerMap nothing = { .label = "clean" };
    return measure(out, study, &nothing);
}

double measure_cost(const Study *study, const LayerMap *map)
{
    const Corpus *c = study->corpus;
    double length = (double)c->n_inputs / c->n_segments;
    int first = first_block(study, map);
    if (study->plan.boundary_stride) first -= first % study->plan.boundary_stride;
    else first = 0;
    int64_t head = scored_rows(c);
    if (!study->plan.keep_logits) head *= 2;
    return network_flops(study->shape, c->n_inputs, length, first, head)
         / network_flops(study->shape, c->n_inputs, length, 0, scored_rows(c));
}
