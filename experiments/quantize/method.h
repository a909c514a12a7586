/*
 * method.h - the quantizer that a command line chooses: --method NAME [--set key=value]..
 */
#ifndef EXPERIMENTS_QUANTIZE_METHOD_H
#define EXPERIMENTS_QUANTIZE_METHOD_H

#include "core/perturb/perturbation.h"

typedef struct { const Perturbation *perturbation; Options *options; } Method;

/* ERR_ARGUMENT where there is no quantizer of this name (noise is none) or it has no such key, with the nearest ones, or a
 * value is not one of the key's. */
int  method_read(Method *out, const char *name, int n_set, const char *const *set);
void method_free(Method *method);

/* A section of --help: every quantizer and its keys; the caller frees. */
char *method_manual(void);

#endif
