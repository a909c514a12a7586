/*
 * json.h - a JSON file or text that must be one object
 */
#ifndef CORE_MODEL_JSON_H
#define CORE_MODEL_JSON_H

#include <jansson.h>
#include <stddef.h>

/* path opens the message.  The caller releases *out with json_decref. */
int json_object_from_file(json_t **out, const char *path);
int json_object_from_text(json_t **out, const char *text, size_t n_bytes, const char *path);

#endif
