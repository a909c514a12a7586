/* At most K distinct choices: against enumeration of all allocations, and on tables as large as a model's against all sets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/classes.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

static const char *const choice_name[12] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l" };

typedef struct { const ChoiceTable *t; const Constraints *k; int64_t capacity, least; double best; int row[8]; } Walk;

static int count_distinct(const ChoiceTable *t, const int *row)
{
    int n = 0;
    for (int l = 0; l < t->n_layers; l++) {
        bool is_new = true;
        for (int m = 0; m < l; m++) is_new &= strcmp(t->row_name[row[m]], t->row_name[row[l]]) != 0;
        n += is_new;
    }
    return n;
}

static void walk(Walk *w, int layer, int64_t size, double cost)
{
    if (layer == w->t->n_layers) {
        if (count_distinct(w->t, w->row) > w->k->distinct) return;
        if (size < w->least) w->least = size;
        if (size <= w->capacity) w->best = fmin(w->best, cost);
        return;
    }
    for (int row = 0; row < w->t->n_choices; row++) {
        if (w->t->row_layer[row] != layer) continue;
        bool kept = true;
        for (int l = 0; l < layer && kept; l++) kept = w->k->group[l] != w->k->group[layer] || !strcmp(w->t->row_name[w->row[l]], w->t->row_name[row]);
        w->row[layer] = row;
        if (kept) walk(w, layer + 1, size + choice_size(w->t->weights[layer], w->t->row_bits[row]), cost + fmax(w->t->row_cost[row], 0));
    }
}

static Fixture *named_instance(Source *s, int style)
{
    const int n = 1 + below(s, 6);
    Fixture *f = fixture_new(n);
    for (int l = 0; l < n; l++) {
        f->weights[l] = 1 + below(s, style ? 4 : 1000);
        const int before = f->table.n_choices;
        for (int k = 0; k < 6; k++) {
            if (below(s, 3) == 0 && !(k == 5 && f->table.n_choices == before)) continue;
            add_row(f, l, style ? 1 + k : 8 * uniform(s), style == 2 ? below(s, 6) : pow(4, -k) * uniform(s));
            f->row_name[f->table.n_choices - 1] = choice_name[k];
        }
    }
    return f;
}

static void check_refusal(int status, const Walk *w, const Budget *budget, const Classes *classes)
{
    if (w->least < INT64_MAX) {
        assert_int_equal(status, ERR_BUDGET);
        const double least = strtod(strstr(err_last(), "fits is ") + 8, NULL), exact = (double)w->least / (double)classes->weights;
        assert_true(least >= exact - 1e-12 && least <= exact + 1e-6 && budget->average < exact);
    } else {
        assert_int_equal(status, ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), "distinct choices are not enough for every layer to have one; "));
    }
}

/* With one more choice allowed, the claim is false where that is cheaper. */
static bool claims_too_much(const Allocation *a, const ChoiceTable *t, Constraints *k)
{
    const Certificate c = certificate_of(a);
    Verdict verdict;
    Allocation more;
    Classes classes;
    k->distinct++;
    assert_int_equal(classes_init(&classes, t, k), OK);
    const Budget budget = { .average = a->budget };
    assert_int_equal(allocate_classes(&more, &classes, &budget), OK);
    const bool cheaper = more.cost < a->cost * (1 - 1e-9);
    const int status = certificate_verify(&verdict, &c, t, k);
    assert_int_equal(status, cheaper ? ERR_FORMAT : OK);
    if (cheaper) assert_non_null(strstr(err_last(), "it is not optimal"));
    k->distinct--;
    allocation_free(&more);
    classes_free(&classes);
    return cheaper;
}

static void test_against_enumeration(void **state)
{
    (void)state;
    int solved = 0, too_small = 0, too_few = 0, limited = 0;
    for (int i = 0; i < 3000; i++) {
        Source s = { rng_stream(RNG_TEST, 60, 0, i), 0 };
        Fixture *f = named_instance(&s, i % 3);
        Constraints k;
        Classes classes;
        constraints_init(&k, &f->table);
        k.distinct = 1 + below(&s, 4);
        if (f->table.n_layers > 2 && below(&s, 3) == 0) k.group[2] = k.group[0];
        if (classes_init(&classes, &f->table, &k) == OK) {
            const Budget budget = { .average = 7 * uniform(&s) };
            Walk w = { .t = &f->table, .k = &k, .least = INT64_MAX, .best = INFINITY };
            assert_int_equal(budget_capacity(&w.capacity, &budget, classes.weights), OK);
            walk(&w, 0, 0, 0);
            Allocation a;
            const int status = allocate_classes(&a, &classes, &budget);
            if (isinf(w.best)) {
                if (classes.least <= w.capacity || status != ERR_BUDGET) check_refusal(status, &w, &budget, &classes);
                too_small += status == ERR_BUDGET, too_few += status == ERR_ARGUMENT;
            } else {
                assert_int_equal(status, OK);
                assert_true(a.optimal && a.lower_bound == a.cost && fabs(a.cost - w.best) <= 1e-13 * w.best);
                assert_int_not_equal(check_proof(&a, &f->table, &k).proof, PROOF_GAP);
                limited += claims_too_much(&a, &f->table, &k);
                allocation_free(&a);
                solved++;
            }
            classes_free(&classes);
        }
        constraints_free(&k);
        free(f);
    }
    assert_true(solved > 1000 && too_small > 100 && too_few > 50 && limited > 100);
}

/* All sets of three of twelve, each solved by forbidding the rest. */
static void test_against_all_sets(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 61, 0, 0), 0 };
    Fixture *f = model_like(&s, 60, 12, 6 << 20, true);
    for (int row = 0; row < f->table.n_choices; row++) f->row_name[row] = choice_name[row % 12];
    const Budget budget = { .average = 4.1 };
    Constraints k;
    Classes classes;
    Allocation a;
    double best = INFINITY;
    constraints_init(&k, &f->table);
    for (int set = 0; set < 1 << 12; set++) {
        if (__builtin_popcount((unsigned)set) != 3) continue;
        for (int row = 0; row < f->table.n_choices; row++) k.forbidden[row] = !(set >> row % 12 & 1);
        assert_int_equal(classes_init(&classes, &f->table, &k), OK);
        if (allocate_classes(&a, &classes, &budget) == OK) {
            best = fmin(best, a.cost);
            allocation_free(&a);
        }
        classes_free(&classes);
    }
    memset(k.forbidden, 0, sizeof *k.forbidden * (size_t)f->table.n_choices);
    k.distinct = 3;
    assert_int_equal(classes_init(&classes, &f->table, &k), OK);
    assert_int_equal(allocate_classes(&a, &classes, &budget), OK);
    assert_true(a.optimal && fabs(a.cost - best) <= 1e-13 * best);
    assert_int_equal(check_proof(&a, &f->table, &k).proof, PROOF_SETS);
    allocation_free(&a);
    classes_free(&classes);
    constraints_free(&k);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_enumeration),
        cmocka_unit_test(test_against_all_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
