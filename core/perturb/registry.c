#include "core/perturb/perturbation.h"

#include <stddef.h>
#include <string.h>

#include "core/base/err.h"

/* Every perturbation, in the order of --help: X(name) stands for perturbation_name. */
#define PERTURBATION_LIST(X)\
    X(gaussian)             \
    X(sign)                 \
    X(rtn)                  \
    X(nf)                   \
    X(af)                   \
    X(hqq)                  \
    X(ggml)                 \
    X(higgs)                \
    X(ch8)                  \
    X(gptq)                 \
    X(spqr)                 \
    X(squeezellm)           \
    X(pbllm)                \
    X(gptq_higgs)           \
    X(awq)                  \
    X(tacq)

#define X(name) extern const Perturbation perturbation_##name;
PERTURBATION_LIST(X)
#undef X

#define X(name) &perturbation_##name,
const Perturbation *const perturbations[] = { PERTURBATION_LIST(X) NULL };
#undef X

enum { COUNT = sizeof perturbations / sizeof *perturbations - 1 };

const Perturbation *perturbation_find(const char *name)
{
    const char *names[COUNT];
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(perturbations[i]->name, name) == 0) return perturbations[i];
        names[i] = perturbations[i]->name;
    }
    const char *nearest = err_nearest(name, names, COUNT);
    if (nearest)
        err_set(ERR_ARGUMENT, "unknown perturbation '%s'; did you mean '%s'?", name, nearest);
    else
        err_set(ERR_ARGUMENT, "unknown perturbation '%s'", name);
    return NULL;
}
