#include "core/text/task_fields.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

int json_text_of(const char **out, const json_t *line, const char *name, Place place)
{
    const json_t *value = json_object_get(line, name);
    *out = "";
    if (!json_is_string(value)) FAIL(ERR_FORMAT, "%s:%d: \"%s\" must be a string", place.path, place.line, name);
    *out = json_string_value(value);
    return OK;
}

int json_list_of(const json_t **out, const json_t *line, const char *name, Place place)
{
    *out = json_object_get(line, name);
    if (!json_is_array(*out) || json_array_size(*out) == 0) FAIL(ERR_FORMAT, "%s:%d: \"%s\" must be a list that is not empty", place.path, place.line, name);
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i))) FAIL(ERR_FORMAT, "%s:%d: \"%s\" must be a list of strings", place.path, place.line, name);
    return OK;
}

const char *json_element(const json_t *list, size_t i) { return json_string_value(json_array_get(list, i)); }

int json_number_of(long long *out, const json_t *line, const char *name, Place place)
{
    const json_t *value = json_object_get(line, name);
    const char *digits = json_string_value(value);
    *out = -1;
    if (json_is_integer(value)) *out = json_integer_value(value);
    else if (digits && *digits && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) < 10) *out = atoll(digits);
    else
        FAIL(ERR_FORMAT, "%s:%d: \"%s\" must be the number of the right choice%s", place.path, place.line, name,
             digits && !*digits ? "; it is empty, as in test sets, which are published without answers: give a validation set" : "");
    return OK;
}
