/* test_program_lsaq.c - `linearity run` with experiment: lsaq, through the program */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/tests/program_rows.h"

static const char config[] =
    "experiment: lsaq\n"
    "model: core/tests/golden/tiny/llama3-gqa-tied\n"
    "text: {random: {windows: 6, length: 40}}\n"
    "coefficients: {from: random, windows: 5, context: 40, seed: 7}\n"
    "noise: {group: 16}\n"
    "choices: [{rtn: {bits: [2, 3, 4], group: 0}}]\n"
    "dynamic: {costs: [group, square]}\n"
    "lsaq: {k: [5, 20], norm: [no, yes], positions: [last, all], set: [position, union], zd: [block, matrix], random: 2, high: [0, 1, 2, 3], pairs: [4/2, rtn-bits4-group0/3], free: yes}\n"
    "bootstrap: 200\n";

enum { BLOCKS = 3, LAYERS = 21, HIGHS = 4, PAIRS = 2, MEASURED = 8, EXACT = 6 };

static json_t *plans, *importance, *choices, *plan_layers, *ranks, *stages;

static int run_once(void **state)
{
    (void)state;
    char *said = run_said("lsaq.yaml", config, "lsaq.h5", NULL);
    assert_non_null(strstr(said, "4/2, 2 of 3 blocks high"));
    free(said);
    plans = rows_of("lsaq.h5", "plans"), importance = rows_of("lsaq.h5", "importance"), choices = rows_of("lsaq.h5", "choices");
    plan_layers = rows_of("lsaq.h5", "plan_layers"), ranks = rows_of("lsaq.h5", "rank_correlations"), stages = rows_of("lsaq.h5", "stages");
    return 0;
}

static int forget(void **state)
{
    (void)state;
    json_t *all[] = { plans, importance, choices, plan_layers, ranks, stages };
    for (int i = 0; i < 6; i++) json_decref(all[i]);
    return 0;
}

static bool is_exact(size_t plan) { return !strncmp(word(plans, plan, "rule"), "exact", 5); }

/* Row of a block by a rule; fails where there is none. */
static size_t importance_row(const char *rule, int block)
{
    for (size_t i = 0; i < json_array_size(importance); i++)
        if (!strcmp(word(importance, i, "rule"), rule) && number(importance, i, "block") == block) return i;
    fail_msg("no importance of block %d by %s", block, rule);
    return 0;
}

/* A column of the choice of a layer that begins in this way ("rtn-bits4"). */
static double of_choice(const char *layer, const char *choice, const char *column)
{
    for (size_t i = 0; i < json_array_size(choices); i++)
        if (!strcmp(word(choices, i, "layer"), layer) && !strncmp(word(choices, i, "choice"), choice, strlen(choice))) return number(choices, i, column);
    fail_msg("no choice %s of %s", choice, layer);
    return NAN;
}

/* What a plan sums to: `column` times `weighted` over all layers, the high choice in the blocks that the rule ranks first. */
static double sum_by_ranks(size_t plan, const char *column, bool weighted)
{
    const char *low = strcmp(word(plans, plan, "pair"), "4/2") ? "rtn-bits3" : "rtn-bits2";
    double sum = 0;
    int seen = 0;
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const char *layer = word(choices, i, "layer");
        if (strncmp(word(choices, i, "choice"), "rtn-bits4", 9)) continue;
        const bool high = number(importance, importance_row(word(plans, plan, "rule"), (int)number(choices, i, "block")), "rank") <= number(plans, plan, "high");
        sum += of_choice(layer, high ? "rtn-bits4" : low, column) * (weighted ? number(choices, i, "weights") : 1);
        seen++;
    }
    assert_int_equal(seen, LAYERS);
    return sum;
}

static void test_all_rows(void **state)
{
    (void)state;
    assert_int_equal(json_array_size(plans), PAIRS * HIGHS * (MEASURED + EXACT));
    assert_int_equal(json_array_size(plan_layers), PAIRS * HIGHS * EXACT * LAYERS);
    assert_int_equal(json_array_size(choices), LAYERS * 3);
    const int orders = 12 + 1 + 2 + 1 + 2 + 2;              /* jaccard: 2 k x 2 norms x (last, all, union) */
    assert_int_equal(json_array_size(importance), BLOCKS * orders);
    assert_int_equal(json_array_size(ranks), orders * (orders - 1) / 2);
    for (size_t p = 0; p < json_array_size(plans); p++) {
        assert_true(number(plans, p, "kl") > 0 && number(plans, p, "kl_se") > 0 && number(plans, p, "ppl") > 1 && number(plans, p, "delta_nll_se") > 0);
        assert_true(number(plans, p, "predicted_low") > 0 && number(plans, p, "predicted_low") < number(plans, p, "predicted"));
        assert_true(number(plans, p, "predicted_high") > number(plans, p, "predicted"));
        const bool inside = number(plans, p, "kl") >= number(plans, p, "predicted_low") && number(plans, p, "kl") <= number(plans, p, "predicted_high");
        assert_true(number(plans, p, "inside") == inside && (!is_exact(p) || number(plans, p, "optimal") == 1));
    }
    for (size_t s = 0; s < json_array_size(stages); s++) assert_true(number(stages, s, "seconds") >= 0 && number(stages, s, "count") >= 1);
}

