#include "core/base/glob.h"

#include <fnmatch.h>
#include <string.h>

#include "core/base/err.h"

bool glob_match(const char *pattern, const char *name) { return fnmatch(pattern, name, 0) == 0; }

static bool matches_any(const char *pattern, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (glob_match(pattern, names[i])) return true;
    return false;
}

static int refuse_pattern(const char *pattern, const char *const *names, int n, const char *what)
{
    const char *nearest = err_nearest(pattern, names, n);
    if (nearest) FAIL(ERR_ARGUMENT, "%s matches '%.80s'; did you mean '%s'?", what, pattern, nearest);
    if (n == 0) FAIL(ERR_ARGUMENT, "%s matches '%.80s'; there are none", what, pattern);
    FAIL(ERR_ARGUMENT, "%s matches '%.80s'; names are such as '%s' and '%s'", what, pattern, names[0], names[n - 1]);
}

int glob_select(bool *selected, const char *const *patterns, int n_patterns, const char *const *names, int n_names,
                const char *what)
{
    for (int p = 0; p < n_patterns; p++)
        if (!matches_any(patterns[p], names, n_names)) return refuse_pattern(patterns[p], names, n_names, what);
    int count = 0;
    for (int i = 0; i < n_names; i++) {
        selected[i] = false;
        for (int p = 0; p < n_patterns && !selected[i]; p++) selected[i] = glob_match(patterns[p], names[i]);
        count += selected[i];
    }
    return count;
}
