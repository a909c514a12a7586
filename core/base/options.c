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

bool options_has(const Options *options, const char *name) { return find(options, name) >= 0; }
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
