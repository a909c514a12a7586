/*
 * registry.c - all importance rules: a new one is one file and one row here
 */
#include <string.h>

#include "core/base/err.h"
#include "core/importance/importance.h"

extern const ImportanceRule importance_jaccard, importance_lim, importance_zd, importance_alpha, importance_random, importance_first_to_last,
                            importance_last_to_first;

const ImportanceRule *const importance_rules[] = { &importance_jaccard, &importance_lim, &importance_zd, &importance_alpha, &importance_random,
                                                   &importance_first_to_last, &importance_last_to_first, NULL };
enum { N_RULES = sizeof importance_rules / sizeof *importance_rules - 1 };

int importance_find(const ImportanceRule **out, const char *name)
{
    const char *names[N_RULES];
    for (int i = 0; i < N_RULES; i++) {
        names[i] = importance_rules[i]->name;
        if (strcmp(names[i], name)) continue;
        *out = importance_rules[i];
        return OK;
    }
    const char *near = err_nearest(name, names, N_RULES);
    if (near) FAIL(ERR_ARGUMENT, "there is no importance rule '%s'; did you mean '%s'?", name, near);
    FAIL(ERR_ARGUMENT, "there is no importance rule '%s'; there are jaccard, lim, zd, alpha, random, first-to-last, last-to-first", name);
}
