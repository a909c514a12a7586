#include "core/base/option_value.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/err.h"

/* Whole numbers up to here are exact in a double, which is how all numbers are kept. */
static const double LARGEST_WHOLE = 9007199254740992.0;

char *option_number_text(double number)
{
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number == 0 ? 0.0 : number);    /* -0 is 0 */
        if (strtod(text, NULL) == number) break;
    }
    return xstrdup(text);
}

/* A plain decimal number at the start of text; strtod alone would take hexadecimal, inf and nan. */
static bool read_decimal(double *out, const char **rest, const char *text)
{
    size_t n = strspn(text, "+-.0123456789eE");
    char digits[64];
    if (n == 0 || n >= sizeof digits) return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    char *end;
    *out = strtod(digits, &end);
    *rest = text + (end - digits);
    return end != digits && isfinite(*out);
}

static bool read_number(double *out, const char *text)
{
    const char *rest;
    return read_decimal(out, &rest, text) && *rest == 0;
}

static bool is_whole(double x) { return fabs(x) <= LARGEST_WHOLE && x == floor(x); }

static bool read_size(double *out, const char *text)
{
    static const struct { const char *suffix; double bytes; } units[] = {
        { "", 1 }, { "B", 1 },
        { "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 },
        { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
    };
    const char *rest;
    double number;
    if (!read_decimal(&number, &rest, text)) return false;
    rest += strspn(rest, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcasecmp(rest, units[i].suffix)) {
            *out = number * units[i].bytes;
            return is_whole(*out);
        }
    return false;
}

static bool read_flag(double *out, const char *text)
{
    bool yes = !strcasecmp(text, "yes") || !strcasecmp(text, "true");
    *out = yes;
    return yes || !strcasecmp(text, "no") || !strcasecmp(text, "false");
}

/* " of weights from 1 to 1000000" or " in bytes from ...", with whatever of it the row has. */
static char *domain_text(const Option *row)
{
    bool below = isfinite(row->min), above = isfinite(row->max), has_unit = row->unit && *row->unit;
    char *min = option_number_text(row->min), *max = option_number_text(row->max);
    char *text = xformat("%s%s%s%s%s%s", has_unit ? (row->type == OPTION_SIZE ? " in " : " of ") : "", has_unit ? row->unit : "",
                         below ? (above ? " from " : " of at least ") : (above ? " of at most " : ""),
                         below ? min : "", below && above ? " to " : "", above ? max : "");
    free(min);
    free(max);
    return text;
}

/* Shown values are cut: a whole file pasted behind a key should not hide the sentence. */
#define SHOWN "'%.80s'"

static int refuse_number(const Option *row, const char *found, const char *place)
{
    static const char *const kind[] = {
        [OPTION_INTEGER] = "a whole number", [OPTION_NUMBER] = "a number", [OPTION_SIZE] = "a size",
    };
    char *domain = domain_text(row);
    err_set(ERR_ARGUMENT, "%s: '%s' must be %s%s%s, not " SHOWN, place, row->name, kind[row->type], domain,
            row->type == OPTION_SIZE ? ", such as 8GiB, 512MiB or 1e9" : "", found);
    free(domain);
    return ERR_ARGUMENT;
}

static int parse_number(OptionValue *out, const Option *row, const char *text, const char *place)
{
    double x;
    bool sound = row->type == OPTION_SIZE ? read_size(&x, text) : read_number(&x, text);
    if (sound && row->type == OPTION_INTEGER) sound = is_whole(x);
    if (!sound || !(x >= row->min && x <= row->max)) return refuse_number(row, text, place);
    *out = (OptionValue){ option_number_text(x), x };
    return OK;
}

static int parse_flag(OptionValue *out, const Option *row, const char *text, const char *place)
{
    double yes;
    if (!read_flag(&yes, text)) FAIL(ERR_ARGUMENT, "%s: '%s' must be yes or no, not " SHOWN, place, row->name, text);
    *out = (OptionValue){ xstrdup(yes ? "yes" : "no"), yes };
    return OK;
}

/* "a, b or c" of "a|b|c". */
static char *words_sentence(const char *words)
{
    char *text = xstrdup("");
    for (const char *word = words; *word; ) {
        size_t n = strcspn(word, "|");
        const char *next = word + n + (word[n] == '|');
        const char *joint = word == words ? "" : *next ? ", " : " or ";
        char *longer = xformat("%s%s%.*s", text, joint, (int)n, word);
        free(text);
        text = longer;
        word = next;
    }
    return text;
}

static bool is_one_of(const char *words, const char *text)
{
    size_t n = strlen(text);
    for (const char *word = words; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
        if (strcspn(word, "|") == n && !memcmp(word, text, n)) return true;
    return false;
}

static int parse_word(OptionValue *out, const Option *row, const char *text, const char *place)
{
    if (!is_one_of(row->words, text)) {
        char *words = words_sentence(row->words);
        err_set(ERR_ARGUMENT, "%s: '%s' must be %s, not " SHOWN, place, row->name, words, text);
        free(words);
        return ERR_ARGUMENT;
    }
    *out = (OptionValue){ xstrdup(text), 0 };
    return OK;
}

static int parse(OptionValue *out, const Option *row, const char *text, const char *place)
{
    if (!*text) FAIL(ERR_ARGUMENT, "%s: '%s' has no value", place, row->name);
    switch (row->type) {
    case OPTION_FLAG:   return parse_flag(out, row, text, place);
    case OPTION_ONE_OF: return parse_word(out, row, text, place);
    case OPTION_TEXT:   *out = (OptionValue){ xstrdup(text), 0 }; return OK;
    default:            return parse_number(out, row, text, place);
    }
}

int option_value_parse(OptionValue *out, const Option *row, const char *text, size_t n, const char *place)
{
    while (n > 0 && isspace((unsigned char)text[0])) text++, n--;
    while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
    char *word = strndup(text, n);
    if (!word) FAIL(ERR_MEMORY, "%s: no memory for a value", place);
    int status = parse(out, row, word, place);
    free(word);
    return status;
}
