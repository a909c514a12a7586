#include "core/base/options.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/option_value.h"

typedef struct { bool given; int n; OptionValue *value; } Values;

struct Options {
    const Option *table;
    int n_rows;
    Values *values;                 /* [n_rows] */
};

static int table_length(const Option *table)
{
    int n = 0;
    while (table[n].name) n++;
    return n;
}

static void values_clear(Values *values)
{
    for (int i = 0; i < values->n; i++) free(values->value[i].text);
    free(values->value);
    *values = (Values){ 0 };
}

static void values_push(Values *values, OptionValue value)
{
    values->value = xrealloc(values->value, (size_t)(values->n + 1) * sizeof value);
    values->value[values->n++] = value;
}

/* The same value twice would run the same thing twice under one name, so it is taken for a slip. */
static int values_add(Values *values, const Option *row, const char *text, size_t n, const char *place)
{
    OptionValue value;
    TRY(option_value_parse(&value, row, text, n, place));
    for (int i = 0; i < values->n; i++)
        if (!strcmp(values->value[i].text, value.text)) {
            err_set(ERR_ARGUMENT, "%s: '%s' has the value '%.80s' twice", place, row->name, value.text);
            free(value.text);
            return ERR_ARGUMENT;
        }
    values_push(values, value);
    return OK;
}

/* text without surrounding white space and one pair of [ ]. */
static void strip_brackets(const char **text, size_t *n)
{
    const char *s = *text;
    size_t length = strlen(s);
    while (length > 0 && isspace((unsigned char)s[0])) s++, length--;
    while (length > 0 && isspace((unsigned char)s[length - 1])) length--;
    bool bracketed = length >= 2 && s[0] == '[' && s[length - 1] == ']';
    *text = s + bracketed;
    *n = length - 2 * (size_t)bracketed;
}

static int values_parse(Values *out, const Option *row, const char *text, const char *place)
{
    if (!row->list) return values_add(out, row, text, strlen(text), place);
    size_t n;
    strip_brackets(&text, &n);
    for (const char *end = text + n; ; text++) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        TRY(values_add(out, row, text, (size_t)(stop - text), place));
        text = stop;
        if (!comma) return OK;
    }
}

static void values_default(Values *out, const Option *row)
{
    values_clear(out);
    if (!row->initial) return;
    int status = values_parse(out, row, row->initial, "default");
    assert(status == OK);           /* a default outside its own range is a slip in the table */
    (void)status;
}

Options *options_new(const Option *table)
{
    Options *options = xmalloc(sizeof *options);
    *options = (Options){ table, table_length(table), NULL };
    options->values = xcalloc((size_t)options->n_rows, sizeof *options->values);
    for (int i = 0; i < options->n_rows; i++) values_default(&options->values[i], &table[i]);
    return options;
}

Options *options_copy(const Options *options)
{
    Options *copy = xmalloc(sizeof *copy);
    *copy = *options;
    copy->values = xcalloc((size_t)copy->n_rows, sizeof *copy->values);
    for (int i = 0; i < copy->n_rows; i++) {
        const Values *from = &options->values[i];
        copy->values[i].given = from->given;
        for (int k = 0; k < from->n; k++)
            values_push(&copy->values[i], (OptionValue){ xstrdup(from->value[k].text), from->value[k].number });
    }
    return copy;
}

void options_free(Options *options)
{
    if (!options) return;
    for (int i = 0; i < options->n_rows; i++) values_clear(&options->values[i]);
    free(options->values);
    free(options);
}

static int find(const Options *options, const char *name)
{
    for (int i = 0; i < options->n_rows; i++)
        if (!strcmp(options->table[i].name, name)) return i;
    return -1;
}

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
    int n = 0;
    const char **names = xmalloc((size_t)table_length(table) * sizeof *names);
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

int options_set(Options *options, const char *name, const char *text, const char *place)
{
    int i = find(options, name);
    if (i < 0) return options_unknown(options->table, name, place);
    Values fresh = { .given = true };
    int status = values_parse(&fresh, &options->table[i], text, place);
    if (status != OK) {
        values_clear(&fresh);
        return status;
    }
    values_clear(&options->values[i]);
    options->values[i] = fresh;
    return OK;
}

int options_append(Options *options, const char *name, const char *text, const char *place)
{
    int i = find(options, name);
    if (i < 0) return options_unknown(options->table, name, place);
    assert(options->table[i].list);
    Values *values = &options->values[i];
    if (values->given) return values_add(values, &options->table[i], text, strlen(text), place);
    Values fresh = { .given = true };
    TRY(values_add(&fresh, &options->table[i], text, strlen(text), place));
    values_clear(values);           /* the default gives way to the first given element */
    *values = fresh;
    return OK;
}

static Values *values_of(const Options *options, const char *name)
{
    int i = find(options, name);
    assert(i >= 0);
    return &options->values[i];
}

void options_unset(Options *options, const char *name)
{
    Values *values = values_of(options, name);
    values_default(values, &options->table[values - options->values]);
}

bool options_is_set(const Options *options, const char *name) { return values_of(options, name)->n > 0; }
bool options_is_given(const Options *options, const char *name) { return values_of(options, name)->given; }
int options_count(const Options *options, const char *name) { return values_of(options, name)->n; }

static const OptionValue *value_at(const Options *options, const char *name, int index)
{
    const Values *values = values_of(options, name);
    assert(index >= 0 && index < values->n);
    return &values->value[index];
}

static OptionType type_of(const Options *options, const char *name)
{
    return options->table[find(options, name)].type;
}

int64_t options_integer_at(const Options *options, const char *name, int index)
{
    const OptionValue *value = value_at(options, name, index);
    assert(type_of(options, name) == OPTION_INTEGER || type_of(options, name) == OPTION_SIZE);
    return (int64_t)value->number;
}

double options_number_at(const Options *options, const char *name, int index)
{
    const OptionValue *value = value_at(options, name, index);
    assert(type_of(options, name) <= OPTION_SIZE);
    return value->number;
}

const char *options_text_at(const Options *options, const char *name, int index)
{
    return value_at(options, name, index)->text;
}

int64_t options_integer(const Options *options, const char *name) { return options_integer_at(options, name, 0); }
double options_number(const Options *options, const char *name) { return options_number_at(options, name, 0); }
const char *options_text(const Options *options, const char *name) { return options_text_at(options, name, 0); }

bool options_flag(const Options *options, const char *name)
{
    const OptionValue *value = value_at(options, name, 0);
    assert(type_of(options, name) == OPTION_FLAG);
    return value->number != 0;
}

const Option *options_table(const Options *options) { return options->table; }

char *options_value(const Options *options, const char *name)
{
    int row = find(options, name);
    assert(row >= 0);
    const Values *values = &options->values[row];
    bool list = options->table[row].list;
    char *text = xstrdup(list ? "[" : "");
    for (int i = 0; i < values->n; i++) {
        char *longer = xformat("%s%s%s", text, i ? "," : "", values->value[i].text);
        free(text);
        text = longer;
    }
    char *closed = xformat("%s%s", text, list ? "]" : "");
    free(text);
    return closed;
}

char *options_canonical(const Options *options)
{
    char *text = xstrdup("");
    for (int i = 0; i < options->n_rows; i++) {
        if (options->values[i].n == 0) continue;
        char *value = options_value(options, options->table[i].name);
        char *longer = xformat("%s%s%s=%s", text, *text ? "," : "", options->table[i].name, value);
        free(value);
        free(text);
        text = longer;
    }
    return text;
}