static void test_ranks(void **state)
{
    (void)state;
    for (size_t i = 0; i < json_array_size(importance); i += BLOCKS) {
        bool seen[BLOCKS + 1] = { false };
        for (size_t b = 0; b < BLOCKS; b++) {
            assert_true(number(importance, i + b, "block") == (double)b);
            seen[(int)number(importance, i + b, "rank")] = true;
            for (size_t c = 0; c < BLOCKS; c++)             /* a smaller rank, an importance that is no smaller */
                if (number(importance, i + b, "rank") < number(importance, i + c, "rank")) assert_true(number(importance, i + b, "importance") >= number(importance, i + c, "importance") - 1e-12);
        }
        assert_true(seen[1] && seen[2] && seen[3]);
    }
    const size_t jaccard = importance_row("jaccard", 0), zd = importance_row("zd", 0), wide = importance_row("jaccard-k20-norm-all-union", 0);
    assert_string_equal(word(importance, jaccard, "options"), "k=5,projection=head,norm=no,positions=last,set=position");
    assert_string_equal(word(importance, wide, "options"), "k=20,projection=head,norm=yes,positions=all,set=union");
    assert_true(number(importance, jaccard, "importance_se") > 0 && isnan(number(importance, zd, "importance_se")));
    assert_true(number(importance, jaccard, "importance") > 0 && number(importance, jaccard, "importance") <= 1);
}

/* The n most important blocks have the high choice: bits and prediction are sums over them. */
static void test_plans_follow_ranks(void **state)
{
    (void)state;
    for (size_t p = 0; p < json_array_size(plans); p++) {
        if (is_exact(p)) continue;
        assert_true(near(number(plans, p, "predicted"), sum_by_ranks(p, "cost", false), 1e-9));
        assert_true(near(8 * number(plans, p, "bytes"), sum_by_ranks(p, "bits", true), 1e-9));
    }
}

/* At one pair and number of blocks all have the same bytes, exact allocations at most; none by an order is predicted to be better. */
static void test_equal_sizes(void **state)
{
    (void)state;
    for (size_t first = 0; first < json_array_size(plans); first += MEASURED + EXACT) {
        const double bytes = number(plans, first, "bytes");
        for (size_t p = first; p < first + MEASURED + EXACT; p++) {
            assert_string_equal(word(plans, p, "pair"), word(plans, first, "pair"));
            assert_true(number(plans, p, "high") == number(plans, first, "high"));
            if (!is_exact(p)) assert_true(number(plans, p, "bytes") == bytes);
            else assert_true(number(plans, p, "bytes") <= bytes);
            for (size_t e = first + MEASURED; e < first + MEASURED + EXACT && !is_exact(p); e++)
                if (!strcmp(word(plans, e, "cost"), "group")) assert_true(number(plans, e, "predicted") <= number(plans, p, "predicted") * (1 + 1e-9));
        }
    }
}

static size_t exact_row(size_t first, const char *rule)
{
    size_t p = first - first % (MEASURED + EXACT);
    while (strcmp(word(plans, p, "rule"), rule)) p++;
    return p;
}

/* Differences and ratios are against the exact allocations of the same place; the ends are one model by all rules. */
static void test_differences_and_ends(void **state)
{
    (void)state;
    for (size_t p = 0; p < json_array_size(plans); p++) {
        const size_t layers = exact_row(p, "exact layers"), blocks = exact_row(p, "exact blocks");
        assert_true(fabs(number(plans, p, "above_layers") - (number(plans, p, "kl") - number(plans, layers, "kl"))) <= 1e-12);
        assert_true(near(number(plans, p, "ratio_layers"), number(plans, p, "kl") / number(plans, layers, "kl"), 1e-12));
        assert_true(fabs(number(plans, p, "above_blocks") - (number(plans, p, "kl") - number(plans, blocks, "kl"))) <= 1e-12);
        assert_true(near(number(plans, p, "ratio_blocks"), number(plans, p, "kl") / number(plans, blocks, "kl"), 1e-12));
        if (p == layers) assert_true(number(plans, p, "above_layers_se") == 0 && number(plans, p, "ratio_layers_se") == 0);
        const double high = number(plans, p, "high");
        if ((high == 0 || high == BLOCKS) && strcmp(word(plans, p, "rule"), "exact free") && strcmp(word(plans, p, "cost"), "square")) {      /* by square fewer bits may seem better */
            assert_true(number(plans, p, "kl") == number(plans, layers, "kl") && number(plans, p, "above_layers") == 0);
            assert_true(number(plans, p, "bytes") == number(plans, layers, "bytes"));
        }
    }
}

