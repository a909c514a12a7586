/* Allocations under constraints against enumeration of all that keeps them, and what contradicts itself. */
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

static const char *const choice_name[5] = { "a", "b", "c", "d=1,e=2", "f[3]" };
static const char *const layer_name[8] = { "blocks.0.q", "blocks.0.k", "blocks.0.v", "blocks.1.q", "blocks.1.k", "blocks.1.v", "blocks.1.up", "blocks.2.up" };

/* ---- enumeration ---- */

typedef struct { const ChoiceTable *t; const Constraints *k; int64_t capacity; double best; int row[8]; } Walk;

static bool keeps(const Walk *w, int layer, int row)
{
    const Constraints *k = w->k;
    if (k->forbidden[row] || (k->pinned[layer] >= 0 && k->pinned[layer] != row)) return false;
    for (int l = 0; l < layer; l++)
        if (k->group[l] == k->group[layer] && !k->excluded[l] && strcmp(w->t->row_name[w->row[l]], w->t->row_name[row])) return false;
    return true;
}

static void walk(Walk *w, int layer, int64_t size, double cost)
{
    if (size > w->capacity) return;
    if (layer == w->t->n_layers) {
        w->best = fmin(w->best, cost);
        return;
    }
    if (w->k->excluded[layer]) {
        walk(w, layer + 1, size, cost);
        return;
    }
    for (int row = 0; row < w->t->n_choices; row++)
        if (w->t->row_layer[row] == layer && keeps(w, layer, row)) {
            w->row[layer] = row;
            walk(w, layer + 1, size + choice_size(w->t->weights[layer], w->t->row_bits[row]), cost + fmax(w->t->row_cost[row], 0));
        }
}

/* ---- random tables and constraints ---- */

static Fixture *named_instance(Source *s, int style)
{
    const int n = 2 + below(s, 6);
    Fixture *f = fixture_new(n);
    for (int l = 0; l < n; l++) {
        f->layer[l] = layer_name[l];
        f->weights[l] = 1 + below(s, style ? 4 : 1000);
        for (int k = 0; k < 5; k++) {
            if (below(s, 4) == 0 && !(k == 4 && (f->table.n_choices == 0 || f->row_layer[f->table.n_choices - 1] != l))) continue;
            add_row(f, l, style ? 1 + k : 8 * uniform(s), style ? below(s, 6) - 1 : pow(4, -k) * uniform(s));
            f->row_name[f->table.n_choices - 1] = choice_name[k];
        }
    }
    return f;
}

static const char *pick(Source *s, const char *const *from, int n) { return from[below(s, n)]; }

/* What is refused here (names that this table does not have) must leave nothing behind that matters. */
static void constrain(Constraints *k, const ChoiceTable *t, Source *s)
{
    static const char *const pins[] = { "blocks.0.q=a", "blocks.1.*=b", "*.k=c", "*.v=d=1,e=2" };
    static const char *const forbids[] = { "blocks.0.?=[ab]", "*.up=*", "*=c", "*.q=d*", "*=f\\[3\\]" };
    static const char *const excludes[] = { "blocks.1.*", "*.v", "*.up", "blocks.0.k" };
    static const char *const together[] = { "q,k,v", "q,k", "block", "k,v", "q, up" };
    static const char *const names[] = { "", "x", "y" };
    constraints_init(k, t);
    if (below(s, 3) == 0) constraints_exclude(k, t, pick(s, excludes, 4));
    if (below(s, 2) == 0) constraints_together(k, t, pick(s, together, 5));
    if (below(s, 3) == 0) constraints_together(k, t, pick(s, together, 5));
    if (below(s, 3) == 0) {
        const char *group[8];
        for (int l = 0; l < 8; l++) group[l] = pick(s, names, 3);
        constraints_group(k, group);
    }
    if (below(s, 3) == 0) constraints_forbid(k, t, pick(s, forbids, 5));
    if (below(s, 3) == 0) constraints_pin(k, t, pick(s, pins, 4));
}

static void test_against_enumeration(void **state)
{
    (void)state;
    int solved = 0, too_small = 0, impossible = 0;
    for (int i = 0; i < 4000; i++) {
        Source s = { rng_stream(RNG_TEST, 30, 0, i), 0 };
        Fixture *f = named_instance(&s, i % 2);
        Constraints k;
        constrain(&k, &f->table, &s);
        Classes classes;
        Walk w = { .t = &f->table, .k = &k, .capacity = INT64_MAX, .best = INFINITY };
        if (classes_init(&classes, &f->table, &k) != OK) {
            bool takes_part = false;
            for (int l = 0; l < f->table.n_layers; l++) takes_part |= !k.excluded[l];
            walk(&w, 0, 0, 0);
            if (takes_part) assert_true(isinf(w.best));
            impossible++;
        } else {
            const Budget budget = { .average = 6 * uniform(&s) };
            Allocation a;
            const int status = allocate_classes(&a, &classes, &budget);
            assert_int_equal(budget_capacity(&w.capacity, &budget, classes.weights), OK);
            walk(&w, 0, 0, 0);
            assert_int_equal(status, isinf(w.best) ? ERR_BUDGET : OK);
            if (status == OK) {
                assert_true(a.optimal && fabs(a.cost - w.best) <= 1e-13 * w.best);
                assert_true(check_proof(&a, &f->table, &k).proof != PROOF_GAP);
                allocation_free(&a);
                solved++;
            } else {
                too_small++;
            }
            classes_free(&classes);
        }
        constraints_free(&k);
        free(f);
    }
    assert_true(solved > 1500 && too_small > 100 && impossible > 100);
}

