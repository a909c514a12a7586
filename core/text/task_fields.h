/*
 * task_fields.h - fields of a line of a task's file, or ERR_FORMAT with path:line (inside core/text)
 */
#ifndef CORE_TEXT_TASK_FIELDS_H
#define CORE_TEXT_TASK_FIELDS_H

#include <jansson.h>

typedef struct { const char *path; int line; } Place;

/* A string; a list of strings that is not empty, and its elements; a whole number, 3 or "3".  Borrowed from the line. */
int json_text_of(const char **out, const json_t *line, const char *name, Place place);
int json_list_of(const json_t **out, const json_t *line, const char *name, Place place);
const char *json_element(const json_t *list, size_t i);
int json_number_of(long long *out, const json_t *line, const char *name, Place place);

#endif
