/*
 * registry.c - all importance rules: a new one is one file and one row here
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/importance/importance.h"

/* Every rule, in the order of --help and of the tables: X(name) stands for importance_name. */
#define IMPORTANCE_LIST(X)\
    X(jaccard)            \
    X(lim)                \
    X(zd)                 \
    X(alpha)              \
    X(random)             \
    X(first_to_last)      \
    X(last_to_first)

#define X(name) extern const ImportanceRule importance_##name;
IMPORTANCE_LIST(X)
#undef X

#define X(name) &importance_##name,
const ImportanceRule *const importance_rules[] = { IMPORTANCE_LIST(X) NULL };
#undef X

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
    char *list = err_list(names, N_RULES);
    err_set(ERR_ARGUMENT, "there is no importance rule '%s'; there are %s", name, list);
    free(list);
    return ERR_ARGUMENT;
}
