/* test_program_dynamic.c - `linearity run` with experiment: dynamic, through the program */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/tests/program_rows.h"

/* Budgets: the size of the uniform 4-bit model (4 + 20/16), and one below it. */
static const char config[] =
    "experiment: dynamic\n"
    "model: core/tests/golden/tiny/llama3-gqa-tied\n"
    "text: {random: {windows: 6, length: 40}}\n"
    "coefficients: {from: random, windows: 5, context: 40, seed: 7}\n"
    "choices: [{rtn: {bits: [3, 4, 8], group: 16}}]\n"
    "budgets: [4.75, 5.25]\n"
    "dynamic: {costs: [group, square, measured, scaled], measured: 0.001}\n";

static json_t *models, *choices, *allocations;

static int run_once(void **state)
{
    (void)state;
    free(run_said("dynamic.yaml", config, "dynamic.h5", NULL));
    models = rows_of("dynamic.h5", "models");
    choices = rows_of("dynamic.h5", "choices");
    allocations = rows_of("dynamic.h5", "allocations");
    return 0;
}

static int forget(void **state)
{
    (void)state;
    json_decref(models);
    json_decref(choices);
    json_decref(allocations);
    return 0;
}

/* The row of a model; fails where there is none. */
static size_t row_at(const char *model, const char *label, double budget)
{
    for (size_t i = 0; i < json_array_size(models); i++)
        if (!strcmp(word(models, i, "model"), model) && !strcmp(word(models, i, "label"), label) && (isnan(budget) || number(models, i, "budget") == budget)) return i;
    fail_msg("no %s %s at %g bits", model, label, budget);
    return 0;
}

/* Sum over layers of the costs of these choices, from the table of choices. */
static double cost_of(const char *model, const char *label, double budget, const char *column)
{
    double sum = 0;
    int layers = 0;
    for (size_t a = 0; a < json_array_size(allocations); a++) {
        if (strcmp(word(allocations, a, "model"), model) || strcmp(word(allocations, a, "cost"), label) || number(allocations, a, "budget") != budget) continue;
        for (size_t c = 0; c < json_array_size(choices); c++)
            if (!strcmp(word(choices, c, "layer"), word(allocations, a, "layer")) && !strcmp(word(choices, c, "choice"), word(allocations, a, "choice")))
                sum += number(choices, c, column), layers++;
    }
    assert_true(layers > 10);
    return sum;
}

static void test_models_there(void **state)
{
    (void)state;
    const char *const rule[] = { "ends", "types", "greedy", "threshold" };
    assert_int_equal(json_array_size(models), 3 + 2 * (1 + 1 + 3 + 4));
    for (int b = 0; b < 2; b++) {
        const double budget = b ? 5.25 : 4.75;
        for (int r = 0; r < 4; r++) assert_true(number(models, row_at(rule[r], "", budget), "bits") <= budget + 1e-9);
        const char *const label[] = { "group", "group x slopes", "square", "measured" };
        for (int k = 0; k < 4; k++) {
            const size_t i = row_at("allocated", label[k], budget);
            assert_true(number(models, i, "bits") <= budget + 1e-9 && number(models, i, "optimal") == 1);
            assert_true(number(models, i, "lower_bound") == number(models, i, "cost"));
            assert_true(number(models, i, "kept") > 0 && number(models, i, "kept") <= 1 && number(models, i, "regret_high") >= 0);
        }
    }
}

/* The allocation's cost is the sum of its choices' costs, and no rule's is lower by the same costs. */
static void test_costs(void **state)
{
    (void)state;
    const char *const column[] = { "cost", "cost_square", "cost_measured" }, *const label[] = { "group", "square", "measured" };
    for (int b = 0; b < 2; b++) {
        const double budget = b ? 5.25 : 4.75;
        for (int k = 0; k < 3; k++) {
            const size_t i = row_at("allocated", label[k], budget);
            const double cost = number(models, i, "cost");
            assert_true(near(cost_of("allocated", label[k], budget, column[k]), cost, 1e-9));
            assert_true(near(number(models, i, "predicted"), cost, 1e-9));
            assert_true(cost_of("ends", "", budget, column[k]) >= cost * (1 - 1e-9));
            assert_true(cost_of("greedy", "", budget, column[k]) >= cost * (1 - 1e-9));
        }
    }
}

