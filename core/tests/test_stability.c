/*
 * test_stability.c - resampled allocations: by hand, against enumeration, against the regret that theory expects
 */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/allocate/allocate.h"
#include "core/allocate/stability.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/tests/choice_tables.h"

static bool near(double x, double y, double relative) { return fabs(x - y) <= relative * fabs(y); }

/* Costs listed one resample after the other. */
typedef struct { const double *cost; int n_choices; } Listed;

static void listed(double *cost, void *context, int b)
{
    const Listed *list = context;
    memcpy(cost, list->cost + (int64_t)b * list->n_choices, sizeof *cost * (size_t)list->n_choices);
}

/* ---- by hand: two layers, one of which may have 4 bits where both have 2 at least ---- */

static Fixture *two_layers(void)
{
    Fixture *f = fixture_new(2);
    f->weights[0] = 100, f->weights[1] = 100;
    add_row(f, 0, 2, 5), add_row(f, 0, 4, 1), add_row(f, 1, 2, 4), add_row(f, 1, 4, 2);      /* best of 3 bits: rows 1 and 2, cost 5 */
    return f;
}

static void test_by_hand(void **state)
{
    (void)state;
    const double cost[5 * 4] = { 5, 1, 4, 2,   50, 10, 40, 20,   2, 1, 9, 3,   3, 2, 9, 1,   5, 1, 4, NAN };
    Fixture *f = two_layers();
    Allocation best;
    Stability s;
    assert_int_equal(allocate(&best, &f->table, 3), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 5, listed, &(Listed){ cost, 4 }), OK);
    assert_int_equal(s.n_resamples, 4);                         /* of the last one a cost is no number */
    assert_true(s.keep[0] == 0.5 && s.keep[1] == 0.5 && s.kept == 0.5);
    assert_true(near(s.regret, (7 / 5.0 - 1) / 2, 1e-15) && near(s.regret_high, 7 / 5.0 - 1, 1e-15));
    stability_free(&s);
    int uniform_rows[2] = { 0, 2 };                             /* kept is about what was chosen, regret about what is best */
    assert_int_equal(allocation_stability(&s, &f->table, 3, &(Allocation){ .row = uniform_rows }, 3, listed, &(Listed){ cost, 4 }), OK);
    assert_true(near(s.keep[0], 1 / 3.0, 1e-15) && near(s.keep[1], 2 / 3.0, 1e-15) && near(s.regret, 0.4 / 3, 1e-14));
    stability_free(&s);
    f->weights[0] = 102;                                        /* half a bit more than fits: the first layer stays small */
    allocation_free(&best);
    assert_int_equal(allocate(&best, &f->table, 3), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 3, listed, &(Listed){ cost, 4 }), OK);
    assert_true(best.row[1] == 3 && s.keep[0] == 1 && s.keep[1] == 1 && s.kept == 1 && s.regret == 0 && s.regret_high == 0);
    stability_free(&s), stability_free(&s), stability_free(NULL);
    allocation_free(&best);
    free(f);
}

static void test_share_of_weights(void **state)
{
    (void)state;
    const double cost[4 * 4] = { 5, 1, 4, 2,   5, 5, 4, 2,   5, 5, 4, 2,   5, 5, 4, 2 };      /* layer 0 leaves its 4 bits three times */
    Fixture *f = two_layers();
    f->weights[0] = 300;
    Allocation best;
    Stability s;
    assert_int_equal(allocate(&best, &f->table, 4), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 4, &best, 4, listed, &(Listed){ cost, 4 }), OK);
    assert_true(s.keep[0] == 0.25 && s.keep[1] == 1 && near(s.kept, (0.25 * 300 + 100) / 400, 1e-15));
    assert_true(near(s.regret, 0.75 * (7 / 3.0 - 1), 1e-15) && near(s.regret_high, 7 / 3.0 - 1, 1e-15));
    stability_free(&s), allocation_free(&best);
    free(f);
}

/* In a resample and in the table. */
static void test_costs_below_0_are_0(void **state)
{
    (void)state;
    const double cost[2 * 4] = { -1, -2, 4, 2,   5, 1, 4, 2 };
    Fixture *f = two_layers();
    Allocation best;
    Stability s;
    assert_int_equal(allocate(&best, &f->table, 3), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 2, listed, &(Listed){ cost, 4 }), OK);
    assert_true(s.n_resamples == 2 && s.keep[0] == 0.5 && near(s.regret, 0.2, 1e-15));
    stability_free(&s), allocation_free(&best);
    f->row_cost[1] = -3;
    assert_int_equal(allocate(&best, &f->table, 3), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 2, listed, &(Listed){ cost, 4 }), OK);
    assert_true(s.keep[0] == 0.5 && near(s.regret, (7 / 4.0 - 1) / 2, 1e-15));
    stability_free(&s), allocation_free(&best);
    free(f);
}

