/*
 * test_grid.c - the grids are what they claim to be, as good as the published ones, and can be made again
 */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/grid/data.h"
#include "core/grid/grid.h"
#include "core/grid/nearest.h"

/* ---- p = 1 ---- */

/* Of Lloyd's iteration to 1e-13, and of a search for the best step: computed elsewhere. */
static void test_levels(void **state)
{
    (void)state;
    static const struct { int n; double mse; } optimal[] = {
        { 2, .363380228 }, { 3, .190174039 }, { 4, .117481848 }, { 5, .079941127 }, { 6, .057977654 }, { 7, .044000382 }, { 8, .034547761 },
        { 9, .027853261 }, { 10, .022937053 }, { 11, .019219508 }, { 12, .016339658 }, { 13, .014063056 }, { 14, .012232000 }, { 15, .010737211 },
        { 16, .009501008 }, { 17, .008466938 }, { 18, .007593169 }, { 19, .006848166 }, { 20, .006207790 }, { 24, .004372491 }, { 32, .002504668 },
        { 64, .000644240 }, { 128, .000163478 }, { 256, .000041185 },
    };
    static const struct { int n; double mse; } uniform[] = { { 4, .118846 }, { 8, .037440 }, { 16, .011543 }, { 32, .003495 }, { 64, .001040 }, { 128, .000304 } };
    const Grid *grid;
    for (size_t i = 0; i < sizeof optimal / sizeof *optimal; i++) {
        assert_int_equal(grid_find(&grid, 1, optimal[i].n), OK);
        assert_true(fabs(grid->mse - optimal[i].mse) <= 1e-9 && grid->mse_se == 0);
    }
    for (size_t i = 0; i < sizeof uniform / sizeof *uniform; i++) {
        assert_int_equal(grid_uniform(&grid, uniform[i].n), OK);
        assert_true(fabs(grid->mse - uniform[i].mse) <= 5.1e-7 && grid->mse_se == 0);
    }
    assert_int_equal(grid_uniform(&grid, 256), OK);
    assert_true(fabs(grid->mse - 8.769e-5) <= 5e-9 && fabs(grid->point[1] - grid->point[0] - .03076) <= 5e-6);
}

static void test_no_such_grid(void **state)
{
    (void)state;
    const Grid *grid = NULL;
    assert_int_equal(grid_find(&grid, 2, 200), ERR_ARGUMENT);
    assert_string_equal(err_last(), "there is no grid p=2 n=200; there are n = 16, 32, 64, 88, 128, 256 (linearity grid makes others)");
    assert_int_equal(grid_find(&grid, 7, 256), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "p = 1 to 5"));
    static const int wrong[] = { 0, -1, GRID_LEVELS + 1 };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(grid_find(&grid, 1, wrong[i]), ERR_ARGUMENT);
        assert_int_equal(grid_uniform(&grid, wrong[i]), ERR_ARGUMENT);
    }
    assert_int_equal(grid_find(&grid, 0, 16), ERR_ARGUMENT);
    assert_null(grid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_no_such_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