/* The factor of a scaled cost lies among the ratios that it is drawn from, and varies less than they do. */
static void test_scaled(void **state)
{
    (void)state;
    for (size_t c = 0; c < 3; c++) {
        double least = INFINITY, most = 0, lowest = INFINITY, highest = 0;
        for (size_t i = c; i < json_array_size(choices); i += 3) {
            const double ratio = number(choices, i, "cost_square") / number(choices, i, "cost"), factor = number(choices, i, "cost_scaled") / number(choices, i, "cost");
            least = fmin(least, ratio), most = fmax(most, ratio);
            lowest = fmin(lowest, factor), highest = fmax(highest, factor);
        }
        assert_true(lowest >= least && highest <= most && highest > lowest);
        assert_true(highest - lowest < .9 * (most - least));
    }
}

/* At the size of the 4-bit model, gains are against that model; of a uniform model the gain is 0. */
static void test_gains(void **state)
{
    (void)state;
    const size_t uniform = row_at("uniform", "rtn-bits4-group16", NAN), allocated = row_at("allocated", "group", 5.25);
    assert_true(near(number(models, uniform, "uniform_kl"), number(models, uniform, "kl"), 1e-12) && fabs(number(models, uniform, "gain")) < 1e-12);
    const double share = (number(models, allocated, "bits") - 5.25) / (4.1875 - 5.25);
    const double less = number(models, row_at("uniform", "rtn-bits3-group16", NAN), "kl"), more = number(models, uniform, "kl");
    const double same = pow(less, share) * pow(more, 1 - share);
    assert_true(number(models, allocated, "uniform_kl") <= same * (1 + 1e-9));
    assert_true(near(number(models, allocated, "gain"), 1 - number(models, allocated, "kl") / number(models, allocated, "uniform_kl"), 1e-9));
    assert_true(number(models, allocated, "gain_se") >= 0);
}

/* Sum over layers of one kind of cost of choice c of three. */
static double uniform_cost(size_t c, const char *column)
{
    double sum = 0;
    for (size_t i = c; i < json_array_size(choices); i += 3) sum += number(choices, i, column);
    return sum;
}

/* The predicted gain is against the same uniform models, predicted by the same kind of cost. */
static void test_predicted_gains(void **state)
{
    (void)state;
    const char *const column[] = { "cost", "cost_square", "cost_scaled" }, *const label[] = { "group", "square", "scaled" };
    for (int k = 0; k < 3; k++) {
        const size_t row = row_at("allocated", label[k], 4.75);
        const double bits = number(models, row, "bits");
        double least = INFINITY, predicted = NAN;
        for (size_t a = 0; a < 3; a++)
            for (size_t b = a + 1; b < 3; b++) {
                const double from = number(models, a, "bits"), to = number(models, b, "bits"), share = (bits - from) / (to - from);
                const double kl = pow(number(models, a, "kl"), 1 - share) * pow(number(models, b, "kl"), share);
                if (share < 0 || share > 1 || kl >= least) continue;
                least = kl, predicted = pow(uniform_cost(a, column[k]), 1 - share) * pow(uniform_cost(b, column[k]), share);
            }
        assert_true(near(number(models, row, "uniform_kl"), least, 1e-9));
        assert_true(near(1 - number(models, row, "predicted_gain"), number(models, row, "predicted") / predicted, 1e-9));
    }
}

static void test_intervals(void **state)
{
    (void)state;
    for (size_t i = 0; i < json_array_size(models); i++) {
        assert_true(number(models, i, "predicted_low") > 0 && number(models, i, "predicted_low") < number(models, i, "predicted"));
        assert_true(number(models, i, "predicted_high") > number(models, i, "predicted"));
        const bool inside = number(models, i, "kl") >= number(models, i, "predicted_low") && number(models, i, "kl") <= number(models, i, "predicted_high");
        assert_true(number(models, i, "inside") == inside);
        assert_true(number(models, i, "predicted_ppl_low") < number(models, i, "predicted_ppl") && number(models, i, "predicted_ppl") < number(models, i, "predicted_ppl_high"));
    }
    const size_t i = row_at("allocated", "group", 5.25);
    assert_true(number(models, i, "curved") > .5 * number(models, i, "predicted") && number(models, i, "curved") < 2 * number(models, i, "predicted"));
}