/* A layer of two groups makes them one, in whatever order they come. */
static void test_groups_join(void **state)
{
    (void)state;
    Fixture *f = fixture_new(7);
    static const char *const text[7] = { "", "", "x", "", "", "x", "x" };
    for (int l = 0; l < 7; l++) f->layer[l] = layer_name[l], add_row(f, l, 2, 1);
    for (int order = 0; order < 2; order++) {
        Constraints k;
        constraints_init(&k, &f->table);
        if (order) constraints_group(&k, text);
        assert_int_equal(constraints_together(&k, &f->table, "k,v"), OK);
        assert_int_equal(constraints_together(&k, &f->table, "q, up"), OK);
        if (!order) constraints_group(&k, text);
        static const int expected[7] = { 0, 1, 1, 1, 1, 1, 1 };                 /* 0.k 0.v 1.v 1.k 1.up 1.q in turn */
        for (int l = 0; l < 7; l++) assert_int_equal(k.group[l], expected[l]);
        constraints_free(&k);
    }
    free(f);
}

/* ---- constraints in the certificate ---- */

static void test_broken_constraints_are_found(void **state)
{
    (void)state;
    Fixture *f = fixture_new(3);
    for (int l = 0; l < 3; l++)
        for (int c = 0; c < 3; c++) {
            f->layer[l] = layer_name[l];
            add_row(f, l, 2 + c, pow(4, -c) * (1 + l));
            f->row_name[f->table.n_choices - 1] = choice_name[c];
        }
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, 10. / 3), OK);
    const Certificate c = certificate_of(&a);
    const struct { const char *pin, *forbid, *exclude, *together, *words; int distinct; } broken[] = {
        { "*.q=c", NULL, NULL, NULL, "layer 'blocks.0.q' is pinned to 'c' and has 'b'", 0 },
        { NULL, "*.v=[bc]", NULL, NULL, "layer 'blocks.0.v' has the choice 'c', which is forbidden", 0 },
        { NULL, NULL, "*.k", NULL, "layer 'blocks.0.k' is excluded and yet has a choice", 0 },
        { NULL, NULL, NULL, "q,k,v", "must share a choice and have 'b' and 'c'", 0 },
        { NULL, NULL, NULL, NULL, "more than 1 distinct choices", 1 },
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        Constraints k;
        Verdict verdict;
        constraints_init(&k, &f->table);
        if (broken[i].pin) assert_int_equal(constraints_pin(&k, &f->table, broken[i].pin), OK);
        if (broken[i].forbid) assert_int_equal(constraints_forbid(&k, &f->table, broken[i].forbid), OK);
        if (broken[i].exclude) assert_int_equal(constraints_exclude(&k, &f->table, broken[i].exclude), OK);
        if (broken[i].together) assert_int_equal(constraints_together(&k, &f->table, broken[i].together), OK);
        k.distinct = broken[i].distinct;
        assert_int_equal(certificate_verify(&verdict, &c, &f->table, &k), ERR_FORMAT);
        if (!strstr(err_last(), broken[i].words)) fail_msg("'%s' does not say '%s'", err_last(), broken[i].words);
        constraints_free(&k);
    }
    allocation_free(&a);
    free(f);
}

/* ---- refusals ---- */

typedef struct { const char *pin, *forbid, *exclude, *together, *words; } Bad;

static int apply(Constraints *k, const ChoiceTable *t, const Bad *bad)
{
    if (bad->exclude) TRY(constraints_exclude(k, t, bad->exclude));
    if (bad->together) TRY(constraints_together(k, t, bad->together));
    if (bad->forbid) TRY(constraints_forbid(k, t, bad->forbid));
    if (bad->pin) TRY(constraints_pin(k, t, bad->pin));
    Classes classes;
    TRY(classes_init(&classes, t, k));
    const Budget budget = { .average = 3 };
    Allocation a;
    const int status = allocate_classes(&a, &classes, &budget);
    if (status == OK) allocation_free(&a);
    classes_free(&classes);
    return status;
}

