/*
 * options.h - named, typed, bounded settings: one table row feeds the YAML reader, --help, the
 * command line, the canonical text of a key, and the attributes of the results file
 */
#ifndef CORE_BASE_OPTIONS_H
#define CORE_BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    OPTION_INTEGER, OPTION_NUMBER,
    OPTION_SIZE,                    /* bytes: 8GiB, 512MiB, 1000000                          */
    OPTION_TEXT,                    /* any string, a path for instance                       */
    OPTION_ONE_OF,                  /* one of `words`, separated by |                        */
    OPTION_FLAG                     /* yes/no/true/false                                     */
} OptionType;

typedef struct {
    const char *name;               /* dotted: "noise.group"                                 */
    OptionType type;
    bool list;                      /* several values allowed: 1,2,3 on the command line     */
    const char *initial;            /* the default as text, comma-separated; NULL: unset     */
    double min, max;                /* inclusive, for numbers; +-INFINITY: no limit           */
    const char *words;              /* OPTION_ONE_OF: "gaussian|sign"                        */
    const char *unit;               /* "weights", "nats/token", "" ...                       */
    const char *meaning;            /* one line for --help                                   */
} Option;

typedef struct Options Options;     /* values for the rows of one table */

/* The table ends with a row whose name is NULL and must outlive the Options. */
Options *options_new(const Option *table);
Options *options_copy(const Options *options);
void     options_free(Options *options);

/* Sets from text ("3", "[2, 3]" or "2,3" for lists); place says where the text stands ("a.yaml:3:7",
 * "--set") and opens the message.  ERR_ARGUMENT: unknown name (with the nearest right one), wrong
 * type, out of range (with the range), no value, the same value twice in a list. */
int options_set(Options *options, const char *name, const char *text, const char *place);

/* One more element of a list, commas and all; the first one given replaces the default. */
int options_append(Options *options, const char *name, const char *text, const char *place);
void options_unset(Options *options, const char *name);             /* back to the default */

/* Records that the table has no such name, with the nearest one or else the names of that level, and
 * returns ERR_ARGUMENT. */
int options_unknown(const Option *table, const char *name, const char *place);

/* "law, scale, group": the next parts of the names that begin with level ("noise."; "" for the top).
 * The caller frees. */
char *options_keys(const Option *table, const char *level);

bool options_has(const Options *options, const char *name);         /* is it in the table? */
bool options_is_set(const Options *options, const char *name);      /* has a value, default or given */
bool options_is_given(const Options *options, const char *name);    /* given, not merely the default */
int  options_count(const Options *options, const char *name);       /* values of a list; 0 or 1 otherwise */

/* Values; asking for a name that is not in the table or has no value is a programming error. */
int64_t     options_integer(const Options *options, const char *name);
double      options_number(const Options *options, const char *name);
const char *options_text(const Options *options, const char *name);        /* borrowed; of a number, its canonical text */
bool        options_flag(const Options *options, const char *name);
int64_t     options_integer_at(const Options *options, const char *name, int index);
double      options_number_at(const Options *options, const char *name, int index);
const char *options_text_at(const Options *options, const char *name, int index);

const Option *options_table(const Options *options);

/* One value as in options_canonical: "64", "[0.1,0.3]".  The caller frees. */
char *options_value(const Options *options, const char *name);

/* "bits=3,group=64": every set value in table order, numbers in their shortest exact form; lists as
 * [a,b].  For keys and for showing.  The caller frees. */
char *options_canonical(const Options *options);

/* A table for --help: a row each with name, words or range and unit, meaning and default, in aligned
 * columns of 110 characters in all.  "..." marks lists.  The caller frees. */
char *options_help(const Option *table, const char *indent);

#endif