/* One layer, one choice: its predicted losses by window are its coefficients' by window, of which Student's t makes the interval by hand. */
static const char one[] =
    "experiment: dynamic\n"
    "model: core/tests/golden/tiny/llama3-gqa-tied\n"
    "layers: blocks.0.down\n"
    "text: {random: {windows: 6, length: 40}}\n"
    "coefficients: {from: random, windows: 5, context: 40, seed: 7}\n"
    "choices: [{rtn: {bits: [3, 4], group: 16}}]\n"
    "budgets: [5]\n"
    "dynamic: {costs: square, rounds: 0, rules: no}\n";

static void test_level_of_the_interval(void **state)
{
    (void)state;
    free(run_said("one.yaml", one, "one.h5", NULL));
    json_t *of_one = rows_of("one.h5", "models"), *of_choices = rows_of("one.h5", "choices");
    for (size_t i = 0; i < 2; i++) {                    /* the cost of this very error: no variance between draws beside that of windows */
        const double cost = number(of_choices, i, "cost"), se = number(of_choices, i, "cost_se"), t = 2.7764451051977987;     /* 95 %, 4 degrees of freedom */
        assert_true(near(number(of_one, i, "predicted"), cost, 1e-12));
        assert_true(near(log(number(of_one, i, "predicted_high") / cost), t * se * sqrt(1 + 5. / 6) / cost, 1e-9));
        assert_true(near(log(cost / number(of_one, i, "predicted_low")), t * se * sqrt(1 + 5. / 6) / cost, 1e-9));
    }
    json_decref(of_one);
    json_decref(of_choices);
}

/* Where the coefficients come from the text itself, everything measured on it is found again. */
static void test_same_text_from_the_store(void **state)
{
    (void)state;
    const char *const change[] = { "coefficients.from=text", "dynamic.rules=no", "dynamic.costs=group", NULL };
    char *said = run_said("dynamic.yaml", config, "dynamic.h5", change);
    assert_non_null(strstr(said, "Coefficients and losses come from the same text"));
    json_t *again = rows_of("dynamic.h5", "models");
    for (size_t i = 0; i < 3; i++) assert_true(number(again, i, "kl") == number(models, i, "kl") && number(again, i, "predicted") != number(models, i, "predicted"));
    json_decref(again);
    free(said);
}

#define START "experiment: dynamic\nmodel: core/tests/golden/tiny/llama-v8\ntext: {random: {windows: 2, length: 20}}\n"
#define CHOICES "choices: [{rtn: {bits: [3, 4], group: 8}}]\n"

static void test_refusals(void **state)
{
    (void)state;
    run_refused(START, "the experiment dynamic needs two choices or more");
    run_refused(START CHOICES "dynamic: {costs: grup}\n", "there is no cost 'grup'; did you mean 'group'?");
    run_refused(START CHOICES "dynamic: {rules: typse}\n", "there is no rule 'typse'; did you mean 'types'?");
    run_refused(START CHOICES "coefficients: {from: file}\n", "coefficients.file does not say which");
    run_refused(START CHOICES "coefficients: {from: random, seed: 1, windows: 2, context: 20}\n", "window 0 of the coefficients' text is window 0 of the text");
    run_refused(START CHOICES "noise: {scale: matrix}\n", "there are no coefficients by group");
    run_refused(START CHOICES "estimator: inject\n", "takes its coefficients from a backward pass");
    run_refused("experiment: predict\nmodel: core/tests/golden/tiny/llama-v8\ntext: {random: {windows: 2, length: 20}}\n" CHOICES "coefficients: {from: random}\n",
                   "only the experiments dynamic, lsaq and tacq read another text");
    run_refused(START CHOICES "coefficients: {file: a.txt}\n", "coefficients.from is 'text'");
    run_refused(START CHOICES "budgets: [1]\n", "no allocation fits the budget of 1 bits per weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_there),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_gains),
        cmocka_unit_test(test_predicted_gains),
        cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_level_of_the_interval),
        cmocka_unit_test(test_same_text_from_the_store),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, run_once, forget);
}
