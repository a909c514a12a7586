#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/allocate/knapsack.h"
#include "core/base/err.h"
#include "core/base/rng.h"

enum { MOST_LAYERS = 600, MOST_ROWS = 20000 };

/* A table with room for every test; rows are added in any order. */
typedef struct {
    ChoiceTable table;
    const char *layer[MOST_LAYERS], *row_name[MOST_ROWS];
    int64_t weights[MOST_LAYERS];
    int row_layer[MOST_ROWS];
    double row_bits[MOST_ROWS], row_cost[MOST_ROWS];
} Fixture;

static Fixture *fixture_new(int n_layers)
{
    Fixture *f = xcalloc(1, sizeof *f);
    f->table = (ChoiceTable){ n_layers, f->layer, f->weights, 0, f->row_layer, f->row_name, f->row_bits, f->row_cost };
    for (int l = 0; l < n_layers; l++) f->layer[l] = "blocks.7.down", f->weights[l] = 1;
    return f;
}

static void add_row(Fixture *f, int layer, double bits, double cost)
{
    const int row = f->table.n_choices++;
    assert_true(row < MOST_ROWS);
    f->row_layer[row] = layer, f->row_name[row] = "rtn-4", f->row_bits[row] = bits, f->row_cost[row] = cost;
}

/* What any answer must satisfy, whatever the optimum. */
static void check_certificate(const Allocation *a, const ChoiceTable *t, double budget)
{
    int64_t size = 0, weights = 0;
    double cost = 0;
    int clamped = 0;
    for (int row = 0; row < t->n_choices; row++) clamped += t->row_cost[row] < 0;
    for (int l = 0; l < t->n_layers; l++) {
        assert_int_equal(t->row_layer[a->row[l]], l);
        size += choice_size(t->weights[l], t->row_bits[a->row[l]]);
        cost += fmax(t->row_cost[a->row[l]], 0);
        weights += t->weights[l];
    }
    assert_true(a->size == size && size <= a->capacity && (double)a->capacity <= budget * (double)weights + 1e-6);
    assert_true(a->bits == (double)size / (double)weights && a->budget == budget && a->clamped == clamped);
    assert_true(fabs(a->cost - cost) <= 1e-14 * cost && a->lower_bound <= a->cost && a->lower_bound >= 0);
    if (a->optimal) assert_true(a->lower_bound == a->cost);
}

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

typedef struct { uint64_t stream, index; } Source;
static double uniform(Source *s) { return rng_uniform(2024, s->stream, s->index++); }
static int below(Source *s, int n) { return (int)(uniform(s) * n); }

/* Styles: generic, all integers small (many ties), costs proportional to sizes, huge ranges, many zeros. */
static Fixture *random_instance(Source *s, int style)
{
    Fixture *f = fixture_new(1 + below(s, 6));
    for (int l = 0; l < f->table.n_layers; l++) {
        f->weights[l] = 1 + below(s, style == 1 ? 3 : 1000);
        const int n = 1 + below(s, 5);
        for (int k = 0; k < n; k++) {
            double bits = style == 1 ? below(s, 4) : 8 * uniform(s), cost = uniform(s);
            if (style == 1) cost = below(s, 4);
            if (style == 2) cost = (double)f->weights[l] * (8 - floor(bits)), bits = floor(bits);
            if (style == 3) cost = pow(10, 200 * (cost - 0.5));
            if (style == 4) cost = cost < 0.5 ? 0 : cost < 0.6 ? -cost : below(s, 3);
            add_row(f, l, bits, cost);
        }
    }
    return f;
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
    assert_true(a.optimal && a.capacity == capacity);
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

/* Costs like those of a model: log-normal coefficients times 4^-bits, with some scatter. */
static Fixture *model_like(Source *s, int n_layers, int n_choices, int64_t most_weights, bool same_sizes)
{
    Fixture *f = fixture_new(n_layers);
    for (int l = 0; l < n_layers; l++) {
        f->weights[l] = same_sizes ? most_weights / (1 + l % 3) : 1 + (int64_t)(uniform(s) * (double)most_weights);
        const double coefficient = exp(2 * (uniform(s) + uniform(s) + uniform(s) - 1.5));
        for (int k = 0; k < n_choices; k++) {
            const double bits = 2 + 6.0 * k / n_choices;
            add_row(f, l, bits, coefficient * pow(4, -bits) * (1 + 0.1 * uniform(s)));
        }
    }
    return f;
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

static Fixture *llama(bool with_16)
{
    static const int64_t weights[7] = { 4096 * 4096, 1024 * 4096, 1024 * 4096, 4096 * 4096, 14336 * 4096, 14336 * 4096, 14336 * 4096 };
    static const double bits[4] = { 2, 3, 4, 8 }, mse[4] = { .107507, .029579, .007744, 8.769e-5 };
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
            for (int k = with_16 ? 0 : 1; k < 4; k++) add_row(f, layer, bits[k] + 1 / 64.0, alpha * mse[k]);
        }
    }
    fclose(file);
    return f;
}

