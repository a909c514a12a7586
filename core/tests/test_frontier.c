/* The frontier of all sizes against enumeration, against the solver at every breakpoint, and in its limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/dense_step.h"
#include "core/allocate/frontier.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

enum { MEMORY = 1 << 28 };

/* ---- the inner loop ---- */

/* Shifts around the edges of tiles, equal sums, and few or many options, against the definition. */
static void test_step(void **state)
{
    (void)state;
    enum { LONG = 40000, OPTIONS = 40 };
    static double before[LONG + 1], next[LONG];
    static uint8_t best[LONG];
    for (int i = 0; i < 60; i++) {
        Source s = { rng_stream(RNG_TEST, 44, 0, i), 0 };
        const int n = i % 2 ? LONG : 1 + below(&s, 3000), options = 1 + below(&s, OPTIONS);
        int64_t shift[OPTIONS] = { 0 };
        double cost[OPTIONS];
        before[0] = -INFINITY;                                  /* must not be read */
        for (int w = 0; w < n; w++) before[w + 1] = below(&s, 8);
        for (int j = 0; j < options; j++) {
            if (j > 0) shift[j] = shift[j - 1] + 1 + (below(&s, 4) ? below(&s, 30) : below(&s, 3) ? 1023 - shift[j - 1] % 1024 : 1024 - shift[j - 1] % 1024);
            cost[j] = below(&s, 8);
        }
        dense_step(next, best, before + 1, n, shift, cost, options);
        for (int w = 0; w < n; w++) {
            double least = INFINITY;
            int which = -1;
            for (int j = 0; j < options && shift[j] <= w; j++)
                if (before[1 + w - shift[j]] + cost[j] < least) least = before[1 + w - shift[j]] + cost[j], which = j;
            assert_true(next[w] == least && best[w] == which);
        }
    }
}

/* ---- enumeration ---- */

typedef struct { int64_t size; double cost; } Sum;
typedef struct { const ChoiceTable *t; Sum *sum; int n; } All;

static void walk(All *all, int layer, int64_t size, double cost)
{
    if (layer == all->t->n_layers) {
        all->sum[all->n++] = (Sum){ size, cost };
        return;
    }
    for (int row = 0; row < all->t->n_choices; row++)
        if (all->t->row_layer[row] == layer)
            walk(all, layer + 1, size + choice_size(all->t->weights[layer], all->t->row_bits[row]), cost + fmax(all->t->row_cost[row], 0));
}

static int compare_sums(const void *a, const void *b)
{
    const Sum *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return (x->cost > y->cost) - (x->cost < y->cost);
}

static int pareto(Sum *sum, int n)
{
    int kept = 0;
    qsort(sum, (size_t)n, sizeof *sum, compare_sums);
    for (int i = 0; i < n; i++)
        if (kept == 0 || sum[i].cost < sum[kept - 1].cost) sum[kept++] = sum[i];
    return kept;
}

/* No line between two others passes below it. */
static bool on_hull(const Sum *sum, int n, int i)
{
    for (int a = 0; a < i; a++)
        for (int b = i + 1; b < n; b++) {
            const double share = (double)(sum[i].size - sum[a].size) / (double)(sum[b].size - sum[a].size);
            if (sum[a].cost + share * (sum[b].cost - sum[a].cost) < sum[i].cost * (1 - 1e-12)) return false;
        }
    return true;
}

static void check_rows(const AllocationFrontier *frontier, const ChoiceTable *t, int64_t point)
{
    int row[MOST_LAYERS];
    int64_t size = 0;
    double cost = 0;
    frontier_rows(row, frontier, point);
    for (int l = 0; l < t->n_layers; l++) {
        assert_int_equal(t->row_layer[row[l]], l);
        size += choice_size(t->weights[l], t->row_bits[row[l]]);
        cost += fmax(t->row_cost[row[l]], 0);
    }
    assert_int_equal(size, frontier->size[point]);
    assert_true(fabs(cost - frontier->cost[point]) <= 1e-13 * cost);
}

