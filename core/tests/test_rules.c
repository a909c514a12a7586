/*
 * test_rules.c - allocation rules: the order of layers by hand; no rule is ever over the budget or below the optimum
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
#include "core/model/model.h"
#include "core/tests/choice_tables.h"
#include "core/tests/rule_tables.h"

static void add_named(Fixture *f, int layer, const char *name, double bits, double cost)
{
    add_row(f, layer, bits, cost);
    f->row_name[f->table.n_choices - 1] = name;
}

/* ---- by hand: blocks of all seven types, 10 weights each, choices of 2, 3 and 4 bits ---- */

enum { BLOCKS = 5, LAYERS = BLOCKS * LAYER_TYPES };

static const char *const names[3] = { "two", "three", "four" };

static Fixture *blocks(LayerPlace *place)
{
    Fixture *f = fixture_new(LAYERS);
    for (int l = 0; l < LAYERS; l++) {
        f->weights[l] = 10, place[l] = (LayerPlace){ l / LAYER_TYPES, l % LAYER_TYPES };
        for (int k = 2; k >= 0; k--) add_named(f, l, names[k], 2 + k, pow(4, -k));          /* largest first: order comes from sizes */
    }
    return f;
}

/* Budgets that let `raised` layers be `three` and the others be `two`. */
static void expect_raised(const char *rule, const int *order, int raised)
{
    LayerPlace place[LAYERS];
    Fixture *f = blocks(place);
    int row[LAYERS], want[LAYERS];
    for (int i = 0; i < LAYERS; i++) want[order[i]] = i < raised;
    assert_int_equal(allocation_rule_apply(row, rule_named(rule), &f->table, place, 2 + raised / (double)LAYERS), OK);
    for (int l = 0; l < LAYERS; l++) assert_true(f->table.row_layer[row[l]] == l && f->row_bits[row[l]] == 2 + want[l]);
    free(f);
}

static void test_ends_by_hand(void **state)
{
    (void)state;
    static const int block[BLOCKS] = { 0, 4, 1, 3, 2 };
    int order[LAYERS];
    for (int i = 0; i < LAYERS; i++) order[i] = block[i / LAYER_TYPES] * LAYER_TYPES + i % LAYER_TYPES;
    for (int raised = 0; raised <= LAYERS; raised++) expect_raised("ends", order, raised);
}

