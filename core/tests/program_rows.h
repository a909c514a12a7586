/* program_rows.h - run a config, then read the rows of a table of its results file by name of column */
#ifndef CORE_TESTS_PROGRAM_ROWS_H
#define CORE_TESTS_PROGRAM_ROWS_H

#include <jansson.h>
#include <math.h>

#include "core/tests/program_results.h"

/* What `run` of a config says, with its output in the scratch folder and settings (ended by NULL) on top. */
static inline char *run_said(const char *file, const char *config, const char *output_name, const char *const *settings)
{
    char *output = xformat("output=%s", scratch_path(output_name));
    const char *words[MOST_WORDS + 1] = { "run", scratch_text(file, config), "--quiet", "--threads", "1", "--set", output };
    for (int n = 7; settings && *settings; settings++) words[n++] = "--set", words[n++] = *settings;
    Ran ran = program_words(words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    free(output);
    free(ran.err);
    return ran.out;
}

/* `run` of a config fails with 1, and says this. */
static inline void run_refused(const char *text, const char *sentence)
{
    Ran ran = program("run", scratch_text("bad.yaml", text), "--quiet", NULL);
    assert_int_equal(ran.status, 1);
    if (!strstr(ran.err, sentence)) fail_msg("%s", ran.err);
    ran_free(&ran);
}

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