static void test_nothing_to_lose(void **state)
{
    (void)state;
    const double cost[2 * 4] = { 5, 1, 4, 2,   5, 1, 4, 5 };
    Fixture *f = two_layers();
    Allocation best;
    f->row_cost[1] = f->row_cost[3] = 0;
    assert_int_equal(allocate(&best, &f->table, 4), OK);
    for (int n = 1; n <= 2; n++) {
        Stability s;
        assert_int_equal(allocation_stability(&s, &f->table, 4, &best, 1, listed, &(Listed){ cost + 4 * (n - 1), 4 }), OK);
        assert_true(isnan(s.regret) && isnan(s.regret_high) && s.keep[0] == 1 && s.keep[1] == 2 - n);
        stability_free(&s);
    }
    allocation_free(&best);
    free(f);
}

static void test_refusals(void **state)
{
    (void)state;
    const double bad[2 * 4] = { 5, 1, 4, INFINITY,   NAN, 1, 4, 2 };
    Fixture *f = two_layers();
    Allocation best;
    Stability s = { .n_resamples = -5 };
    assert_int_equal(allocate(&best, &f->table, 3), OK);
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 2, listed, &(Listed){ bad, 4 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "none of the 2 resamples"));
    assert_int_equal(allocation_stability(&s, &f->table, 3, &best, 0, listed, &(Listed){ bad, 4 }), ERR_ARGUMENT);
    assert_int_equal(allocation_stability(&s, &f->table, 1.9, &best, 2, listed, &(Listed){ bad, 4 }), ERR_BUDGET);
    assert_int_equal(allocation_stability(&s, &f->table, NAN, &best, 2, listed, &(Listed){ bad, 4 }), ERR_ARGUMENT);
    assert_true(s.n_resamples == -5 && s.keep == NULL);
    allocation_free(&best);
    free(f);
}

/* ---- against enumeration ---- */

enum { RESAMPLES = 20 };

/* The cheapest rows for `cost` within capacity, by trying all. */
static void enumerate(int *best, double *least, int *row, const ChoiceTable *t, const double *cost, int64_t left, int layer, double sum)
{
    if (left < 0) return;
    if (layer == t->n_layers) {
        if (sum < *least) *least = sum, memcpy(best, row, sizeof *row * (size_t)t->n_layers);
        return;
    }
    for (int j = 0; j < t->n_choices; j++) {
        if (t->row_layer[j] != layer) continue;
        row[layer] = j;
        enumerate(best, least, row, t, cost, left - choice_size(t->weights[layer], t->row_bits[j]), layer + 1, sum + cost[j]);
    }
}

static double cost_at(const ChoiceTable *t, const int *row)
{
    double cost = 0;
    for (int l = 0; l < t->n_layers; l++) cost += t->row_cost[row[l]];
    return cost;
}

/* Of the regrets below a limit. */
static double largest(const double *regret, double below_this)
{
    double most = -INFINITY;
    for (int b = 0; b < RESAMPLES; b++)
        if (regret[b] < below_this) most = fmax(most, regret[b]);
    return most;
}

static int number_of(const double *regret, double value)
{
    int n = 0;
    for (int b = 0; b < RESAMPLES; b++) n += regret[b] == value;
    return n;
}

static void check_instance(const Fixture *f, const double *cost, double budget)
{
    const ChoiceTable *t = &f->table;
    int row[MOST_LAYERS], taken[MOST_LAYERS], same[MOST_LAYERS] = { 0 };
    double regret[RESAMPLES], sum = 0, kept = 0, total = (double)allocation_weights(t);
    Allocation best;
    Stability s;
    if (allocate(&best, t, budget) != OK) return;
    assert_int_equal(allocation_stability(&s, t, budget, &best, RESAMPLES, listed, &(Listed){ cost, t->n_choices }), OK);
    for (int b = 0; b < RESAMPLES; b++) {
        double least = INFINITY;
        enumerate(taken, &least, row, t, cost + b * t->n_choices, best.capacity, 0, 0);
        regret[b] = cost_at(t, taken) / cost_at(t, best.row) - 1, sum += regret[b];
        for (int l = 0; l < t->n_layers; l++) same[l] += taken[l] == best.row[l];
    }
    for (int l = 0; l < t->n_layers; l++) {
        assert_true(near(s.keep[l], same[l] / (double)RESAMPLES, 1e-14));
        kept += same[l] * (double)t->weights[l] / total / RESAMPLES;
    }
    double first = largest(regret, INFINITY), second = largest(regret, first), high = number_of(regret, first) > 1 ? first : second + 0.05 * (first - second);
    assert_true(s.n_resamples == RESAMPLES && fabs(s.regret - sum / RESAMPLES) <= 1e-12 * (1 + sum) && near(s.kept, kept, 1e-12));
    assert_true(fabs(s.regret_high - high) <= 1e-12 * (1 + high));              /* between the 19th and the 20th of 20 */
    stability_free(&s), allocation_free(&best);
}

