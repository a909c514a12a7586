/* test_accuracy.c - accuracies and their changes against numbers worked out by hand */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/rng.h"
#include "core/estimate/accuracy.h"
#include "core/estimate/fit.h"

static bool near(double x, double y) { return fabs(x - y) <= 1e-12 * fabs(y); }

/* Three items of 2, 3 and 2 choices.  Log-likelihoods: -4 -6 | -9 -3 -8 | -5 -5. */
static int first[] = { 0, 2, 5, 7 }, label[] = { 0, 2, 1 }, length[] = { 2, 6, 10, 1, 20, 3, 4 };
static const CorpusTask task = { "by hand", 3, first, label, length };
static const int64_t tokens[] = { 2, 3, 3, 1, 4, 5, 1 };
static const double nll[] = { 2, 2, 3, 3, 2, 1, 5 };

static void test_answers(void **state)
{
    (void)state;
    Answers a;
    answers_init(&a, &task, nll, tokens);
    assert_int_equal(a.n_items, 3);
    assert_true(a.right[0] && !a.right[1] && !a.right[2]);                  /* -4 > -6; -3 is choice 1; of equals the first */
    assert_true(!a.right_norm[0] && a.right_norm[1] && a.right_norm[2]);    /* -2 < -1; -.9 -3 -.4; -5/3 < -5/4 */
    answers_free(&a);
    const double broken[] = { NAN, NAN, 3, 3, NAN, 1, 5 };
    answers_init(&a, &task, broken, tokens);
    assert_true(!a.right[0] && !a.right_norm[0] && !a.right_norm[1]);
    answers_free(&a);
    int none[7] = { 0 };                                                    /* WinoGrande's sentence that ends with its blank */
    CorpusTask empty = task;
    empty.length = none;
    answers_init(&a, &empty, nll, tokens);
    assert_true(a.right_norm[0] && !a.right_norm[1] && !a.right_norm[2]);   /* the first, as argmax has it */
    answers_free(&a);
    assert_true(near(accuracy_of_chance(&task), (1 / 2. + 1 / 3. + 1 / 2.) / 3));
}

static void test_share(void **state)
{
    (void)state;
    const bool right[] = { true, false, true, true, false, false, true, false, false, false };
    const Share s = accuracy(right, 10);
    assert_true(near(s.value, .4) && near(s.se, sqrt(.4 * .6 / 9)));
    double x[10];
    int64_t one[10];
    Share mean;
    for (int i = 0; i < 10; i++) x[i] = right[i], one[i] = 1;
    weighted_mean(&mean.value, &mean.se, x, one, 10);                        /* the sample's standard deviation / sqrt n */
    assert_true(near(s.value, mean.value) && near(s.se, mean.se));
    assert_true(accuracy(right, 1).value == 1 && isnan(accuracy(right, 1).se));
}

/* 3 gained, 1 lost of 8: differences 1 1 1 -1 0 0 0 0, mean 1/4, squared deviations 4 - 8/16 = 3.5. */
static void test_change(void **state)
{
    (void)state;
    const bool now[] = { 1, 1, 1, 0, 1, 0, 1, 0 }, before[] = { 0, 0, 0, 1, 1, 0, 1, 0 };
    AccuracyChange c = accuracy_change(now, before, 8);
    assert_true(c.gained == 3 && c.lost == 1 && near(c.value, .25) && near(c.se, sqrt(3.5 / 7 / 8)));
    assert_true(c.below_error && near(c.p, 2 * (1 + 4) / 16.));             /* 4 changed, 2^2 <= 4 */
    c = accuracy_change(before, now, 8);
    assert_true(near(c.value, -.25) && c.gained == 1 && c.lost == 3 && near(c.p, .625));
    c = accuracy_change(now, now, 8);
    assert_true(c.value == 0 && c.se == 0 && c.below_error && c.p == 1);
    c = accuracy_change((const bool[]){ 1, 1, 1 }, (const bool[]){ 0, 0, 0 }, 3);
    assert_true(c.value == 1 && c.se == 0 && !c.below_error && near(c.p, .25));
    c = accuracy_change((const bool[]){ 1 }, (const bool[]){ 0 }, 1);
    assert_true(c.value == 1 && isnan(c.se) && c.below_error && c.p == 1);
}

/* The rule in whole numbers is the rule |change| <= se, and se is that of the mean of the differences. */
static void test_rule_is_the_error(void **state)
{
    (void)state;
    enum { N = 40 };
    bool now[N], before[N];
    double x[N];
    int64_t one[N];
    int below = 0;
    for (int trial = 0; trial < 200; trial++) {
        for (int i = 0; i < N; i++) {
            const uint32_t r = rng_integer(5, rng_stream(RNG_TEXT, 0, 0, 0), (uint64_t)(trial * N + i));
            before[i] = r & 1;
            now[i] = r % 7 ? before[i] : r & 2;
            x[i] = (double)now[i] - (double)before[i];
            one[i] = 1;
        }
        const AccuracyChange c = accuracy_change(now, before, N);
        Share mean;
        weighted_mean(&mean.value, &mean.se, x, one, N);
        assert_true(fabs(c.value - mean.value) <= 1e-14 && fabs(c.se - mean.se) <= 1e-14);
        if (fabs(fabs(mean.value) - mean.se) > 1e-9) assert_int_equal(c.below_error, fabs(mean.value) < mean.se);
        below += c.below_error;
    }
    assert_true(below > 20 && below < 180);
}

static void test_items(void **state)
{
    (void)state;
    double x[3];
    int64_t n[3];
    item_means(x, n, &task, nll, tokens);
    assert_true(n[0] == 5 && n[1] == 8 && n[2] == 6);
    assert_true(near(x[0], 2) && near(x[1], 20 / 8.) && near(x[2], 10 / 6.));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers), cmocka_unit_test(test_share), cmocka_unit_test(test_change), cmocka_unit_test(test_rule_is_the_error), cmocka_unit_test(test_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
