/*
 * glob.h - names chosen by patterns: *, ? and [..] as in a shell, where * also matches dots
 */
#ifndef CORE_BASE_GLOB_H
#define CORE_BASE_GLOB_H

#include <stdbool.h>

bool glob_match(const char *pattern, const char *name);

/* selected[i] = whether names[i] matches any of the patterns; returns how many do.  ERR_ARGUMENT, and
 * selected untouched, where a pattern matches nothing: the sentence has the nearest name.  what
 * opens it and says what the names are: "layers: no layer". */
int glob_select(bool *selected, const char *const *patterns, int n_patterns, const char *const *names, int n_names,
                const char *what);

#endif