static void test_types_by_hand(void **state)
{
    (void)state;
    static const int block[BLOCKS] = { 0, 4, 1, 3, 2 };
    static const char *const type[LAYER_TYPES] = { "v", "down", "o", "k", "q", "up", "gate" };
    int order[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        for (int t = 0; t < LAYER_TYPES; t++)
            if (strcmp(layer_type_name[t], type[i / BLOCKS]) == 0) order[i] = block[i % BLOCKS] * LAYER_TYPES + t;
    for (int raised = 0; raised <= LAYERS; raised++) expect_raised("types", order, raised);
}

/* With an even number of blocks; a layer that does not fit is passed over, a smaller one behind it is not. */
static void test_passes_over_what_does_not_fit(void **state)
{
    (void)state;
    Fixture *f = fixture_new(4);
    const LayerPlace place[4] = { { 0, WEIGHT_Q }, { 1, WEIGHT_Q }, { 2, WEIGHT_Q }, { 3, WEIGHT_Q } };
    const int64_t weights[4] = { 10, 30, 5, 60 };               /* order of the blocks: 0, 3, 1, 2 */
    int row[4];
    for (int l = 0; l < 4; l++) f->weights[l] = weights[l], add_named(f, l, "small", 2, 2), add_named(f, l, "large", 3, 1);
    static const struct { int bits, raised[4]; } cases[] = {
        { 9, { 0, 0, 1, 0 } }, { 39, { 1, 0, 1, 0 } }, { 45, { 1, 1, 1, 0 } }, { 69, { 1, 1, 1, 0 } }, { 70, { 1, 0, 0, 1 } }, { 75, { 1, 0, 1, 1 } },
        { 104, { 1, 1, 0, 1 } }, { 105, { 1, 1, 1, 1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(allocation_rule_apply(row, rule_named("ends"), &f->table, place, 2 + cases[i].bits / 105.0), OK);
        for (int l = 0; l < 4; l++) assert_true(f->row_bits[row[l]] == 2 + cases[i].raised[l]);
    }
    free(f);
}

/* Names that one layer lacks, and names that cost no less than smaller ones, are no steps. */
static void test_common_choices(void **state)
{
    (void)state;
    Fixture *f = fixture_new(2);
    const LayerPlace place[2] = { { 0, WEIGHT_Q }, { 0, WEIGHT_V } };
    int row[2];
    f->weights[0] = f->weights[1] = 100;
    for (int l = 0; l < 2; l++) {
        add_named(f, l, "a", 2, 9), add_named(f, l, "worse", 2.5, l ? 2 : 16), add_named(f, l, "equal", 2, 10), add_named(f, l, "b", 3, 4);
        if (l == 0) add_named(f, l, "first only", 2.25, 1), add_named(f, l, "c", 4, 1);
        else add_named(f, l, "c", 3.5, 5), add_named(f, l, "second only", 2.25, 1);
    }
    static const struct { double budget; const char *name[2]; } cases[] = {
        { 2, { "a", "a" } }, { 2.5, { "b", "a" } }, { 2.99, { "b", "a" } }, { 3, { "b", "b" } }, { 3.25, { "b", "c" } }, { 3.5, { "c", "b" } },
        { 3.75, { "c", "c" } }, { 9, { "c", "c" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(allocation_rule_apply(row, rule_named("ends"), &f->table, place, cases[i].budget), OK);
        for (int l = 0; l < 2; l++) assert_string_equal(f->row_name[row[l]], cases[i].name[l]);
    }
    free(f);
}

/* ---- on random tables ---- */

static void within_budget(const ChoiceTable *t, const int *row, const Allocation *best)
{
    assert_true(best->row && size_at(t, row) <= best->capacity && cost_at(t, row) >= best->cost * (1 - 1e-14));
}

static void test_within_the_budget_and_not_below_the_optimum(void **state)
{
    (void)state;
    for (int i = 0; allocation_rules[i]; i++) {
        const int applied = on_random_tables(allocation_rules[i]->name, 3000, within_budget);
        print_message("%-10s %d allocations\n", allocation_rules[i]->name, applied);
        assert_true(applied > 3000);
    }
}

/* ---- on a table as large as a model's ---- */

static void test_on_a_model(void **state)
{
    (void)state;
    enum { N = 210, CHOICES = 8 };
    Source s = { rng_stream(RNG_TEST, 12, 1, 0), 0 };
    Fixture *f = model_like(&s, N, CHOICES, 884736, false);
    LayerPlace place[N];
    int row[N];
    for (int l = 0; l < N; l++) place[l] = (LayerPlace){ l / LAYER_TYPES, l % LAYER_TYPES };
    name_rows(f);
    Allocation best;
    assert_int_equal(allocate(&best, &f->table, 4.1), OK);
    double cost[4];
    for (int i = 0; allocation_rules[i]; i++) {
        assert_int_equal(allocation_rule_apply(row, allocation_rules[i], &f->table, place, 4.1), OK);
        within_budget(&f->table, row, &best);
        cost[i] = cost_at(&f->table, row) / best.cost;
        print_message("%-10s %.6f bits, %.4f of the least cost\n", allocation_rules[i]->name, (double)size_at(&f->table, row) / (double)allocation_weights(&f->table), cost[i]);
        if (i != 3) assert_true(best.capacity - size_at(&f->table, row) < 884736);      /* less than any layer's step is left */
    }
    assert_true(cost[0] > 1.2 && cost[1] > 1.2 && cost[2] < 1.01 && cost[3] > 1.01 && cost[3] < cost[0]);
    allocation_free(&best);
    free(f);
}

/* ---- refusals ---- */

static void expect_failure(const char *rule, Fixture *f, double budget, int code, const char *words)
{
    const LayerPlace place[2] = { { 0, WEIGHT_Q }, { 1, WEIGHT_Q } };
    int row[2] = { -7, -7 };
    assert_int_equal(allocation_rule_apply(row, rule_named(rule), &f->table, place, budget), code);
    if (!strstr(err_last(), words)) fail_msg("'%s' does not say '%s'", err_last(), words);
    assert_true(row[0] == -7 && row[1] == -7);
}

static void test_refusals(void **state)
{
    (void)state;
    Fixture *f = fixture_new(2);
    for (int i = 0; allocation_rules[i]; i++) expect_failure(allocation_rules[i]->name, f, 4, ERR_ARGUMENT, "empty");
    add_named(f, 0, "a", 2, 1), add_named(f, 1, "b", 2, 1);
    for (int i = 0; allocation_rules[i]; i++) expect_failure(allocation_rules[i]->name, f, 1.9, ERR_BUDGET, "2.000000");
    for (int i = 0; i < 2; i++) expect_failure(allocation_rules[i]->name, f, 3, ERR_ARGUMENT, "common");
    add_named(f, 0, "c", 3, 1), add_named(f, 1, "c", 3, 1);
    for (int i = 0; i < 2; i++) expect_failure(allocation_rules[i]->name, f, 2.9, ERR_BUDGET, "fits 2.9");
    add_named(f, 0, "c", 4, 0.5);
    for (int i = 0; i < 2; i++) expect_failure(allocation_rules[i]->name, f, 4, ERR_ARGUMENT, "twice");
    f->row_cost[0] = NAN;
    for (int i = 0; allocation_rules[i]; i++) expect_failure(allocation_rules[i]->name, f, 4, ERR_ARGUMENT, "cost");
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_by_hand), cmocka_unit_test(test_types_by_hand), cmocka_unit_test(test_passes_over_what_does_not_fit),
        cmocka_unit_test(test_common_choices), cmocka_unit_test(test_within_the_budget_and_not_below_the_optimum),
        cmocka_unit_test(test_on_a_model), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
