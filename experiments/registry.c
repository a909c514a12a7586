/*
 * registry.c - all experiments (EXPERIMENT_LIST), and the one of a name
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/run/run.h"

#define X(name) &experiment_##name,
const Experiment *const experiments[] = { EXPERIMENT_LIST(X) NULL };
#undef X

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
    char *list = err_list(names, N_EXPERIMENTS);
    err_set(ERR_ARGUMENT, "there is no experiment '%s'; there are %s (linearity run --help)", name, list);
    free(list);
    return ERR_ARGUMENT;
}