/* Costs are small whole numbers, so that equal sums are equal. */
static void test_against_enumeration(void **state)
{
    (void)state;
    Sum *sum = xmalloc(sizeof *sum * 20000);
    for (int i = 0; i < 2000; i++) {
        Source s = { rng_stream(RNG_TEST, 40, 0, i), 0 };
        Fixture *f = random_instance(&s, i % 3);
        for (int row = 0; row < f->table.n_choices; row++) f->row_cost[row] = below(&s, i % 2 ? 8 : 100000);
        Classes classes;
        AllocationFrontier frontier;
        assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
        assert_int_equal(frontier_init(&frontier, &classes, MEMORY), OK);
        All all = { &f->table, sum, 0 };
        walk(&all, 0, 0, 0);
        const int n = pareto(sum, all.n);
        assert_int_equal(frontier.n, n);
        for (int p = 0; p < n; p++) {
            assert_true(frontier.size[p] == sum[p].size && frontier.cost[p] == sum[p].cost);
            if (n < 200) assert_int_equal(frontier.on_hull[p], on_hull(sum, n, p));
            check_rows(&frontier, &f->table, p);
        }
        frontier_free(&frontier);
        classes_free(&classes);
        free(f);
    }
    free(sum);
}

/* ---- the solver ---- */

static void check_point(const AllocationFrontier *frontier, int64_t p, int64_t more)
{
    Allocation a;
    const Budget budget = { .average = (double)(frontier->size[p] + more) / (double)frontier->classes->weights };
    const int64_t expected = more < 0 ? p - 1 : p;
    const int status = allocate_classes(&a, frontier->classes, &budget);
    if (expected < 0) {
        assert_int_equal(status, ERR_BUDGET);
        return;
    }
    assert_int_equal(status, OK);
    assert_true(a.optimal && fabs(a.cost - frontier->cost[expected]) <= 1e-12 * a.cost);
    if (frontier->on_hull[p] && more == 0) assert_true(a.gap <= 1e-9 * a.cost);
    allocation_free(&a);
}

static void test_against_the_solver(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        Source s = { rng_stream(RNG_TEST, 41, 0, i), 0 };
        Fixture *f = model_like(&s, 30, 6, i % 2 ? 60 : 120, i % 3 > 0);
        Classes classes;
        AllocationFrontier frontier;
        assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
        assert_int_equal(frontier_init(&frontier, &classes, MEMORY), OK);
        assert_true(frontier.n > 100 && frontier.size[0] == classes.least && frontier.on_hull[0] && frontier.on_hull[frontier.n - 1]);
        for (int64_t p = 0; p < frontier.n; p += 1 + frontier.n / 60) {
            check_point(&frontier, p, 0);
            check_point(&frontier, p, -1);
            check_rows(&frontier, &f->table, p);
        }
        frontier_free(&frontier);
        classes_free(&classes);
        free(f);
    }
}

/* Long rows go to several threads, in tiles; nothing depends on that. */
static void test_large_range(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 42, 0, 0), 0 };
    Fixture *f = model_like(&s, 24, 12, 9973, false);
    Classes classes;
    AllocationFrontier frontier;
    assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
    assert_int_equal(frontier_init(&frontier, &classes, MEMORY), OK);
    assert_true(frontier.range > 100000);
    for (int64_t p = 0; p < frontier.n; p += 1 + frontier.n / 40) {
        check_point(&frontier, p, 0);
        check_rows(&frontier, &f->table, p);
    }
    frontier_free(&frontier);
    classes_free(&classes);
    free(f);
}

static void test_limits(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 43, 0, 0), 0 };
    Fixture *f = model_like(&s, 40, 6, 58720256, false);
    Classes classes;
    AllocationFrontier frontier = { .n = -5 };
    assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
    assert_int_equal(frontier_init(&frontier, &classes, MEMORY), ERR_MEMORY);
    assert_non_null(strstr(err_last(), "256 MiB of --memory"));
    assert_int_equal(frontier.n, -5);
    classes_free(&classes);
    free(f);

    f = fixture_new(1);
    for (int k = 0; k < 257; k++) add_row(f, 0, k, 1000 - k);
    assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
    assert_int_equal(frontier_init(&frontier, &classes, MEMORY), ERR_UNSUPPORTED);
    classes_free(&classes);
    f->table.n_choices = 256;
    assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
    assert_int_equal(frontier_init(&frontier, &classes, MEMORY), OK);
    assert_int_equal(frontier.n, 256);
    check_rows(&frontier, &f->table, 255);
    frontier_free(&frontier);
    classes_free(&classes);
    free(f);
    frontier_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_against_enumeration),
        cmocka_unit_test(test_against_the_solver),
        cmocka_unit_test(test_large_range),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
