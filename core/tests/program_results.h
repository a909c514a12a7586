/* program_results.h - what a results file holds, table by table, as `linearity export` prints it */
#ifndef CORE_TESTS_PROGRAM_RESULTS_H
#define CORE_TESTS_PROGRAM_RESULTS_H

#include "core/tests/program.h"

/* One table as CSV; the caller frees. */
static inline char *exported(const char *path, const char *table)
{
    Ran ran = program("export", path, table, NULL);
    if (ran.status) print_error("%s %s: %s", path, table, ran.err);
    assert_int_equal(ran.status, 0);
    free(ran.err);
    return ran.out;
}

/* All tables but /timings and /runs, which tell who, when and how fast. */
enum { MOST_TABLES = 32 };
typedef struct { int n; char *name[MOST_TABLES], *csv[MOST_TABLES]; } Results;

static inline Results results_read(const char *path)
{
    Results results = { 0 };
    Ran list = program("export", path, NULL);
    assert_int_equal(list.status, 0);
    for (char *name = strtok(list.out, "\n"); name; name = strtok(NULL, "\n")) {
        if (!strcmp(name, "timings") || !strcmp(name, "runs")) continue;
        assert_true(results.n < MOST_TABLES);
        results.name[results.n++] = xstrdup(name);
    }
    ran_free(&list);
    for (int i = 0; i < results.n; i++) results.csv[i] = exported(path, results.name[i]);
    return results;
}

static inline void results_free(Results *results)
{
    for (int i = 0; i < results->n; i++) {
        free(results->name[i]);
        free(results->csv[i]);
    }
    results->n = 0;
}

static inline void assert_results_equal(const Results *a, const Results *b)
{
    assert_true(a->n > 3);
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; i++) {
        assert_string_equal(a->name[i], b->name[i]);
        if (strcmp(a->csv[i], b->csv[i])) print_error("table %s differs\n", a->name[i]);
        assert_int_equal(strcmp(a->csv[i], b->csv[i]), 0);
    }
}

static inline void assert_same_tables(const char *path, const char *other)
{
    Results a = results_read(path), b = results_read(other);
    assert_results_equal(&a, &b);
    results_free(&a);
    results_free(&b);
}

#endif
