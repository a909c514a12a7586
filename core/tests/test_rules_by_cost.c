/*
 * test_rules_by_cost.c - rules that read costs: greedy where it is optimal and where it is not, the threshold by trying all
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/allocate/rules.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"
#include "core/tests/rule_tables.h"

/* ---- greedy ---- */

/* Whether j costs less than anything of its layer that is not larger. */
static bool undominated(const ChoiceTable *t, int j)
{
    const int64_t weights = t->weights[t->row_layer[j]], size = choice_size(weights, t->row_bits[j]);
    for (int i = 0; i < t->n_choices; i++)
        if (i != j && t->row_layer[i] == t->row_layer[j] && choice_size(weights, t->row_bits[i]) <= size && fmax(t->row_cost[i], 0) <= fmax(t->row_cost[j], 0)) return false;
    return true;
}

/* Greedy ends where no larger undominated choice of any layer fits. */
static void nothing_left(const ChoiceTable *t, const int *row, const Allocation *best)
{
    const int64_t size = size_at(t, row);
    for (int j = 0; j < t->n_choices; j++) {
        const int l = t->row_layer[j];
        const int64_t now = choice_size(t->weights[l], t->row_bits[row[l]]), then = choice_size(t->weights[l], t->row_bits[j]);
        if (then > now && undominated(t, j)) assert_true(size + then - now > best->capacity);
    }
}

static void test_greedy_fills_the_budget(void **state)
{
    (void)state;
    assert_true(on_random_tables("greedy", 2000, nothing_left) > 2000);
}

/* Convex costs and steps of one size: greedy is optimal for every budget. */
static void test_greedy_is_optimal_where_it_should_be(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        Source s = { rng_stream(RNG_TEST, 12, 0, i), 0 };
        Fixture *f = fixture_new(20);
        int row[20];
        for (int l = 0; l < 20; l++) {
            const double coefficient = exp(4 * uniform(&s));
            f->weights[l] = 64;
            for (int k = 0; k < 7; k++) add_row(f, l, 2 + k, coefficient * pow(4, -k));
        }
        for (double budget = 2; budget < 8.1; budget += 0.05) {
            Allocation best;
            assert_int_equal(allocate(&best, &f->table, budget), OK);
            assert_int_equal(allocation_rule_apply(row, rule_named("greedy"), &f->table, NULL, budget), OK);
            assert_true(fabs(cost_at(&f->table, row) - best.cost) <= 1e-13 * best.cost);
            allocation_free(&best);
        }
        free(f);
    }
}

/* A step is taken by what it saves per bit, not by what it saves; and a second step may precede another layer's first. */
static void test_greedy_by_hand(void **state)
{
    (void)state;
    Fixture *f = fixture_new(2);
    f->weights[0] = 10, f->weights[1] = 40;
    const double first[3] = { 100, 60, 30 }, second[3] = { 100, 20, 10 };           /* per bit: 4, 3 and 2, 0.25 */
    for (int k = 0; k < 3; k++) add_row(f, 0, 2 + k, first[k]);
    for (int k = 0; k < 3; k++) add_row(f, 1, 2 + k, second[k]);
    static const struct { int bits, step[2]; } cases[] = {
        { 9, { 0, 0 } }, { 10, { 1, 0 } }, { 19, { 1, 0 } }, { 20, { 2, 0 } }, { 40, { 2, 0 } }, { 59, { 2, 0 } }, { 60, { 2, 1 } }, { 100, { 2, 2 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int row[2];
        assert_int_equal(allocation_rule_apply(row, rule_named("greedy"), &f->table, NULL, 2 + cases[i].bits / 50.0), OK);
        assert_true(row[0] == cases[i].step[0] && row[1] == 3 + cases[i].step[1]);
    }
    free(f);
}

/* ---- threshold: the least largest cost, by trying all ---- */

static double largest_cost(const ChoiceTable *t, const int *row)
{
    double most = 0;
    for (int l = 0; l < t->n_layers; l++) most = fmax(most, t->row_cost[row[l]]);
    return most;
}

static double least_largest(const ChoiceTable *t, int64_t left, int layer, double most)
{
    if (left < 0) return INFINITY;
    if (layer == t->n_layers) return most;
    double best = INFINITY;
    for (int j = 0; j < t->n_choices; j++)
        if (t->row_layer[j] == layer)
            best = fmin(best, least_largest(t, left - choice_size(t->weights[layer], t->row_bits[j]), layer + 1, fmax(most, t->row_cost[j])));
    return best;
}

static void minimises_the_largest(const ChoiceTable *t, const int *row, const Allocation *best)
{
    const double c = least_largest(t, best->capacity, 0, 0);
    assert_true(largest_cost(t, row) == c);
    for (int j = 0; j < t->n_choices; j++) {
        const int l = t->row_layer[j];
        if (fmax(t->row_cost[j], 0) <= c) assert_true(choice_size(t->weights[l], t->row_bits[j]) >= choice_size(t->weights[l], t->row_bits[row[l]]));
    }
}

static void test_threshold_minimises_the_largest_cost(void **state)
{
    (void)state;
    assert_true(on_random_tables("threshold", 2000, minimises_the_largest) > 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_fills_the_budget), cmocka_unit_test(test_greedy_is_optimal_where_it_should_be),
        cmocka_unit_test(test_greedy_by_hand), cmocka_unit_test(test_threshold_minimises_the_largest_cost),
    };
    return cmocka_run_group_tests_name("rules by cost", tests, NULL, NULL);
}
