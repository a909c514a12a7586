/*
 * test_program_grid.c - linearity grid: what it prints, writes and refuses
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "core/tests/program.h"

static json_t *grid_json(const char *p, const char *n, const char *option, const char *value)
{
    Ran ran = program("grid", "--p", p, "--n", n, "--json", "--quiet", option, value, NULL);
    assert_int_equal(ran.status, 0);
    json_t *grid = json_loads(ran.out, 0, NULL);
    assert_non_null(grid);
    ran_free(&ran);
    return grid;
}

static double coordinate(const json_t *grid, size_t i, size_t j) { return json_number_value(json_array_get(json_array_get(json_object_get(grid, "points"), i), j)); }

static void test_levels(void **state)
{
    (void)state;
    json_t *grid = grid_json("1", "4", "--levels", "optimal");
    assert_int_equal(json_integer_value(json_object_get(grid, "p")), 1);
    assert_int_equal(json_integer_value(json_object_get(grid, "n")), 4);
    assert_true(fabs(json_number_value(json_object_get(grid, "mse")) - .117481848) <= 1e-9);
    assert_true(json_number_value(json_object_get(grid, "mse_se")) == 0);
    assert_int_equal(json_array_size(json_object_get(grid, "points")), 4);
    assert_true(fabs(coordinate(grid, 0, 0) + 1.510418) <= 1e-6 && fabs(coordinate(grid, 2, 0) - .452780) <= 1e-6);
    json_decref(grid);
    grid = grid_json("1", "256", "--levels", "uniform");
    assert_true(fabs(json_number_value(json_object_get(grid, "mse")) - 8.769e-5) <= 1e-8);
    assert_true(fabs(coordinate(grid, 255, 0) - 255 * .03076 / 2) <= 255 * 5e-6 / 2);
    json_decref(grid);
}

/* The same bytes in the file as in the JSON, for one thread and for two. */
static void test_training(void **state)
{
    (void)state;
    enum { P = 2, N = 4 };
    const char *path = scratch_path("grid.f32");
    Ran ran = program("grid", "--p", "2", "--n", "4", "--starts", "2", "--steps", "60", "--threads", "2", "--quiet", "--csv", "--out", path, NULL);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.err, "");
    double mse, se, seconds;
    assert_int_equal(sscanf(ran.out, "2,4,%lf,%lf,%lf\n", &mse, &se, &seconds), 3);
    assert_true(fabs(mse - .36338) <= 1e-3 && se > 0 && se < 1e-3);          /* two levels in each of two coordinates */
    ran_free(&ran);

    size_t size;
    float *point = (float *)file_read(path, &size);
    assert_int_equal(size, P * N * sizeof *point);
    ran = program("grid", "--p", "2", "--n", "4", "--starts", "2", "--steps", "60", "--threads", "1", "--json", NULL);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.err, "steps"));
    json_t *grid = json_loads(ran.out, 0, NULL);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < P; j++) assert_true((float)coordinate(grid, i, j) == point[P * i + j]);
    json_decref(grid);
    ran_free(&ran);
    free(point);
}

static void refuse(int status, const char *words, const char *const *argument)
{
    Ran ran = program_words(argument);
    assert_int_equal(ran.status, status);
    assert_string_equal(ran.out, "");
    if (!strstr(ran.err, words)) print_error("'%s' is not in: %s\n", words, ran.err);
    assert_non_null(strstr(ran.err, words));
    ran_free(&ran);
}

#define REFUSE(status, words, ...) refuse(status, words, (const char *const[]){ "grid", __VA_ARGS__, NULL })

static void test_refusals(void **state)
{
    (void)state;
    REFUSE(2, "--n is missing", "--p", "2");
    REFUSE(2, "--p", "--p", "9", "--n", "16");
    REFUSE(2, "--n", "--p", "2", "--n", "0");
    REFUSE(2, "4096", "--p", "1", "--n", "5000");
    REFUSE(2, "--p 1", "--p", "2", "--n", "16", "--levels", "uniform");
    REFUSE(1, "n = 16, 32", "--p", "2", "--n", "200", "--built-in");
    REFUSE(1, "no-such-folder", "--p", "1", "--n", "2", "--out", "/no-such-folder/x.f32");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_levels), cmocka_unit_test(test_training), cmocka_unit_test(test_refusals) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove();
    return failed;
}
