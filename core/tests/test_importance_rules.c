/* test_importance_rules.c - shares, sums and orders of tiny models; what the store has; what is refused */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/importance/importance.h"
#include "core/tests/tiny_study.h"

static Importance one(Study *study, const char *name, const double *alpha, const char *option, const char *value)
{
    ImportanceRequest request = { .name = name };
    Importance out;
    WORKS(importance_find(&request.rule, name));
    Options *options = options_new(request.rule->options);
    if (option) WORKS(options_set(options, option, value, "test"));
    request.options = options;
    WORKS(importance_measure(&out, study, &request, 1, alpha));
    options_free(options);
    return out;
}

static double share_of(const Model *model, int block, int from, int to, bool both)
{
    double n = 0, sum = 0, squares = 0, count = 0;
    for (int turn = 0; turn < 2; turn++)
        for (int t = from; t < to; t++) {
            const Layer *l = model_layer(model, model_layer_index(block, (WeightKind)t));
            float *w = xmalloc(sizeof *w * (size_t)(l->rows * l->cols));
            WORKS(model_read(w, model, l->type, block, 0, l->rows));
            const double mean = sum / n, deviation = sqrt(squares / n - mean * mean);
            for (int64_t i = 0; i < l->rows * l->cols; i++) {
                if (turn == 0) n++, sum += w[i], squares += (double)w[i] * w[i];
                else count += both ? fabs((w[i] - mean) / deviation) > 1 : (w[i] - mean) / deviation > 1;
            }
            free(w);
        }
    return count / n;
}

static void shares_of_a_model(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama3-gqa-tied", WHOLE, "cpu");
    Importance block = one(t.study, "zd", NULL, NULL, NULL), both = one(t.study, "zd", NULL, "sides", "both"), matrix = one(t.study, "zd", NULL, "over", "matrix");
    for (int b = 0; b < 3; b++) {
        double mean = 0;
        for (int type = 0; type < LAYER_TYPES; type++) mean += share_of(t.model, b, type, type + 1, false) / LAYER_TYPES;
        NEAR(block.value[b], -share_of(t.model, b, 0, LAYER_TYPES, false), 1e-12, "block %d", b);
        NEAR(both.value[b], -share_of(t.model, b, 0, LAYER_TYPES, true), 1e-12, "block %d, both sides", b);
        NEAR(matrix.value[b], -mean, 1e-12, "block %d, matrices", b);
        assert_true(isnan(block.se[b]) && block.n_windows == 0);
    }
    importance_free(&block);
    importance_free(&both);
    importance_free(&matrix);
    tiny_study_close(&t);
}

static void sums_and_orders(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama3-gqa-tied", WHOLE, "cpu");
    double alpha[2 * 21];
    for (int i = 0; i < 42; i++) alpha[i] = i / 14 == 1 ? 100 + i % 2 : i / 14 + 3 * (i % 2);     /* blocks 0, 1, 2; windows 0, 1 */
    Importance sum = one(t.study, "alpha", alpha, NULL, NULL), first = one(t.study, "first-to-last", NULL, NULL, NULL), last = one(t.study, "last-to-first", NULL, NULL, NULL);
    assert_true(sum.value[0] == 7 * 1.5 && sum.value[1] == 7 * 100.5 && sum.value[2] == 7 * 3.5);
    NEAR(sum.se[0], 7 * 1.5, 1e-12, "half the difference of the two windows");
    assert_true(sum.order[0] == 1 && sum.order[1] == 2 && sum.order[2] == 0);
    for (int b = 0; b < 3; b++) assert_true(first.order[b] == b && last.order[b] == 2 - b);
    Importance random = one(t.study, "random", NULL, NULL, NULL), again = one(t.study, "random", NULL, "draw", "1"), other = one(t.study, "random", NULL, "draw", "2");
    assert_memory_equal(random.value, again.value, 3 * sizeof(double));
    for (int b = 0; b < 3; b++) assert_true(random.value[b] != other.value[b] && random.value[b] > 0 && random.value[b] < 1);
    Importance *all[] = { &sum, &first, &last, &random, &again, &other };
    for (int i = 0; i < 6; i++) importance_free(all[i]);
    tiny_study_close(&t);
}

/* ---- store and refusals ---- */

static void found_in_the_store(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Store *store = store_in_memory();
    Importance first, second;
    ImportanceRequest request = { .name = "lim" };
    WORKS(importance_find(&request.rule, "lim"));
    Options *options = options_new(request.rule->options);
    request.options = options;
    StudyPlan plan;
    WORKS(study_plan(&plan, model_shape(tiny.model), &corpus, kernels_cpu(), (int64_t)1 << 30));
    for (int turn = 0; turn < 2; turn++) {
        Study *study;
        WORKS(study_open(&study, tiny.model, &corpus, kernels_cpu(), &plan, 1, store));
        double passes;
        WORKS(importance_cost(&passes, study, &request, 1));
        assert_true(turn ? passes == 0 : passes > .5 && passes < 1);        /* all but the head */
        WORKS(importance_measure(turn ? &second : &first, study, &request, 1, NULL));
        assert_int_equal(store_count(store), 1);
        study_close(&study);
    }
    assert_memory_equal(first.by_window, second.by_window, sizeof(double) * 4);
    assert_true(first.seconds == second.seconds);       /* as measured then */
    importance_free(&first);
    importance_free(&second);
    options_free(options);
    store_close(&store);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void refusals(void **state)
{
    (void)state;
    const ImportanceRule *rule;
    assert_int_equal(importance_find(&rule, "jacard"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "there is no importance rule 'jacard'; did you mean 'jaccard'?");
    assert_int_equal(importance_find(&rule, "by taste"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "there is no importance rule 'by taste'; there are jaccard, lim, zd, alpha, random, first-to-last, last-to-first");
    TinyStudy t;
    tiny_study_open(&t, "llama-v8", WHOLE, "cpu");
    ImportanceRequest request = { .name = "jaccard" };
    Importance out;
    WORKS(importance_find(&request.rule, "jaccard"));
    Options *options = options_new(request.rule->options);
    WORKS(options_set(options, "k", "9", "test"));
    request.options = options;
    assert_int_equal(importance_measure(&out, t.study, &request, 1, NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "the 9 likeliest tokens of a vocabulary of 8: k must be at most that");
    WORKS(importance_find(&request.rule, "alpha"));
    assert_int_equal(importance_measure(&out, t.study, &request, 1, NULL), ERR_ARGUMENT);
    options_free(options);
    tiny_study_close(&t);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(2, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_of_a_model),
        cmocka_unit_test(sums_and_orders),
        cmocka_unit_test(found_in_the_store),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("importance_rules", tests, NULL, NULL);
}
