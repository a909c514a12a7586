/* Allocations against enumeration, dense dynamic programming, published optima, and in exact corner cases. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

/* ---- brute force on small instances ---- */

static double enumerate(const ChoiceTable *t, int64_t capacity, int layer, int64_t size, double cost)
{
    if (size > capacity) return INFINITY;
    if (layer == t->n_layers) return cost;
    double best = INFINITY;
    for (int row = 0; row < t->n_choices; row++)
        if (t->row_layer[row] == layer)
            best = fmin(best, enumerate(t, capacity, layer + 1, size + choice_size(t->weights[layer], t->row_bits[row]),
                                        cost + fmax(t->row_cost[row], 0)));
    return best;
}

static void check_against_enumeration(const ChoiceTable *t, double budget)
{
    int64_t weights = 0;
    for (int l = 0; l < t->n_layers; l++) weights += t->weights[l];
    const double bits = budget * (double)weights;
    const int64_t capacity = (int64_t)(fabs(bits - nearbyint(bits)) <= 1e-6 ? nearbyint(bits) : floor(bits));
    const double best = enumerate(t, capacity, 0, 0, 0);
    Allocation a = { .clamped = -5 };
    const int status = allocate(&a, t, budget);
    if (isinf(best)) {
        assert_int_equal(status, ERR_BUDGET);
        assert_true(a.clamped == -5 && a.row == NULL);
        return;
    }
    assert_int_equal(status, OK);
    check_certificate(&a, t, budget);
    assert_true(a.optimal && a.capacity == capacity && check_proof(&a, t, NULL).proof != PROOF_GAP);
    assert_true(fabs(a.cost - best) <= 1e-13 * best);
    allocation_free(&a);
}

static void test_brute_force(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        Source s = { rng_stream(RNG_TEST, 1, 0, i), 0 };
        Fixture *f = random_instance(&s, i % 5);
        for (int k = 0; k < 3; k++) check_against_enumeration(&f->table, i % 5 == 1 ? below(&s, 8) / 2.0 : 9 * uniform(&s));
        free(f);
    }
}

/* ---- dense dynamic programming on medium instances ---- */

static double dense(const ChoiceTable *t, int64_t capacity)
{
    double *best = xmalloc((size_t)(capacity + 1) * sizeof *best), *next = xmalloc((size_t)(capacity + 1) * sizeof *next);
    for (int64_t c = 0; c <= capacity; c++) best[c] = 0;
    for (int l = 0; l < t->n_layers; l++) {
        for (int64_t c = 0; c <= capacity; c++) next[c] = INFINITY;
        for (int row = 0; row < t->n_choices; row++) {
            if (t->row_layer[row] != l) continue;
            const int64_t size = choice_size(t->weights[l], t->row_bits[row]);
            for (int64_t c = size; c <= capacity; c++) next[c] = fmin(next[c], best[c - size] + fmax(t->row_cost[row], 0));
        }
        double *swap = best;
        best = next, next = swap;
    }
    const double result = best[capacity];
    free(best), free(next);
    return result;
}

static void test_dense_programme(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++) {
        Source s = { rng_stream(RNG_TEST, 2, 0, i), 0 };
        Fixture *f = model_like(&s, 30, 5, i % 2 ? 60 : 150, i % 2);
        if (i % 3 == 0)                         /* constant cost per bit: ties everywhere */
            for (int row = 0; row < f->table.n_choices; row++)
                f->row_cost[row] = (double)f->weights[f->row_layer[row]] * (8 - f->row_bits[row]);
        const double budget = 2.3 + 4 * uniform(&s);
        Allocation a;
        assert_int_equal(allocate(&a, &f->table, budget), OK);
        check_certificate(&a, &f->table, budget);
        const double best = dense(&f->table, a.capacity);
        assert_true(a.optimal && fabs(a.cost - best) <= 1e-12 * best);
        allocation_free(&a);
        free(f);
    }
}

/* ---- Llama-3.1-8B with its published coefficients ---- */

typedef struct { double bits, mse; } Grid;

static Fixture *llama(const Grid *grid, int n_grids)
{
    static const int64_t weights[7] = { 4096 * 4096, 1024 * 4096, 1024 * 4096, 4096 * 4096, 14336 * 4096, 14336 * 4096, 14336 * 4096 };
    FILE *file = fopen("core/tests/golden/llama31-8b-alpha.csv", "r");
    assert_non_null(file);
    Fixture *f = fixture_new(32 * 7);
    char line[256];
    assert_true(fgets(line, sizeof line, file) && fgets(line, sizeof line, file));
    for (int block = 0; block < 32; block++) {
        char *at = fgets(line, sizeof line, file);
        assert_non_null(at);
        assert_int_equal(strtol(at, &at, 10), block);
        for (int type = 0; type < 7; type++) {
            const int layer = 7 * block + type;
            const double alpha = strtod(at + 1, &at);
            f->weights[layer] = weights[type];
            for (int k = 0; k < n_grids; k++) add_row(f, layer, grid[k].bits, alpha * grid[k].mse);
        }
    }
    fclose(file);
    return f;
}

/* Returns how many costs were negative. */
static int check_llama(const Grid *grid, int n_grids, double budget, double cost, bool in_units)
{
    Fixture *f = llama(grid, n_grids);
    for (int l = 0; l < 32 * 7 && in_units; l++) f->weights[l] = f->weights[l] / (1 << 22) * 60;
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, budget), OK);
    check_certificate(&a, &f->table, budget);
    if (!(fabs(a.cost - cost) <= 1e-6)) fail_msg("%.9f at %g bits, not %.6f", a.cost, budget, cost);
    assert_true(a.optimal);
    const int clamped = a.clamped;
    allocation_free(&a);
    free(f);
    return clamped;
}