static const char *cost_column(const char *cost) { return strcmp(cost, "square") ? "cost" : "cost_square"; }

/* By its own cost none of the same kind and size is better. */
static void test_each_by_its_cost(void **state)
{
    (void)state;
    bool differ = false;
    for (size_t i = 0; i < json_array_size(plan_layers); i += 2 * LAYERS) {        /* by group, then by square */
        double cost[2][2] = { { 0 } };                      /* of the first and the second, by either cost */
        for (size_t k = 0; k < 2 * LAYERS; k++) {
            assert_string_equal(word(plan_layers, i + k, "rule"), word(plan_layers, i, "rule"));
            assert_string_equal(word(plan_layers, i + k, "cost"), k < LAYERS ? "group" : "square");
            for (int c = 0; c < 2; c++) cost[k / LAYERS][c] += of_choice(word(plan_layers, i + k, "layer"), word(plan_layers, i + k, "choice"), c ? "cost_square" : "cost");
        }
        assert_true(cost[0][0] <= cost[1][0] * (1 + 1e-9) && cost[1][1] <= cost[0][1] * (1 + 1e-9));
        differ |= cost[1][1] < .999 * cost[0][1];
    }
    assert_true(differ);
}

/* The importance alpha is what a unit of t2 in all layers of the block costs. */
static void test_alpha(void **state)
{
    (void)state;
    for (int b = 0; b < BLOCKS; b++) {
        double sum = 0;
        for (size_t i = 0; i < json_array_size(choices); i++)
            if (number(choices, i, "block") == b && !strncmp(word(choices, i, "choice"), "rtn-bits4", 9)) sum += number(choices, i, "cost") / number(choices, i, "t2");
        assert_true(near(number(importance, importance_row("alpha", b), "importance"), sum, 1e-9));
    }
}

/* Whole blocks in the one, single layers in the other; the costs of what was chosen are what is predicted. */
static void test_exact_choices(void **state)
{
    (void)state;
    bool apart = false;
    for (size_t i = 0; i < json_array_size(plan_layers); i += LAYERS) {
        double cost = 0;
        for (size_t k = 0; k < LAYERS; k++) {
            const bool same = !strcmp(word(plan_layers, i + k, "choice"), word(plan_layers, i + k - k % 7, "choice"));
            if (!strcmp(word(plan_layers, i, "rule"), "exact blocks")) assert_true(same);
            apart |= !same && !strcmp(word(plan_layers, i, "rule"), "exact layers");
            cost += of_choice(word(plan_layers, i + k, "layer"), word(plan_layers, i + k, "choice"), cost_column(word(plan_layers, i, "cost")));
        }
        bool found = false;
        for (size_t p = 0; p < json_array_size(plans) && !found; p++)
            found = !strcmp(word(plans, p, "rule"), word(plan_layers, i, "rule")) && !strcmp(word(plans, p, "cost"), word(plan_layers, i, "cost")) &&
                    !strcmp(word(plans, p, "pair"), word(plan_layers, i, "pair")) && number(plans, p, "high") == number(plan_layers, i, "high") &&
                    near(number(plans, p, "predicted"), cost, 1e-9);
        assert_true(found);
    }
    assert_true(apart);
}

static bool looks_at_text(const char *rule) { return !strncmp(rule, "jaccard", 7) || !strncmp(rule, "lim", 3) || !strncmp(rule, "alpha", 5); }

static void test_correlations(void **state)
{
    (void)state;
    int intervals = 0;
    for (size_t i = 0; i < json_array_size(ranks); i++) {
        double sum = 0;                                     /* of three blocks without ties: 1 - sum d^2 / 4 */
        bool tied = false;
        for (int b = 0; b < BLOCKS; b++) {
            const size_t x = importance_row(word(ranks, i, "rule"), b), y = importance_row(word(ranks, i, "other"), b);
            sum += pow(number(importance, x, "rank") - number(importance, y, "rank"), 2);
            tied |= number(importance, x, "ties") > 0 || number(importance, y, "ties") > 0;
        }
        if (!tied) assert_true(fabs(number(ranks, i, "spearman") - (1 - sum / 4)) <= 1e-12);
        const double low = number(ranks, i, "spearman_low"), high = number(ranks, i, "spearman_high");
        const bool text = looks_at_text(word(ranks, i, "rule")) || looks_at_text(word(ranks, i, "other"));
        if (isfinite(low) || isfinite(high)) assert_true(text && low <= high && low >= -1 && high <= 1), intervals++;
    }
    assert_true(intervals > 3);
}

