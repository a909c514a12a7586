/* The K best allocations against enumeration of all of them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/best.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

enum { MOST = 40 };

typedef struct { const ChoiceTable *t; int64_t capacity; double *cost; int n; } All;

static void walk(All *all, int layer, int64_t size, double cost)
{
    if (size > all->capacity) return;
    if (layer == all->t->n_layers) {
        all->cost[all->n++] = cost;
        return;
    }
    for (int row = 0; row < all->t->n_choices; row++)
        if (all->t->row_layer[row] == layer)
            walk(all, layer + 1, size + choice_size(all->t->weights[layer], all->t->row_bits[row]), cost + fmax(all->t->row_cost[row], 0));
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Proven again; and refused where one of them is left out. */
static bool check_ranks(const Allocation *a, int n, const All *all, const ChoiceTable *t)
{
    Certificate c[MOST];
    Verdict verdict[MOST];
    int wrong = -1;
    for (int i = 0; i < n; i++) c[i] = certificate_of(&a[i]);
    if (certificate_verify_best(verdict, &wrong, c, n, t, NULL) != OK) fail_msg("%d: %s", wrong, err_last());
    for (int i = 0; i < n; i++) assert_int_not_equal(verdict[i].proof, PROOF_GAP);
    const int left_out = 1 + n / 3;
    if (left_out + 1 >= n || !(all->cost[left_out + 1] > all->cost[left_out] * (1 + 1e-9))) return false;
    for (int i = left_out; i + 1 < n; i++) c[i] = c[i + 1];
    assert_int_equal(certificate_verify_best(verdict, &wrong, c, n - 1, t, NULL), ERR_FORMAT);
    assert_int_equal(wrong, left_out);
    assert_non_null(strstr(err_last(), "is missing"));
    return true;
}

static void check_answers(const Allocation *a, int n, const All *all, const ChoiceTable *t)
{
    for (int i = 0; i < n; i++) {
        assert_true(a[i].optimal && a[i].lower_bound == a[i].cost && fabs(a[i].cost - all->cost[i]) <= 1e-13 * all->cost[i]);
        assert_true(a[i].size <= a[i].capacity && a[i].capacity == all->capacity);
        Allocation claims_less = a[i];
        claims_less.optimal = i == 0;
        check_proof(&claims_less, t, NULL);
        for (int j = 0; j < i; j++) assert_true(memcmp(a[i].row, a[j].row, sizeof *a[i].row * (size_t)t->n_layers));
    }
}

static void test_against_enumeration(void **state)
{
    (void)state;
    double *cost = xmalloc(sizeof *cost * 20000);
    int full = 0, short_of = 0, left_out = 0;
    for (int i = 0; i < 3000; i++) {
        Source s = { rng_stream(RNG_TEST, 50, 0, i), 0 };
        Fixture *f = random_instance(&s, i % 5);
        Classes classes;
        assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
        const Budget budget = { .average = i % 5 == 1 ? below(&s, 8) / 2.0 : 9 * uniform(&s) };
        All all = { &f->table, 0, cost, 0 };
        assert_int_equal(budget_capacity(&all.capacity, &budget, classes.weights), OK);
        walk(&all, 0, 0, 0);
        qsort(cost, (size_t)all.n, sizeof *cost, compare);
        Allocation a[MOST];
        int n = -3;
        const int k = 1 + below(&s, MOST), status = allocate_best(a, &n, &classes, &budget, k);
        assert_int_equal(status, all.n ? OK : ERR_BUDGET);
        if (status == OK) {
            assert_int_equal(n, all.n < k ? all.n : k);
            check_answers(a, n, &all, &f->table);
            left_out += check_ranks(a, n, &all, &f->table);
            full += n == k, short_of += n < k;
            for (int j = 0; j < n; j++) allocation_free(&a[j]);
        } else {
            assert_int_equal(n, -3);
        }
        classes_free(&classes);
        free(f);
    }
    assert_true(full > 500 && short_of > 200 && left_out > 300);
    free(cost);
}

/* On a table as large as a model's: in order, all different, the first one that of the solver. */
static void test_large_table(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 51, 0, 0), 0 };
    Fixture *f = model_like(&s, 224, 8, 6 << 20, true);
    Classes classes;
    assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
    const Budget budget = { .average = 3.7 };
    Allocation a[MOST], first;
    int n;
    assert_int_equal(allocate_best(a, &n, &classes, &budget, 20), OK);
    assert_int_equal(allocate_classes(&first, &classes, &budget), OK);
    assert_true(n == 20 && a[0].cost == first.cost && a[0].gap >= first.gap * (1 - 1e-9) && a[0].gap <= first.gap * (1 + 1e-9));
    for (int i = 0; i < n; i++) {
        assert_true(a[i].optimal && (i == 0 || a[i].cost >= a[i - 1].cost));
        for (int j = 0; j < i; j++) assert_true(memcmp(a[i].row, a[j].row, sizeof(int) * 224));
    }
    for (int i = 0; i < n; i++) allocation_free(&a[i]);
    allocation_free(&first);
    classes_free(&classes);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_enumeration),
        cmocka_unit_test(test_large_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
