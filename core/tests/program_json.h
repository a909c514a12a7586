/* program_json.h - the JSON that a run of the program prints, where it succeeds and says nothing else */
#ifndef CORE_TESTS_PROGRAM_JSON_H
#define CORE_TESTS_PROGRAM_JSON_H

#include <jansson.h>

#include "core/tests/program.h"

/* Frees the run; the caller gives the JSON back. */
static inline json_t *json_of(Ran *ran)
{
    if (ran->status) print_error("%s", ran->err);
    assert_int_equal(ran->status, 0);
    assert_string_equal(ran->err, "");
    json_t *root = json_loads(ran->out, 0, NULL);
    assert_non_null(root);
    ran_free(ran);
    return root;
}

#endif
