/*
 * plan.c - lists of measurements, and the summary of a run
 */
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run/run.h"

static void plan_push(Plan *plan, LayerMap map)
{
    if (plan->n == plan->capacity) {
        plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
        plan->map = xrealloc(plan->map, sizeof *plan->map * (size_t)plan->capacity);
        plan->map_study = xrealloc(plan->map_study, sizeof *plan->map_study * (size_t)plan->capacity);
    }
    plan->map_study[plan->n] = plan->study;
    plan->map[plan->n++] = map;
}

void plan_add_null(Plan *plan) { plan_push(plan, (LayerMap){ .null_run = true, .label = xstrdup("null run") }); }

static LayerMap map_copy(const LayerMap *map)
{
    LayerMap copy = *map;
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)(map->n ? map->n : 1));
    for (int i = 0; i < map->n; i++) entry[i] = (MapEntry){ map->entry[i].layer, map->entry[i].perturbation, options_copy(map->entry[i].options) };
    copy.entry = entry;
    copy.label = xstrdup(map->label ? map->label : "");
    return copy;
}

static void map_free(const LayerMap *map)
{
    for (int j = 0; j < map->n; j++) options_free((Options *)map->entry[j].options);
    free((MapEntry *)map->entry);
    free((char *)map->label);
}

void plan_add(Plan *plan, const LayerMap *map) { plan_push(plan, map_copy(map)); }

void plan_add_gradients(Plan *plan, const GradientRequest *request)
{
    GradientRequest copy = *request;
    int *layer = xmalloc(sizeof *layer * (size_t)(request->n_layers ? request->n_layers : 1));
    memcpy(layer, request->layer, sizeof *layer * (size_t)request->n_layers);
    copy.layer = layer;
    copy.label = xstrdup(request->label);
    if (request->point) {
        LayerMap *point = xmalloc(sizeof *point);
        *point = map_copy(request->point);
        copy.point = point;
    }
    ErrorForm *error = xcalloc((size_t)request->n_errors, sizeof *error);
    for (int j = 0; j < request->n_errors; j++) {
        error[j] = request->error[j];
        error[j].name = xstrdup(request->error[j].name);
        error[j].options = options_copy(request->error[j].options);
    }
    copy.error = error;
    plan->gradient = xrealloc(plan->gradient, sizeof *plan->gradient * (size_t)(plan->n_gradients + 1));
    plan->gradient_study = xrealloc(plan->gradient_study, sizeof *plan->gradient_study * (size_t)(plan->n_gradients + 1));
    plan->gradient_study[plan->n_gradients] = plan->study;
    plan->gradient[plan->n_gradients++] = copy;
}

static void request_free(GradientRequest *request)
{
    for (int j = 0; j < request->n_errors; j++) {
        free((char *)request->error[j].name);
        options_free((Options *)request->error[j].options);
    }
    if (request->point) map_free(request->point);
    free((LayerMap *)request->point);
    free((ErrorForm *)request->error);
    free((int *)request->layer);
    free((char *)request->label);
}

void plan_free(Plan *plan)
{
    for (int i = 0; i < plan->n; i++) map_free(&plan->map[i]);
    for (int i = 0; i < plan->n_gradients; i++) request_free(&plan->gradient[i]);
    free(plan->map);
    free(plan->map_study);
    free(plan->gradient);
    free(plan->gradient_study);
    *plan = (Plan){ 0 };
}

/* ---- measuring what is planned ---- */

static int compare_keys(const void *a, const void *b) { return strcmp(a, b); }

bool key_is_new(void **seen, const char *key)
{
    char *copy = xstrdup(key);
    bool is_new = *(char **)tsearch(copy, seen, compare_keys) == copy;
    if (!is_new) free(copy);
    return is_new;
}

int gradients_pass_key(char **out, Study *study, const GradientRequest *request)
{
    char key[HASH_TEXT];
    TRY(gradients_key(key, study, request));
    *out = xformat("%s on %s", key, study_corpus(study)->hash);
    return OK;
}

