/* test_spearman.c - rank correlations by hand */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/estimate/spearman.h"

static void ranks_by_hand(void **state)
{
    (void)state;
    const double x[] = { 3, 1, 4, 1, 5 }, want[] = { 3, 1.5, 4, 1.5, 5 };
    double rank[5];
    mid_ranks(rank, x, 5);
    for (int i = 0; i < 5; i++) assert_true(rank[i] == want[i]);
}

/* Without ties 1 - 6 sum d^2 / (n (n^2 - 1)). */
static void correlations_by_hand(void **state)
{
    (void)state;
    const double x[] = { 10, 20, 30, 40, 50 }, y[] = { .2, .1, .3, .5, .4 }, down[] = { 1e6, 9, 8, 7, -1 }, flat[] = { 1, 1, 1, 1, 1 };
    assert_true(fabs(spearman(x, y, 5) - (1 - 6 * 4. / 120)) <= 1e-14);
    assert_true(fabs(spearman(x, down, 5) + 1) <= 1e-14);
    assert_true(fabs(spearman(x, x, 5) - 1) <= 1e-14);
    assert_true(isnan(spearman(x, flat, 5)) && isnan(spearman(x, y, 1)));
    const double tied[] = { 1, 1, 2, 3, 4 };            /* ranks 1.5 1.5 3 4 5 against 1 .. 5: 9.5 / sqrt(10 9.5) */
    assert_true(fabs(spearman(x, tied, 5) - 9.5 / sqrt(95)) <= 1e-14);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ranks_by_hand), cmocka_unit_test(correlations_by_hand) };
    return cmocka_run_group_tests_name("spearman", tests, NULL, NULL);
}
