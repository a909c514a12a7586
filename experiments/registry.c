/*
 * registry.c - all experiments: a new one is one file and one row here
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run/run.h"

const Experiment *const experiments[] = { &experiment_sensitivity, &experiment_predict, &experiment_estimators, &experiment_additivity, &experiment_quantizers, &experiment_dynamic,
                                         &experiment_lsaq, &experiment_tacq, NULL };
enum { N_EXPERIMENTS = sizeof experiments / sizeof *experiments - 1 };

int experiment_find(const Experiment **out, const char *name)
{
    const char *names[N_EXPERIMENTS];
    for (int i = 0; i < N_EXPERIMENTS; i++) {
        names[i] = experiments[i]->name;
        if (strcmp(names[i], name)) continue;
        *out = experiments[i];
        return OK;
    }
    const char *near = err_nearest(name, names, N_EXPERIMENTS);
    if (near) FAIL(ERR_ARGUMENT, "there is no experiment '%s'; did you mean '%s'?", name, near);
    char *list = xstrdup(names[0]);
    for (int i = 1; i < N_EXPERIMENTS; i++) {
        char *longer = xformat("%s, %s", list, names[i]);
        free(list);
        list = longer;
    }
    err_set(ERR_ARGUMENT, "there is no experiment '%s'; there are %s (linearity run --help)", name, list);
    free(list);
    return ERR_ARGUMENT;
}
