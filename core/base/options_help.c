#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/options.h"

enum { LINE_WIDTH = 110, NARROWEST_MEANING = 30 };

/* 1e6 rather than 1e+06 or 1000000. */
static void short_number(char out[32], double x)
{
    snprintf(out, 32, "%.6g", x);
    char *e = strchr(out, 'e');
    if (!e) return;
    long exponent = strtol(e + 1, NULL, 10);
    snprintf(e + 1, (size_t)(out + 32 - e - 1), "%ld", exponent);
}

static char *range_text(const Option *row)
{
    char min[32], max[32];
    short_number(min, row->min);
    short_number(max, row->max);
    const char *any = row->type == OPTION_INTEGER ? "integer" : "number";
    if (isfinite(row->min) && isfinite(row->max)) return xformat("%s to %s", min, max);
    if (isfinite(row->min)) return xformat("%s >= %s", any, min);
    if (isfinite(row->max)) return xformat("%s <= %s", any, max);
    return xstrdup(any);
}

/* What may stand behind the key: "gaussian|sign", "1 to 1e6 weights", "0.1 to 64 bits/weight, ...". */
static char *domain_text(const Option *row)
{
    const char *unit = row->unit ? row->unit : "";
    char *values = row->type == OPTION_FLAG ? xstrdup("yes|no")
                 : row->type == OPTION_TEXT ? xstrdup("text")
                 : row->type == OPTION_ONE_OF ? xstrdup(row->words) : range_text(row);
    char *text = xformat("%s%s%s%s", values, *unit ? " " : "", unit, row->list ? ", ..." : "");
    free(values);
    return text;
}

static void write_wrapped(FILE *out, const char *text, int column)
{
    int width = LINE_WIDTH - column > NARROWEST_MEANING ? LINE_WIDTH - column : NARROWEST_MEANING;
    while ((int)strlen(text) > width) {
        int n = width;
        while (n > 0 && text[n] != ' ') n--;
        if (n == 0) n = (int)strcspn(text, " ");        /* one word wider than the column */
        if (!text[n]) break;
        fprintf(out, "%.*s\n%*s", n, text, column, "");
        text += n + 1;
    }
    fprintf(out, "%s\n", text);
}

/* A default as a person writes it: a list may break after its commas. */
static char *default_text(const Option *row)
{
    size_t n = 0, commas = 0;
    for (const char *c = row->initial; *c; c++) commas += *c == ',';
    char *text = xmalloc(strlen(row->initial) + commas + 1);
    for (const char *c = row->initial; *c; c++) {
        text[n++] = *c;
        if (row->list && *c == ',') text[n++] = ' ';
    }
    text[n] = '\0';
    return text;
}

static void write_row(FILE *out, const Option *row, const char *indent, int name_width, int domain_width)
{
    char *domain = domain_text(row);
    char *initial = row->initial ? default_text(row) : NULL;
    char *meaning = initial ? xformat("%s (default %s)", row->meaning, initial) : xstrdup(row->meaning);
    fprintf(out, "%s%-*s  %-*s  ", indent, name_width, row->name, domain_width, domain);
    write_wrapped(out, meaning, (int)strlen(indent) + name_width + domain_width + 4);
    free(domain);
    free(initial);
    free(meaning);
}

char *options_help(const Option *table, const char *indent)
{
    int name_width = 0, domain_width = 0;
    for (const Option *row = table; row->name; row++) {
        char *domain = domain_text(row);
        if ((int)strlen(row->name) > name_width) name_width = (int)strlen(row->name);
        if ((int)strlen(domain) > domain_width) domain_width = (int)strlen(domain);
        free(domain);
    }
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out) return xstrdup("");
    for (const Option *row = table; row->name; row++) write_row(out, row, indent, name_width, domain_width);
    fclose(out);
    return text;
}
