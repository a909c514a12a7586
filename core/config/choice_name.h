/*
 * choice_name.h - a choice's name: "rtn-bits3-group64" from rtn and its options, and back
 *
 *     METHOD-KEYVALUE-..      bits3 where the value is a number, else clip_mse; t2_0.1, since the key ends with a digit; lists 2+3
 *
 * with the options that are given, in the order of the method's table; one that a name leaves out has its default.
 */
#ifndef CORE_CONFIG_CHOICE_NAME_H
#define CORE_CONFIG_CHOICE_NAME_H

#include "core/config/config.h"

/* The caller frees. */
char *choice_name(const Perturbation *perturbation, const Options *options);

/* The choice of this name.  ERR_ARGUMENT where it names no method of the registry (with the nearest), or goes on with something
 * that is no key of it with a value the key can have (with the keys); *out is untouched then. */
int  choice_parse(Choice *out, const char *name);
void choice_free(Choice *choice);       /* what it points to, not itself */

#endif