static void test_resumed(void **state)
{
    (void)state;
    char *said = run_said("lsaq.yaml", config, "lsaq.h5", NULL);
    assert_non_null(strstr(said, "\n0 measurements were run"));
    json_t *again = rows_of("lsaq.h5", "importance"), *plans_again = rows_of("lsaq.h5", "plans"), *records = rows_of("lsaq.h5", "measurements");
    assert_true(json_equal(again, importance) && json_equal(plans_again, plans));
    int kept = 0;                                           /* a record for each order that looks at states: not looked at again */
    for (size_t i = 0; i < json_array_size(records); i++) kept += !strncmp(word(records, i, "label"), "importance by", 13);
    assert_int_equal(kept, 12 + 1);
    json_decref(again);
    json_decref(plans_again);
    json_decref(records);
    free(said);
}

/* Plans of all orders where they are asked for; those that were measured before are found. */
static void test_from_the_store(void **state)
{
    (void)state;
    const char *const change[] = { "lsaq.rules=jaccard,lim", "lsaq.variants=yes", "lsaq.free=no", NULL };
    free(run_said("lsaq.yaml", config, "lsaq.h5", change));
    json_t *again = rows_of("lsaq.h5", "plans");
    assert_int_equal(json_array_size(again), PAIRS * HIGHS * (12 + 1 + 4));
    assert_true(number(again, 0, "kl") == number(plans, 0, "kl"));
    json_decref(again);
}

/* Once more by slopes, not at the ends, within the same bytes; the references stay those without them. */
static void test_slopes(void **state)
{
    (void)state;
    const char *const change[] = { "lsaq.rules=lim", "lsaq.slopes=yes", "lsaq.free=no", "dynamic.costs=group", "dynamic.windows=3", NULL };
    free(run_said("lsaq.yaml", config, "lsaq.h5", change));
    char *again = run_said("lsaq.yaml", config, "lsaq.h5", change);
    assert_non_null(strstr(again, "\n0 measurements were run"));
    json_t *rows = rows_of("lsaq.h5", "plans");
    const size_t end = 1 + 2, between = 1 + 2 + 2;
    assert_int_equal(json_array_size(rows), PAIRS * 2 * (end + between));
    for (size_t p = 0; p < json_array_size(rows); p++) {
        if (!strcmp(word(rows, p, "rule"), "exact layers") && !strcmp(word(rows, p, "cost"), "group")) assert_true(number(rows, p, "above_layers") == 0 && number(rows, p, "above_layers_se") == 0);
        if (strcmp(word(rows, p, "cost"), "group x slopes")) continue;
        const double high = number(rows, p, "high");
        assert_true(high > 0 && high < BLOCKS && number(rows, p, "optimal") == 1);
        assert_true(number(rows, p, "bytes") <= number(rows, p - 4 + (!strcmp(word(rows, p, "rule"), "exact layers")), "bytes"));
    }
    json_decref(rows);
    free(again);
}

#define START "experiment: lsaq\nmodel: core/tests/golden/tiny/llama-mha-untied\ntext: {random: {windows: 2, length: 20}}\n"
#define CHOICES "choices: [{rtn: {bits: [3, 4], group: 0}}]\n"

static void test_refusals(void **state)
{
    (void)state;
    run_refused(START, "the experiment lsaq needs two choices or more");
    run_refused(START CHOICES "layers: blocks.0.*\n", "orders whole blocks");
    run_refused(START CHOICES "lsaq: {rules: jacard}\n", "lsaq.rules: there is no importance rule 'jacard'; did you mean 'jaccard'?");
    run_refused(START CHOICES "lsaq: {pairs: 4-3}\n", "'4-3' is no HIGH/LOW");
    run_refused(START CHOICES "lsaq: {pairs: 4/2}\n", "'4/2' does not name two of the choices");
    run_refused(START CHOICES "lsaq: {pairs: 4/4}\n", "'4/4' is the same choice twice");
    run_refused(START CHOICES "lsaq: {high: [1, 3]}\n", "lsaq.high: 3 blocks of 2");
    run_refused(START CHOICES "lsaq: {k: 98}\n", "the 98 likeliest tokens of a vocabulary of 97");
    run_refused(START "choices: [{nf: {bits: 4}}, ch8]\n", "give the pairs by name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_rows),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_plans_follow_ranks),
        cmocka_unit_test(test_equal_sizes),
        cmocka_unit_test(test_differences_and_ends),
        cmocka_unit_test(test_exact_choices),
        cmocka_unit_test(test_each_by_its_cost),
        cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_correlations),
        cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_from_the_store),
        cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, run_once, forget);
}
