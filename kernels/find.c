/*
 * find.c - back ends by name
 */
#include <string.h>

#include "kernels/kernels.h"

const Kernels *kernels_choose(const char *name, const char *precision, const char **why)
{
    if (!strcmp(name, "cuda")) return kernels_cuda(precision, why);
    const Kernels *k = !strcmp(name, "cpu") ? kernels_cpu() : !strcmp(name, "ref") ? &kernels_ref : NULL;
    *why = "there is no such back end: cpu, cuda or ref";
    if (k && strcmp(precision, k->precision)) {
        *why = "precision bf16 is the cuda back end's; the others compute in fp32";
        return NULL;
    }
    return k;
}

const Kernels *kernels_find(const char *name)
{
    const char *why;
    return kernels_choose(name, "fp32", &why);
}