static void test_llama_published_coefficients(void **state)
{
    (void)state;
    static const struct { bool with_16; double budget, cost; } known[] = {
        { true, 3.25, 1.027025 }, { true, 3.5, .784346 }, { true, 4, .414811 }, { true, 4.25, .305385 }, { true, 5, .204973 },
        { true, 6, .125707 }, { false, 3.25, 1.030824 }, { false, 3.5, .787325 }, { false, 4, .416995 }, { false, 4.25, .306750 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Fixture *f = llama(known[i].with_16);
        Allocation a;
        assert_int_equal(allocate(&a, &f->table, known[i].budget), OK);
        check_certificate(&a, &f->table, known[i].budget);
        assert_true(a.optimal && fabs(a.cost - known[i].cost) <= 1e-6);
        assert_int_equal(a.clamped, known[i].with_16 ? 4 : 3);      /* k of block 0; its q is -0.000, which is not below 0 */
        allocation_free(&a);
        free(f);
    }
}

static void test_frontier_is_monotone(void **state)
{
    (void)state;
    Fixture *f = llama(true);
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

/* ---- limits, time, failures ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void time_allocation(const char *what, int n_layers, int n_choices, bool same_sizes)
{
    double most = 0, sum = 0;
    int proven = 0, n = 0;
    for (int i = 0; i < 4; i++) {
        Source s = { rng_stream(RNG_TEST, 3, 0, i), 0 };
        Fixture *f = model_like(&s, n_layers, n_choices, 58720256, same_sizes);
        for (double budget = 2.5; budget < 6; budget += 0.5) {
            Allocation a;
            const double start = seconds();
            assert_int_equal(allocate(&a, &f->table, budget), OK);
            const double took = seconds() - start;
            check_certificate(&a, &f->table, budget);
            most = fmax(most, took), sum += took, proven += a.optimal, n++;
            allocation_free(&a);
        }
        free(f);
    }
    print_message("%s: %.2f ms mean, %.2f ms worst, %d of %d proven\n", what, 1e3 * sum / n, 1e3 * most, proven, n);
    assert_int_equal(proven, n);
}

static void test_time(void **state)
{
    (void)state;
    time_allocation("210 layers x 8 choices", 210, 8, true);
    time_allocation("210 layers x 8 choices, all sizes different", 210, 8, false);
    time_allocation("224 layers x 30 choices", 224, 30, true);
}

enum { CLASSES = 8, ITEMS = 4 };
typedef struct { Item item[CLASSES * ITEMS]; int first[CLASSES + 1]; Knapsack knapsack; } Small;

static void random_knapsack(Small *k, Source *s)
{
    int64_t least = 0, most = 0;
    for (int l = 0; l <= CLASSES; l++) k->first[l] = l * ITEMS;
    for (int j = 0; j < CLASSES * ITEMS; j++) {
        const bool start = j % ITEMS == 0;
        const Item before = start ? (Item){ 0, 4, 0 } : k->item[j - 1];
        k->item[j] = (Item){ before.size + 1 + below(s, 100), before.cost - 0.01 - 0.9 * uniform(s), j };
        least += start ? k->item[j].size : 0;
        most += j % ITEMS == ITEMS - 1 ? k->item[j].size : 0;
    }
    k->knapsack = (Knapsack){ CLASSES, k->first, k->item, least + (int64_t)(uniform(s) * (double)(most - least)) };
}

/* With next to no memory the answer is the best found, its bound still holds, and nothing is claimed. */
static void test_short_of_states(void **state)
{
    (void)state;
    int proven = 0;
    for (int i = 0; i < 300; i++) {
        Source s = { rng_stream(RNG_TEST, 4, 0, i), 0 };
        Small small;
        int chosen[CLASSES], best[CLASSES];
        double bound, unproven;
        random_knapsack(&small, &s);
        assert_true(knapsack_solve(best, &bound, &small.knapsack, 1 << 20) && bound == knapsack_cost(&small.knapsack, best));
        const bool claimed = knapsack_solve(chosen, &unproven, &small.knapsack, i % 40);
        const double cost = knapsack_cost(&small.knapsack, chosen);
        assert_true(knapsack_size(&small.knapsack, chosen) <= small.knapsack.capacity);
        assert_true(unproven <= bound && bound <= cost && (!claimed || fabs(cost - bound) <= 1e-13 * cost));
        proven += claimed;
    }
    assert_true(proven > 10 && proven < 290);
}

static double dual_bound(const Knapsack *k, double price)
{
    double bound = -price * (double)k->capacity;
    for (int l = 0; l < k->n_classes; l++) {
        double least = INFINITY;
        for (int j = k->first[l]; j < k->first[l + 1]; j++) least = fmin(least, k->item[j].cost + price * (double)k->item[j].size);
        bound += least;
    }
    return bound;
}

/* Without any state what is left is the dual bound: as high as any pair of items' price makes it. */
static void test_price_is_the_best(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        Source s = { rng_stream(RNG_TEST, 8, 0, i), 0 };
        Small small;
        int chosen[CLASSES];
        double bound, best = 0;
        random_knapsack(&small, &s);
        knapsack_solve(chosen, &bound, &small.knapsack, 0);
        for (int l = 0; l < CLASSES; l++)
            for (int j = small.first[l]; j < small.first[l + 1]; j++)
                for (int k = small.first[l]; k < j; k++) {
                    const Item *a = &small.item[k], *b = &small.item[j];
                    best = fmax(best, dual_bound(&small.knapsack, (a->cost - b->cost) / (double)(b->size - a->size)));
                }
        assert_true(bound >= best - 1e-10);
    }
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

/* Sizes and costs without any structure to prune by: the list outgrows its limit and must say so. */
static void test_hard_instance_ends(void **state)
{
    (void)state;
    Source s = { rng_stream(RNG_TEST, 5, 0, 0), 0 };
    Fixture *f = fixture_new(60);
    for (int l = 0; l < 60; l++) {
        f->weights[l] = 2 * (1000000 + below(&s, 1000000000));
        add_row(f, l, 0, (double)f->weights[l]);
        add_row(f, l, 1, 0);
    }
    const double budget = 0.5 + 1e-10;
    Allocation a;
    assert_int_equal(allocate(&a, &f->table, budget), OK);
    check_certificate(&a, &f->table, budget);
    allocation_free(&a);
    free(f);
}

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

static void expect_failure(Fixture *f, double budget, int code, const char *words)
{
    Allocation a = { .clamped = -5 };
    assert_int_equal(allocate(&a, &f->table, budget), code);
    if (!strstr(err_last(), words)) fail_msg("'%s' does not say '%s'", err_last(), words);
    assert_true(a.clamped == -5 && a.row == NULL);
    free(f);
}

static Fixture *two_layers(double bits, double cost)
{
    Fixture *f = fixture_new(2);
    f->layer[1] = "blocks.8.up";
    add_row(f, 0, 3.1, 1);
    add_row(f, 1, bits, cost);
    return f;
}

static void test_failures_say_why(void **state)
{
    (void)state;
    expect_failure(fixture_new(0), 4, ERR_ARGUMENT, "empty");
    expect_failure(fixture_new(2), 4, ERR_ARGUMENT, "empty");
    expect_failure(two_layers(NAN, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(-1, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(INFINITY, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(1e300, 1), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, NAN), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, -INFINITY), 4, ERR_ARGUMENT, "blocks.8.up");
    expect_failure(two_layers(3, 1), NAN, ERR_ARGUMENT, "budget");
    expect_failure(two_layers(3, 1), INFINITY, ERR_ARGUMENT, "budget");
    expect_failure(two_layers(3, 1), -1, ERR_BUDGET, "3.500000");           /* 4 bits and 3 bits on two weights */
    expect_failure(two_layers(3, 1), 3.2, ERR_BUDGET, "3.500000");

    Fixture *f = two_layers(3, 1);
    f->row_layer[1] = 0;
    expect_failure(f, 4, ERR_ARGUMENT, "layer 'blocks.8.up' has no choice");
    f = two_layers(3, 1);
    f->row_layer[1] = 2;
    expect_failure(f, 4, ERR_ARGUMENT, "layer 2 of 2");
    f = two_layers(3, 1);
    f->weights[0] = 0;
    expect_failure(f, 4, ERR_ARGUMENT, "blocks.7.down");
    f = two_layers(3, 1);
    f->weights[0] = INT64_MAX;
    expect_failure(f, 4, ERR_ARGUMENT, "blocks.7.down");
    allocation_free(NULL);
}

/* The average that a refusal names must itself be accepted. */
static void test_least_budget_named_is_enough(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        Source s = { rng_stream(RNG_TEST, 7, 0, i), 0 };
        Fixture *f = random_instance(&s, 0);
        Allocation a;
        if (allocate(&a, &f->table, 0) == ERR_BUDGET) {
            const double least = strtod(strstr(err_last(), "fits is ") + 8, NULL);
            assert_int_equal(allocate(&a, &f->table, least), OK);
        }
        allocation_free(&a);
        free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_dense_programme),
        cmocka_unit_test(test_llama_published_coefficients),
        cmocka_unit_test(test_frontier_is_monotone),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_short_of_states),
        cmocka_unit_test(test_price_is_the_best),
        cmocka_unit_test(test_smaller_of_equal_costs),
        cmocka_unit_test(test_hard_instance_ends),
        cmocka_unit_test(test_choice_size),
        cmocka_unit_test(test_exact_capacity),
        cmocka_unit_test(test_ties_do_not_depend_on_the_order_of_rows),
        cmocka_unit_test(test_failures_say_why),
        cmocka_unit_test(test_least_budget_named_is_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