void keys_free(void **seen)
{
    tdestroy(*seen, free);
    *seen = NULL;
}

void run_turn(Run *run)
{
    Study *study = run->study;
    run->study = run->coefficients;
    run->coefficients = study;
}

double run_passes(const Run *run, const Study *study) { return run->inputs ? (double)study_corpus(study)->n_inputs / (double)run->inputs : 1; }

static void note_noise(Run *run, const LayerMap *map)
{
    const double scale = map->scale > 0 ? map->scale : 1;
    for (int i = 0; i < map->n; i++) {
        if (!map->entry[i].perturbation->noise) continue;
        const double t2 = options_number(map->entry[i].options, "t2") * scale * scale;
        if (t2 > 0 && !(run->finest > 0 && run->finest <= t2)) run->finest = t2;
    }
}

int run_measure(Measurement *out, Run *run, const LayerMap *map)
{
    bool known = measure_known(run->study, map);
    double work = measure_cost(run->study, map) * run_passes(run, run->study);
    int before = study_executed(run->study);
    TRY(measure(out, run->study, map));
    note_noise(run, map);
    run->measured += study_executed(run->study) - before;
    if (!key_is_new(&run->seen, out->key)) return OK;
    run->found += known;
    if (known) progress_skip(run->progress, work);
    else progress_step(run->progress, work, map->label);
    return OK;
}

typedef struct { Run *run; double work; bool counts; } GradientSteps;

static void step_window(void *context, const char *label)
{
    GradientSteps *s = context;
    s->run->measured++;
    if (s->counts) progress_step(s->run->progress, s->work, label);
}

int run_gradients_of(Measurement *out, Run *run, const GradientRequest *request, int n_windows)
{
    char *key;
    const int windows = study_corpus(run->study)->n_windows;
    TRY(gradients_pass_key(&key, run->study, request));
    GradientSteps steps = { run, gradients_cost(run->study, request) * run_passes(run, run->study) / windows, key_is_new(&run->seen, key) };
    free(key);
    const int known = gradients_known(run->study, request, n_windows);
    for (int i = 0; i < known && steps.counts; i++) progress_skip(run->progress, steps.work);
    run->found += steps.counts ? known : 0;
    return measure_gradients(out, run->study, request, n_windows, step_window, &steps);
}

int run_gradients(Measurement *out, Run *run, const GradientRequest *request)
{
    return run_gradients_of(out, run, request, study_corpus(run->study)->n_windows);
}

void run_say(Run *run, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    run->summary = xrealloc(run->summary, sizeof *run->summary * (size_t)(run->n_summary + 1));
    run->summary[run->n_summary++] = xstrdup(line);
}

/* Weights are rounded with the noise and without it: t2 of that is 2.8e-6 for normal weights, once, and twice where they were not bf16 before. */
char *run_rounding(const Run *run)
{
    static const double rounding = 2.8e-6, fine = 1e-4;
    if (!(run->finest > 0 && run->finest < fine) || strcmp(study_kernels(run->study)->precision, "bf16")) return NULL;
    return xformat("Noise of t2 = %g was measured in bf16, which rounds the weights themselves by %.1e to %.1e: below %g that is no longer small beside the "
                   "noise; --precision fp32 is without, or take larger levels.", run->finest, rounding, 2 * rounding, fine);
}

void run_say_first_token(Run *run)
{
    const char *first = study_corpus(run->study)->first_token;
    if (strcmp(first, "ordinary"))
        run_say(run, "Windows begin with a special token (%s): coefficients hold for text that does so too; those of the first block may be hundreds of times larger than without.", first);
}

static bool shares_questions(const Corpus *corpus) { return corpus->task && corpus->n_windows > corpus->task->n_items; }

void run_say_shared_questions(Run *run)
{
    if (shares_questions(study_corpus(run->study)) || shares_questions(study_corpus(run->coefficients)))
        run_say(run, "Choices of one question are windows of their own, and errors of what is fitted or ranked are taken over windows, as if these shared nothing: they are likely too small; "
                "protocol answers has one window for each question.");
}
