/*
 * plan.c - lists of measurements, and the summary of a run
 */
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run.h"

static void plan_push(Plan *plan, LayerMap map)
{
    if (plan->n == plan->capacity) {
        plan->capacity = plan->capacity ? 2 * plan->capacity : 64;
        plan->map = xrealloc(plan->map, sizeof *plan->map * (size_t)plan->capacity);
    }
    plan->map[plan->n++] = map;
}

void plan_add_null(Plan *plan) { plan_push(plan, (LayerMap){ .null_run = true, .label = xstrdup("null run") }); }

void plan_add(Plan *plan, const MapEntry *entry, int n, int draw, const char *label)
{
    MapEntry *copy = xmalloc(sizeof *copy * (size_t)(n ? n : 1));
    for (int i = 0; i < n; i++) copy[i] = (MapEntry){ entry[i].layer, entry[i].perturbation, options_copy(entry[i].options) };
    plan_push(plan, (LayerMap){ .n = n, .entry = copy, .draw = draw, .label = xstrdup(label) });
}

void plan_free(Plan *plan)
{
    for (int i = 0; i < plan->n; i++) {
        LayerMap *map = &plan->map[i];
        for (int j = 0; j < map->n; j++) options_free((Options *)map->entry[j].options);
        free((MapEntry *)map->entry);
        free((char *)map->label);
    }
    free(plan->map);
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

void keys_free(void **seen)
{
    tdestroy(*seen, free);
    *seen = NULL;
}

int run_measure(Measurement *out, Run *run, const LayerMap *map)
{
    bool known = measure_known(run->study, map);
    double work = measure_cost(run->study, map);
    int before = study_executed(run->study);
    TRY(measure(out, run->study, map));
    run->measured += study_executed(run->study) - before;
    if (!key_is_new(&run->seen, out->key)) return OK;
    run->found += known;
    if (known) progress_skip(run->progress, work);
    else progress_step(run->progress, work, map->label);
    return OK;
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