static void test_against_enumeration(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        Source s = { rng_stream(RNG_TEST, 9, 0, i), 0 };
        Fixture *f = random_instance(&s, 0);
        double *cost = xmalloc(sizeof *cost * (size_t)(RESAMPLES * f->table.n_choices));
        for (int k = 0; k < RESAMPLES * f->table.n_choices; k++) cost[k] = f->row_cost[k % f->table.n_choices] * (0.5 + uniform(&s));
        check_instance(f, cost, 8 * uniform(&s));
        free(cost);
        free(f);
    }
}

/* ---- a model's table: the expected regret of reverse water-filling, and threads ---- */

enum { LAYERS = 210, STEPS = 80 };

typedef struct { const ChoiceTable *table; double error; } Noisy;       /* error: standard deviation of the logarithm of a coefficient */

/* Every layer's costs times e^error, one error a layer. */
static void noisy(double *cost, void *context, int b)
{
    const Noisy *n = context;
    float z[LAYERS];
    rng_normals(z, LAYERS, 7, rng_stream(RNG_TEST, 10, b, 0), 0);
    for (int j = 0; j < n->table->n_choices; j++) cost[j] = n->table->row_cost[j] * exp(n->error * (double)z[n->table->row_layer[j]]);
}

/* Choices 1/16 bit apart, coefficients narrow enough for none to reach an end: nearly continuous. */
static Fixture *fine_table(void)
{
    Source s = { rng_stream(RNG_TEST, 10, 0, 1), 0 };
    Fixture *f = fixture_new(LAYERS);
    for (int l = 0; l < LAYERS; l++) {
        f->weights[l] = 16 * (l % 7 < 4 ? 576 * 576 : 576 * 1536);
        const double coefficient = (double)f->weights[l] * exp(uniform(&s) - 0.5);
        for (int k = 0; k < STEPS; k++) add_row(f, l, 1.5 + k / 16.0, coefficient * pow(4, -1.5 - k / 16.0));
    }
    return f;
}

static void test_regret_of_water_filling(void **state)
{
    (void)state;
    Fixture *f = fine_table();
    Allocation best;
    assert_int_equal(allocate(&best, &f->table, 4), OK);
    double squares = 0;
    for (int l = 0; l < LAYERS; l++) squares += pow((double)f->weights[l] / (double)allocation_weights(&f->table), 2);
    for (double error = 0.05; error <= 0.2; error *= 2) {
        Stability s;
        assert_int_equal(allocation_stability(&s, &f->table, 4, &best, 60, noisy, &(Noisy){ &f->table, error }), OK);
        const double expected = error * error * (1 - squares) / 2;
        print_message("errors of %.2f: regret %.5f, expected %.5f; 95 %% quantile %.5f, %.3f of the weights keep their choice\n", error, s.regret, expected,
                      s.regret_high, s.kept);
        assert_true(near(s.regret, expected, 0.07) && s.regret_high > s.regret && s.regret_high < 2 * s.regret && s.kept < 0.8);
        stability_free(&s);
    }
    allocation_free(&best);
    free(f);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    Source source = { rng_stream(RNG_TEST, 10, 0, 2), 0 };
    Fixture *f = model_like(&source, LAYERS, 8, 58720256, true);
    Allocation best;
    Stability s[2];
    const int before = omp_get_max_threads();
    assert_int_equal(allocate(&best, &f->table, 4), OK);
    for (int i = 0; i < 2; i++) {
        omp_set_num_threads(i ? 4 : 1);
        assert_int_equal(allocation_stability(&s[i], &f->table, 4, &best, 100, noisy, &(Noisy){ &f->table, 0.3 }), OK);
    }
    omp_set_num_threads(before);
    assert_true(s[0].regret == s[1].regret && s[0].regret_high == s[1].regret_high && s[0].kept == s[1].kept && s[0].regret > 0 && s[0].kept < 1);
    assert_memory_equal(s[0].keep, s[1].keep, sizeof *s[0].keep * LAYERS);
    for (int i = 0; i < 2; i++) stability_free(&s[i]);
    allocation_free(&best);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_share_of_weights), cmocka_unit_test(test_costs_below_0_are_0),
        cmocka_unit_test(test_nothing_to_lose), cmocka_unit_test(test_refusals), cmocka_unit_test(test_against_enumeration), cmocka_unit_test(test_regret_of_water_filling),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests_name("stability", tests, NULL, NULL);
}
