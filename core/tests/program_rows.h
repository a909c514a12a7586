/* program_rows.h - the rows of a table of a results file, by name of column */
#ifndef CORE_TESTS_PROGRAM_ROWS_H
#define CORE_TESTS_PROGRAM_ROWS_H

#include <jansson.h>
#include <math.h>

#include "core/tests/program_results.h"

static inline json_t *rows_of(const char *name, const char *table)
{
    Ran ran = program("export", scratch_path(name), table, "--json", NULL);
    json_t *rows = json_loads(ran.out, 0, NULL);
    assert_true(json_array_size(rows) > 0);
    ran_free(&ran);
    return rows;
}

static inline double number(const json_t *rows, size_t row, const char *column)
{
    const json_t *value = json_object_get(json_array_get(rows, row), column);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline const char *word(const json_t *rows, size_t row, const char *column)
{
    return json_string_value(json_object_get(json_array_get(rows, row), column));
}

static inline bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

#endif
