#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"

char *options_keys(const Option *table, const char *level)
{
    char *text = xstrdup("");
    const char *last = "";
    size_t n = strlen(level);
    for (; table->name; table++) {
        if (strncmp(table->name, level, n)) continue;
        const char *word = table->name + n;
        size_t length = strcspn(word, ".");
        if (!strncmp(word, last, length) && strcspn(last, ".") == length) continue;    /* rows of a level stand together */
        char *longer = xformat("%s%s%.*s", text, *text ? ", " : "", (int)length, word);
        free(text);
        text = longer;
        last = word;
    }
    return text;
}

/* The deepest level of name that the table has: the length of "text.sample." for "text.sample.x". */
static size_t known_level(const Option *table, const char *name)
{
    size_t deepest = 0;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.'))
        for (const Option *row = table; row->name; row++)
            if (!strncmp(row->name, name, (size_t)(dot - name) + 1)) deepest = (size_t)(dot - name) + 1;
    return deepest;
}

/* The level most like a name that may be one: "noise" for "nose". */
static char *likely_level(const Option *table, const char *name, size_t above)
{
    for (const Option *row = table; row->name; row++) {
        if (strncmp(row->name, name, above)) continue;
        size_t n = above + strcspn(row->name + above, ".");
        if (!row->name[n]) continue;
        char *level = strndup(row->name, n);
        const char *word = level + above;
        if (level && err_nearest(name + above, &word, 1)) return level;
        free(level);
    }
    return NULL;
}

/* The full name most like this one: by edit distance in its level, as a level, or by its last part
 * ("noise.group" for "group"); NULL where none is.  The caller frees. */
static char *likely_name(const Option *table, const char *name, size_t level)
{
    int n = 0, n_rows = 0;
    while (table[n_rows].name) n_rows++;
    const char **names = xmalloc((size_t)n_rows * sizeof *names);
    for (const Option *row = table; row->name; row++)
        if (!strncmp(row->name, name, level)) names[n++] = row->name + level;
    const char *nearest = err_nearest(name + level, names, n);
    free(names);
    if (nearest) return xstrdup(nearest - level);
    char *near_level = likely_level(table, name, level);
    if (near_level) return near_level;
    for (const Option *row = table; row->name; row++) {
        const char *last = strrchr(row->name, '.');
        if (last && !strcmp(last + 1, name)) return xstrdup(row->name);
    }
    return NULL;
}

int options_unknown(const Option *table, const char *name, const char *place)
{
    if (!table->name) FAIL(ERR_ARGUMENT, "%s: unknown key '%.80s'; there are no keys here", place, name);
    size_t level = known_level(table, name);
    char *above = strndup(name, level), *likely = likely_name(table, name, level);
    char *known = options_keys(table, above ? above : "");
    if (likely) err_set(ERR_ARGUMENT, "%s: unknown key '%.80s'; did you mean '%s'?", place, name, likely);
    else if (level) err_set(ERR_ARGUMENT, "%s: unknown key '%.80s'; keys of '%.*s' are: %s", place, name, (int)level - 1, name, known);
    else err_set(ERR_ARGUMENT, "%s: unknown key '%.80s'; keys are: %s", place, name, known);
    free(above);
    free(likely);
    free(known);
    return ERR_ARGUMENT;
}
