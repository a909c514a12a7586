#include "experiments/allocate/asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/store/table.h"

const char *const asked_list[ASKED_LISTS] = { "exclude", "together", "forbid", "pin" };
enum { MOST_DISTINCT = 1000 };

void asked_of_options(Asked *out, const Options *options)
{
    *out = (Asked){ 0 };
    for (int i = 0; i < ASKED_LISTS; i++) {
        out->n[i] = options_count(options, asked_list[i]);
        out->text[i] = xmalloc(((size_t)out->n[i] + 1) * sizeof *out->text[i]);
        for (int j = 0; j < out->n[i]; j++) out->text[i][j] = options_text_at(options, asked_list[i], j);
    }
    if (options_is_given(options, "distinct")) out->distinct = (int)options_integer(options, "distinct");
}

static int list_of_json(Asked *out, int i, const json_t *list)
{
    out->n[i] = (int)json_array_size(list);
    out->text[i] = xmalloc(((size_t)out->n[i] + 1) * sizeof *out->text[i]);
    for (int j = 0; j < out->n[i]; j++) {
        out->text[i][j] = json_string_value(json_array_get(list, (size_t)j));
        if (!out->text[i][j]) FAIL(ERR_FORMAT, "'%s' must be a list of texts", asked_list[i]);
    }
    return OK;
}

int asked_of_json(Asked *out, const json_t *object)
{
    *out = (Asked){ 0 };
    for (int i = 0; i < ASKED_LISTS; i++) TRY(list_of_json(out, i, json_object_get(object, asked_list[i])));
    const json_t *distinct = json_object_get(object, "distinct");
    if (distinct && !(json_is_integer(distinct) && json_integer_value(distinct) >= 1 && json_integer_value(distinct) <= MOST_DISTINCT))
        FAIL(ERR_FORMAT, "'distinct' must be a whole number from 1 to %d", MOST_DISTINCT);
    out->distinct = (int)json_integer_value(distinct);
    return OK;
}

void asked_free(Asked *asked)
{
    for (int i = 0; i < ASKED_LISTS; i++) free(asked->text[i]);
    *asked = (Asked){ 0 };
}

bool asked_anything(const Asked *asked)
{
    bool any = asked->distinct > 0;
    for (int i = 0; i < ASKED_LISTS; i++) any |= asked->n[i] > 0;
    return any;
}

void asked_print_json(const Asked *asked)
{
    const char *comma = "";
    putchar('{');
    for (int i = 0; i < ASKED_LISTS; i++) {
        if (asked->n[i] == 0) continue;
        printf("%s\"%s\":[", comma, asked_list[i]);
        for (int j = 0; j < asked->n[i]; j++) {
            if (j) putchar(',');
            json_text(stdout, asked->text[i][j]);
        }
        putchar(']');
        comma = ",";
    }
    if (asked->distinct > 0) printf("%s\"distinct\":%d", comma, asked->distinct);
    putchar('}');
}

int asked_constraints(Constraints *out, const Asked *asked, const ChoiceRows *rows)
{
    static int (*const apply[ASKED_LISTS])(Constraints *, const ChoiceTable *, const char *) = {
        constraints_exclude, constraints_together, constraints_forbid, constraints_pin,
    };
    int status = OK;
    constraints_init(out, &rows->choices);
    if (rows->group) constraints_group(out, (const char *const *)rows->group);
    for (int i = 0; i < ASKED_LISTS; i++)
        for (int j = 0; j < asked->n[i] && status == OK; j++) status = apply[i](out, &rows->choices, asked->text[i][j]);
    out->distinct = asked->distinct;
    if (status != OK) constraints_free(out);
    return status;
}
