/*
 * option_value.h - one value of one option: from text to a checked value, and back to its one text
 */
#ifndef CORE_BASE_OPTION_VALUE_H
#define CORE_BASE_OPTION_VALUE_H

#include <stddef.h>

#include "core/base/options.h"

typedef struct {
    char *text;                     /* canonical: numbers in their shortest exact form, yes/no */
    double number;                  /* numbers, sizes [bytes]; 1 or 0 for flags                */
} OptionValue;

/* Reads text[0..n), without surrounding white space, as a value of this row.  Failures are
 * "place: 'name' must be ..., not '...'".  The caller frees out->text. */
int option_value_parse(OptionValue *out, const Option *row, const char *text, size_t n, const char *place);

/* The shortest text that strtod reads back as exactly this number. */
char *option_number_text(double number);

#endif
