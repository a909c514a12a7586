/*
 * json_lines.h - text whose every line is a JSON value (inside core/text)
 */
#ifndef CORE_TEXT_JSON_LINES_H
#define CORE_TEXT_JSON_LINES_H

#include <jansson.h>

#include "core/text/text_file.h"

/* One line: its value, released after the call; where it stands in the text; its number from 1. */
typedef int (*JsonLine)(void *context, json_t *value, Span span, int number);

/* Calls each() for every line that is not white space alone, until one fails; ERR_FORMAT with path:line for what is no JSON.
 * nul: may strings hold \u0000? */
int json_lines(const Text *text, const char *path, bool nul, JsonLine each, void *context);

#endif
