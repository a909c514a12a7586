/* The check of a certificate: it accepts what the solver proves, proves it again its own way, and refuses every corruption. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/best.h"
#include "core/allocate/certificate.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

static void expect_refusal(const Certificate *c, const ChoiceTable *t, const Constraints *k, const char *words)
{
    Verdict verdict = { .states = -7 };
    const int status = certificate_verify(&verdict, c, t, k);
    if (status == OK) fail_msg("accepted, where it should say '%s'", words);
    assert_int_equal(status, ERR_FORMAT);
    if (!strstr(err_last(), words)) fail_msg("'%s' does not say '%s'", err_last(), words);
    assert_int_equal(verdict.states, -7);
}

static Fixture *some_model(int stream, Allocation *a, double budget)
{
    Source s = { rng_stream(RNG_TEST, 20, 0, stream), 0 };
    Fixture *f = model_like(&s, 40, 6, 6 << 20, true);
    assert_int_equal(allocate(a, &f->table, budget), OK);
    return f;
}

static void test_every_field_counts(void **state)
{
    (void)state;
    Allocation a;
    Fixture *f = some_model(0, &a, 3.7);
    const Certificate sound = certificate_of(&a);
    assert_true(a.optimal && a.gap > 0 && a.price > 0);
    assert_int_equal(check_proof(&a, &f->table, NULL).proof, PROOF_PROGRAM);
    enum { N_BAD = 12 };
    static const char *const words[N_BAD] = {
        "bits, not", "more than the capacity", "cost", "gap at this price", "the price is", "the price is", "bound at this price",
        "gap at this price", "gap at this price", "gap at this price", "cost", "bound at this price",
    };
    Certificate c[N_BAD];
    for (int i = 0; i < N_BAD; i++) c[i] = sound;
    c[0].size += 1;
    c[1].capacity = c[1].size - 1;
    c[2].cost *= 1 + 1e-9;
    c[3].price *= 1.01;
    c[4].price = -c[4].price;
    c[5].price = NAN;
    c[6].dual_bound += 0.01 * a.gap + 1e-9 * a.cost;
    c[7].gap *= 0.5;
    c[8].gap = NAN;
    c[9].capacity *= 2;
    c[10].cost = NAN;
    c[11].dual_bound = NAN;
    for (int i = 0; i < N_BAD; i++) expect_refusal(&c[i], &f->table, NULL, words[i]);
    f->row_bits[7] = -1;
    expect_refusal(&sound, &f->table, NULL, "the table's layer");
    allocation_free(&a);
    free(f);
}

/* Another row in any layer changes the sums; a row of another layer, or none, is no choice at all. */
static void test_rows_count(void **state)
{
    (void)state;
    Allocation a;
    Fixture *f = some_model(1, &a, 3.2);
    int row[MOST_LAYERS];
    Certificate c = certificate_of(&a);
    c.row = row;
    for (int l = 0; l < 40; l++) {
        memcpy(row, a.row, sizeof *row * 40);
        row[l] = 6 * l + (a.row[l] + 1) % 6;
        expect_refusal(&c, &f->table, NULL, "choices");
        const int wrong[] = { -1, f->table.n_choices, a.row[(l + 1) % 40] };
        for (int i = 0; i < 3; i++) {
            row[l] = wrong[i];
            expect_refusal(&c, &f->table, NULL, "none of its choices");
        }
    }
    allocation_free(&a);
    free(f);
}

/* One exchange away from the optimum, with sums and bounds all right: only the claim is false. */
static void test_false_claims_are_found(void **state)
{
    (void)state;
    int found = 0;
    for (int i = 0; i < 300; i++) {
        Source s = { rng_stream(RNG_TEST, 21, 0, i), 0 };
        Fixture *f = i % 2 ? random_instance(&s, i % 5) : model_like(&s, 20, 6, 4000, true);
        Allocation a;
        if (allocate(&a, &f->table, 5) == OK) {
            const int l = below(&s, f->table.n_layers), other = below(&s, f->table.n_choices);
            if (f->table.row_layer[other] == l && f->row_cost[other] > fmax(f->row_cost[a.row[l]], 0) + 1e-6 * a.cost) {
                const int64_t size = a.size + choice_size(f->weights[l], f->row_bits[other]) - choice_size(f->weights[l], f->row_bits[a.row[l]]);
                const double more = fmax(f->row_cost[other], 0) - fmax(f->row_cost[a.row[l]], 0);
                const double paid = more + a.price * (double)(size - a.size);
                a.row[l] = other, a.cost += more, a.gap += paid - a.price * (double)(size - a.size), a.size = size;
                a.dual_bound = a.cost - a.gap;
                if (size <= a.capacity) {
                    Certificate c = certificate_of(&a);
                    expect_refusal(&c, &f->table, NULL, "it is not optimal");
                    found++;
                }
            }
            allocation_free(&a);
        }
        free(f);
    }
    assert_true(found > 20);
}

/* The second best allocation is sound in everything but the claim to be the best. */
static void test_second_best_is_not_optimal(void **state)
{
    (void)state;
    int refused = 0;
    for (int i = 0; i < 2000; i++) {
        Source s = { rng_stream(RNG_TEST, 23, 0, i), 0 };
        Fixture *f = random_instance(&s, i % 5);
        Classes classes;
        Allocation a[2];
        int n = 0;
        const Budget budget = { .average = 9 * uniform(&s) };
        assert_int_equal(classes_init(&classes, &f->table, NULL), OK);
        if (allocate_best(a, &n, &classes, &budget, 2) != OK) n = 0;
        if (n == 2) {
            const Certificate c = certificate_of(&a[1]);
            Verdict verdict;
            if (a[1].cost > a[0].cost * (1 + 1e-9)) expect_refusal(&c, &f->table, NULL, "it is not optimal"), refused++;
            else if (a[1].cost == a[0].cost) assert_int_equal(certificate_verify(&verdict, &c, &f->table, NULL), OK);
        }
        for (int k = 0; k < n; k++) allocation_free(&a[k]);
        classes_free(&classes);
        free(f);
    }
    assert_true(refused > 500);
}

/* A gap of 0 needs no program; a gap that is not small and sizes without a common divisor are said to be unproven. */
static void test_what_was_proven(void **state)
{
    (void)state;
    Fixture *f = fixture_new(2);
    for (int l = 0; l < 2; l++)
        for (int k = 0; k < 3; k++) add_row(f, l, k, pow(4, -k));
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, 1), OK);
    assert_int_equal(check_proof(&a, &f->table, NULL).proof, PROOF_BOUND);
    allocation_free(&a);
    free(f);

    Source s = { rng_stream(RNG_TEST, 22, 0, 0), 0 };
    f = fixture_new(300);
    for (int l = 0; l < 300; l++) {
        f->weights[l] = 1000000007 + 2 * below(&s, 100000000);
        for (int k = 0; k < 8; k++) add_row(f, l, k, (8 - k) * 1e-9 * (double)f->weights[l] * (1 + 1e-5 * uniform(&s)));
    }
    assert_int_equal(allocate(&a, &f->table, 3.3), OK);
    const Verdict verdict = check_proof(&a, &f->table, NULL);
    assert_true(verdict.proof == PROOF_GAP && verdict.gap > 0 && verdict.gap <= 1e-3 * a.cost);
    allocation_free(&a);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_counts),
        cmocka_unit_test(test_rows_count),
        cmocka_unit_test(test_false_claims_are_found),
        cmocka_unit_test(test_second_best_is_not_optimal),
        cmocka_unit_test(test_what_was_proven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