static void test_refusals_say_why(void **state)
{
    (void)state;
    static const Bad bad[] = {
        { "blocks.0.q", NULL, NULL, NULL, "--pin is written 'LAYERS=CHOICE', not 'blocks.0.q'" },
        { "blocks.O.q=hqq-4", NULL, NULL, NULL, "--pin: no layer matches 'blocks.O.q'; did you mean 'blocks.0.q'?" },
        { "*.q=hqq-5", NULL, NULL, NULL, "--pin: layer 'blocks.0.q' has no choice 'hqq-5'; did you mean 'hqq-" },
        { "*.q=zzzzzzzzzzz", NULL, NULL, NULL, "layer 'blocks.0.q' has no choice 'zzzzzzzzzzz'; there are 'hqq-2' to 'hqq-8'" },
        { "*.q=hqq-8", "blocks.1.*=*-8", NULL, NULL, "layer 'blocks.1.q' is pinned to 'hqq-8', which is forbidden there" },
        { NULL, "*.k=hqq*", NULL, NULL, "every choice of layer 'blocks.0.k' is forbidden" },
        { NULL, "*.k=hqq-9", NULL, NULL, "--forbid: none of these layers has the choice 'hqq-9'; did you mean" },
        { NULL, "*.kk=hqq-8", NULL, NULL, "--forbid: no layer matches '*.kk'" },
        { NULL, NULL, "*", NULL, "every layer is excluded" },
        { NULL, NULL, "blocks.9.q", NULL, "--exclude: no layer matches 'blocks.9.q'; did you mean" },
        { NULL, NULL, NULL, "q", "--together takes two types or more" },
        { NULL, NULL, NULL, "q,w", "no layer is of type 'w'" },
        { NULL, NULL, NULL, "q,upp", "no layer is of type 'upp'; did you mean 'up'?" },
        { NULL, NULL, NULL, "v,up", "--together v,up: no block has two such layers" },
        { "blocks.0.q=hqq-2", "blocks.0.k=hqq-2", NULL, "q,k", "layers 'blocks.0.q' and 'blocks.0.k' must share a choice, but have none in common" },
        { "*.q=hqq-8", NULL, NULL, "q,k,v", "no allocation that keeps the constraints fits 3 bits per weight; the least that fits is 7.000000" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Fixture *f = fixture_new(6);
        static const char *const layer[] = { "blocks.0.q", "blocks.0.k", "blocks.0.v", "blocks.1.q", "blocks.1.k", "blocks.2.up" };
        static const char *const name[] = { "hqq-2", "hqq-4", "hqq-8" };
        for (int l = 0; l < 6; l++)
            for (int c = 0; c < 3; c++) {
                f->layer[l] = layer[l];
                add_row(f, l, 2 << c, 8 >> c);
                f->row_name[f->table.n_choices - 1] = name[c];
            }
        Constraints k;
        constraints_init(&k, &f->table);
        const int status = apply(&k, &f->table, &bad[i]);
        if (status == OK) fail_msg("accepted, where it should say '%s'", bad[i].words);
        if (!strstr(err_last(), bad[i].words)) fail_msg("'%s' does not say '%s'", err_last(), bad[i].words);
        constraints_free(&k);
        free(f);
    }
}

static void test_pins_that_contradict(void **state)
{
    (void)state;
    Fixture *f = fixture_new(2);
    for (int l = 0; l < 2; l++)
        for (int c = 0; c < 2; c++) {
            f->layer[l] = layer_name[l];
            add_row(f, l, 2 + c, 1 - c);
            f->row_name[f->table.n_choices - 1] = choice_name[c];
        }
    Constraints k;
    Classes classes;
    constraints_init(&k, &f->table);
    assert_int_equal(constraints_pin(&k, &f->table, "*.q=a"), OK);
    assert_int_equal(constraints_pin(&k, &f->table, "*=b"), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "layer 'blocks.0.q' is pinned to 'a' and to 'b'"));
    constraints_free(&k);
    constraints_init(&k, &f->table);
    assert_int_equal(constraints_pin(&k, &f->table, "*.q=a"), OK);
    assert_int_equal(constraints_pin(&k, &f->table, "*.k=b"), OK);
    assert_int_equal(constraints_together(&k, &f->table, "block"), OK);
    assert_int_equal(classes_init(&classes, &f->table, &k), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "must share a choice, but are pinned to 'a' and 'b'"));
    constraints_free(&k);
    free(f);
}

/* ---- sizes ---- */

/* A size in bytes is a capacity of 8 bits each, less what is elsewhere; the size that a refusal names is accepted. */
static void test_sizes(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        Source s = { rng_stream(RNG_TEST, 31, 0, i), 0 };
        Fixture *f = named_instance(&s, 0);
        Classes classes;
        assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
        Budget budget = { .bytes = 101 + below(&s, 3000), .elsewhere = 100 };
        Allocation a;
        if (allocate_classes(&a, &classes, &budget) == ERR_BUDGET) {
            budget.bytes = strtoll(strstr(err_last(), "fits is ") + 8, NULL, 10);
            assert_int_equal(budget.bytes, (classes.least + 7) / 8 + 100);
            assert_int_equal(allocate_classes(&a, &classes, &budget), OK);
        }
        assert_true(a.optimal && a.capacity == 8 * (budget.bytes - 100) && a.size <= a.capacity);
        assert_true(a.bytes == budget.bytes && a.elsewhere == 100 && a.budget == (double)a.capacity / (double)classes.weights);
        allocation_free(&a);
        classes_free(&classes);
        free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_enumeration),
        cmocka_unit_test(test_groups_join),
        cmocka_unit_test(test_broken_constraints_are_found),
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_pins_that_contradict),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
