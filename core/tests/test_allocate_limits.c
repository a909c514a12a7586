/* What an allocation takes on tables as large as a model's, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

/* ---- time ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void time_allocation(const char *what, int n_layers, int n_choices, bool same_sizes)
{
    double most = 0, sum = 0;
    int proven = 0, n = 0;
    for (int i = 0; i < 4; i++) {
        Source s = { rng_stream(RNG_TEST, 3, 0, i), 0 };
        Fixture *f = model_like(&s, n_layers, n_choices, 58720256, same_sizes);
        for (double budget = 2.5; budget < 6; budget += 0.5) {
            Allocation a;
            const double start = seconds();
            assert_int_equal(allocate(&a, &f->table, budget), OK);
            const double took = seconds() - start;
            check_certificate(&a, &f->table, budget);
            most = fmax(most, took), sum += took, proven += a.optimal, n++;
            allocation_free(&a);
        }
        free(f);
    }
    print_message("%s: %.2f ms mean, %.2f ms worst, %d of %d proven\n", what, 1e3 * sum / n, 1e3 * most, proven, n);
    assert_int_equal(proven, n);
}

static void test_time(void **state)
{
    (void)state;
    time_allocation("210 layers x 8 choices", 210, 8, true);
    time_allocation("210 layers x 8 choices, all sizes different", 210, 8, false);
    time_allocation("224 layers x 30 choices", 224, 30, true);
}

/* Sizes and costs without any structure to prune by: the list outgrows its limit and must say so. */
static void test_hard_instance_ends(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 5, 0, 0), 0 };
    Fixture *f = fixture_new(60);
    for (int l = 0; l < 60; l++) {
        f->weights[l] = 2 * (1000000 + below(&s, 1000000000));
        add_row(f, l, 0, (double)f->weights[l]);
        add_row(f, l, 1, 0);
    }
    const double budget = 0.5 + 1e-10;
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, budget), OK);
    check_certificate(&a, &f->table, budget);
    allocation_free(&a);
    free(f);
}

/* ---- refusals ---- */

static void expect_failure(Fixture *f, double budget, int code, const char *words)
{
    Allocation a = { .clamped = -5 };
    assert_int_equal(allocate(&a, &f->table, budget), code);
    if (!strstr(err_last(), words)) fail_msg("'%s' does not say '%s'", err_last(), words);
    assert_true(a.clamped == -5 && a.row == NULL);
    free(f);
}

static Fixture *two_layers(double bits, double cost)
{
    Fixture *f = fixture_new(2);
    f->layer[1] = "blocks.8.up";
    add_row(f, 0, 3.1, 1);
    add_row(f, 1, bits, cost);
    return f;
}

static void test_failures_say_why(void **state)
{
    (void)state;
    expect_failure(fixture_new(0), 4, ERR_ARGUMENT, "empty");
    expect_failure(fixture_new(2), 4, ERR_ARGUMENT, "empty");
    expect_failure(two_layers(NAN, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(-1, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(INFINITY, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(1e300, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, NAN), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, -INFINITY), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, 1), NAN, ERR_ARGUMENT, "budget");
    expect_failure(two_layers(3, 1), INFINITY, ERR_ARGUMENT, "budget");
    expect_failure(two_layers(3, 1), -1, ERR_BUDGET, "3.500000");           /* 4 bits and 3 bits on two weights */
    expect_failure(two_layers(3, 1), 3.2, ERR_BUDGET, "3.500000");

    Fixture *f = two_layers(3, 1);
    f->row_layer[1] = 0;
    expect_failure(f, 4, ERR_ARGUMENT, "layer 'blocks.8.up' has no choice");
    f = two_layers(3, 1);
    f->row_layer[1] = 2;
    expect_failure(f, 4, ERR_ARGUMENT, "layer 2 of 2");
    f = two_layers(3, 1);
    f->weights[0] = 0;
    expect_failure(f, 4, ERR_ARGUMENT, "blocks.7.down");
    f = two_layers(3, 1);
    f->weights[0] = INT64_MAX;
    expect_failure(f, 4, ERR_ARGUMENT, "blocks.7.down");
    allocation_free(NULL);
}

/* The average that a refusal names must itself be accepted. */
static void test_least_budget_named_is_enough(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        Source s = { rng_stream(RNG_TEST, 7, 0, i), 0 };
        Fixture *f = random_instance(&s, 0);
        Allocation a;
        if (allocate(&a, &f->table, 0) == ERR_BUDGET) {
            const double least = strtod(strstr(err_last(), "fits is ") + 8, NULL);
            assert_int_equal(allocate(&a, &f->table, least), OK);
        }
        allocation_free(&a);
        free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_hard_instance_ends),
        cmocka_unit_test(test_failures_say_why),
        cmocka_unit_test(test_least_budget_named_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