static const Grid p2_and_ch8[4] = { { 2 + 1. / 64, .107507 }, { 3 + 1. / 64, .029579 }, { 4 + 1. / 64, .007744 }, { 8 + 1. / 64, 8.769e-5 } };

static void test_llama_published_coefficients(void **state)
{
    (void)state;
    static const struct { bool with_16; double budget, cost; } known[] = {
        { true, 3.25, 1.027025 }, { true, 3.5, .784346 }, { true, 4, .414811 }, { true, 4.25, .305385 }, { true, 5, .204973 },
        { true, 6, .125707 }, { false, 3.25, 1.030824 }, { false, 3.5, .787325 }, { false, 4, .416995 }, { false, 4.25, .306750 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const int skipped = known[i].with_16 ? 0 : 1;
        const int clamped = check_llama(p2_and_ch8 + skipped, 4 - skipped, known[i].budget, known[i].cost, false);
        assert_int_equal(clamped, known[i].with_16 ? 4 : 3);        /* k of block 0; its q is -0.000, which is not below 0 */
    }
}

/* The 22 grids that the authors of HIGGS allocated among have log2(n) / p bits, p up to 5.  Weights are counted in units of
 * 2^22 / 60, in which all sizes are whole: a bit more in each layer, to which they would be rounded up otherwise, makes what
 * fits exactly not fit, and costs 1e-4. */
static void test_llama_22_grids(void **state)
{
    (void)state;
    static const Grid grids[22] = {
        { 3, .034643 }, { 4, .009545 }, { 5, .002494 }, { 6, .000646 }, { 8, .000041 }, { 5. / 2, .057429 }, { 3, .029546 }, { 7. / 2, .015266 },
        { 4, .007753 }, { 5, .002042 }, { 6, .000586 }, { 8. / 3, .042057 }, { 3, .027068 }, { 10. / 3, .017260 }, { 11. / 3, .010987 }, { 4, .006969 },
        { 9. / 4, .069510 }, { 10. / 4, .050069 }, { 11. / 4, .035758 }, { 3, .025574 }, { 11. / 5, .071637 }, { 12. / 5, .055172 },
    };
    check_llama(grids, 22, 4, .317166, true);
}

static void test_frontier_is_monotone(void **state)
{
    (void)state;
    Fixture *f = llama(p2_and_ch8, 4);
    double last = INFINITY;
    for (double budget = 2.02; budget < 8.3; budget += 0.09) {
        Allocation a;
        assert_int_equal(allocate(&a, &f->table, budget), OK);
        assert_true(a.optimal && a.cost <= last);
        last = a.cost;
        allocation_free(&a);
    }
    free(f);
}

/* ---- exact sizes, ties ---- */

static void test_choice_size(void **state)
{
    (void)state;
    assert_int_equal(choice_size(64, 4.25), 272);
    assert_int_equal(choice_size(3, 1.1), 4);
    assert_int_equal(choice_size(10, 0.1 + 0.2), 3);            /* 3.0000000000000004 */
    assert_int_equal(choice_size(1000000, 2.0000020001), 2000003);
    assert_int_equal(choice_size(58720256, 4.015625), 235798528);
    assert_int_equal(choice_size(7, 0), 0);
}

static void test_exact_capacity(void **state)
{
    (void)state;
    Fixture *f = fixture_new(1);                /* 0.1 + 0.2 is more than 0.3, but not by a bit */
    f->weights[0] = 10;
    add_row(f, 0, 0.1 + 0.2, 1);
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, 0.3), OK);
    assert_true(a.size == 3 && a.capacity == 3 && a.optimal);
    allocation_free(&a);
    free(f);
}

static void test_smaller_of_equal_costs(void **state)
{
    (void)state;
    Fixture *f = fixture_new(1);
    const double bits[4] = { 4, 3, 3, 2 }, cost[4] = { 1, 1, 1, 2 };
    for (int k = 0; k < 4; k++) add_row(f, 0, bits[k], cost[k]);
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, 5), OK);
    assert_true(a.optimal && a.row[0] == 1 && a.size == 3 && a.cost == 1);
    allocation_free(&a);
    free(f);
}

static void test_ties_do_not_depend_on_the_order_of_rows(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        Source s = { rng_stream(RNG_TEST, 6, 0, i), 0 };
        Fixture *f = random_instance(&s, 1), *g = fixture_new(f->table.n_layers);
        memcpy(g->weights, f->weights, sizeof f->weights);
        for (int row = f->table.n_choices - 1; row >= 0; row--) add_row(g, f->row_layer[row], f->row_bits[row], f->row_cost[row]);
        Allocation a, b;
        if (allocate(&a, &f->table, 2) == OK) {
            assert_int_equal(allocate(&b, &g->table, 2), OK);
            for (int l = 0; l < f->table.n_layers; l++)
                assert_true(f->row_bits[a.row[l]] == g->row_bits[b.row[l]] && f->row_cost[a.row[l]] == g->row_cost[b.row[l]]);
            allocation_free(&a), allocation_free(&b);
        }
        free(f), free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_dense_programme),
        cmocka_unit_test(test_llama_published_coefficients),
        cmocka_unit_test(test_llama_22_grids),
        cmocka_unit_test(test_frontier_is_monotone),
        cmocka_unit_test(test_choice_size),
        cmocka_unit_test(test_exact_capacity),
        cmocka_unit_test(test_smaller_of_equal_costs),
        cmocka_unit_test(test_ties_do_not_depend_on_the_order_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
