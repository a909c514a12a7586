/*
 * tokenizer_json.h - the members of tokenizer.json that say how text is treated before merging
 */
#ifndef CORE_TEXT_TOKENIZER_JSON_H
#define CORE_TEXT_TOKENIZER_JSON_H

#include <jansson.h>

#include "core/text/tokenizer_parts.h"

int json_read_normalizer(Tokenizer *tokenizer, const json_t *normalizer);            /* NULL or null: none */
int json_read_pretokenizer(Tokenizer *tokenizer, const json_t *pretokenizer);
int json_read_postprocessor(Tokenizer *tokenizer, const json_t *postprocessor);      /* BOS that is added   */

/* Typed members of an object; ERR_FORMAT names the key where it is absent or of another kind. */
int json_want_string(const json_t **out, const json_t *object, const char *key);
int json_want_bool(bool *out, const json_t *object, const char *key);

/* The name in "type" (static storage: the document's), "" where there is none. */
const char *json_type_name(const json_t *object);

/* ERR_UNSUPPORTED where the object has a key that is not in names (NULL-terminated). */
int json_only_keys(const json_t *object, const char *where, const char *const *names);

#endif
