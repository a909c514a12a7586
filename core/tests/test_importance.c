/* test_importance.c - importance rules on numbers worked out by hand */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "core/importance/importance.h"
#include "core/importance/jaccard.h"
#include "core/importance/lim.h"
#include "core/importance/top_tokens.h"
#include "core/importance/zd.h"
#include "core/tests/full_sort.h"
#include "core/tests/tiny_golden.h"

/* ---- tokens ---- */

/* Whole numbers, many of them equal. */
static void tokens_against_a_full_sort(void **state)
{
    (void)state;
    const int sizes[] = { 1, 2, 7, 64, 257, 1000 }, ks[] = { 1, 2, 3, 10, 50, 1000 };
    for (int s = 0; s < 6; s++)
        for (int kind = 0; kind < 3; kind++) {
            const int n = sizes[s];
            float *logit = xmalloc(sizeof *logit * (size_t)n);
            for (int i = 0; i < n; i++) {
                const double u = rng_uniform(7, rng_stream(RNG_TEST, kind, s, 0), (uint64_t)i);
                logit[i] = kind == 0 ? (float)u : kind == 1 ? (float)floor(20 * u) : -3;
            }
            int32_t *want = full_sort(logit, n), *got = xmalloc(sizeof *got * (size_t)n);
            for (int j = 0; j < 6; j++) {
                const int k = ks[j] < n ? ks[j] : n;
                assert_true(top_tokens(got, k, logit, n));
                assert_memory_equal(got, want, sizeof *got * (size_t)k);
            }
            logit[n / 2] = NAN;
            assert_false(top_tokens(got, 1, logit, n));
            assert_false(top_tokens(got, n, logit, n));
            free(logit);
            free(want);
            free(got);
        }
}

static void jaccard_by_hand(void **state)
{
    (void)state;
    const int32_t a[] = { 5, 1, 9, 3 }, b[] = { 3, 7, 1, 2 }, c[] = { 0, 4, 6, 8 };
    assert_true(jaccard(a, a, 4) == 1);
    assert_true(jaccard(a, c, 4) == 0);
    assert_true(jaccard(a, b, 4) == 2. / 6);            /* 1 and 3 of 1 2 3 5 7 9 */
    assert_true(jaccard(a, b, 3) == 1. / 5);            /* 1 of 1 3 5 7 9         */
    assert_true(jaccard(a, b, 2) == 0 && jaccard(a, a, 1) == 1);
    const int32_t before[] = { 0, 1, 99, 1, 2, 99, 4, 0, 99 }, after[] = { 2, 3, 88, 3, 1, 88, 3, 2, 88 };
    assert_true(jaccard_of_unions(before, after, 3, 3, 2, 100) == 2. / 5);              /* 0 1 2 4 and 1 2 3 */
    assert_true(jaccard_of_unions(before, after, 3, 3, 3, 100) == 2. / 7);
    assert_true(jaccard_of_unions(before, after, 1, 3, 2, 100) == 0);
}

/* m in common of k: J = m / (2k - m), whatever the tokens are called and in which order they stand. */
static void jaccard_of_sets_of_one_size(void **state)
{
    (void)state;
    for (int k = 1; k <= 20; k++)
        for (int m = 0; m <= k; m++) {
            int32_t a[20], b[20];
            for (int i = 0; i < k; i++) a[i] = (37 * i + 5) % 101, b[i] = (37 * (k - 1 - i < m ? k - 1 - i : k - 1 - i + 30) + 5) % 101;
            assert_true(jaccard(a, b, k) == (double)m / (2 * k - m) && jaccard(b, a, k) == jaccard(a, b, k));
            assert_true(jaccard_of_unions(a, b, 1, k, k, 101) == jaccard(a, b, k));
            for (int i = 0; i < k; i++) a[i] = 63 * a[i] % 101, b[i] = 63 * b[i] % 101;         /* a permutation of the vocabulary */
            assert_true(jaccard(a, b, k) == (double)m / (2 * k - m));
        }
}

/* ---- cosines, shares, ranks ---- */

static void lim_by_hand(void **state)
{
    (void)state;
    const float x[] = { 3, 4, 1, 0 }, y[] = { 4, 3, 0, -2 };
    NEAR(lim(x, y, 2, 2), -(24. / 25 + 0) / 2, 1e-15, "two rows");
    NEAR(lim(x, y, 1, 2), -24. / 25, 1e-15, "one row");
    float many[3 * 50], scaled[3 * 50], opposite[3 * 50];
    for (int i = 0; i < 150; i++) {
        many[i] = (float)(rng_uniform(3, rng_stream(RNG_TEST, 9, 0, 0), (uint64_t)i) - .5);
        scaled[i] = many[i] * (i < 50 ? 8 : i < 100 ? .25f : 1024), opposite[i] = -many[i];
    }
    NEAR(lim(many, many, 3, 50), -1, 1e-15, "the same states");
    NEAR(lim(many, scaled, 3, 50), -1, 1e-15, "the same directions");
    NEAR(lim(many, opposite, 3, 50), 1, 1e-15, "turned round");
    assert_true(lim(scaled, x, 1, 4) == lim(many, x, 1, 4));            /* powers of two change no bit */
    const float zero[] = { 0, 0 };
    assert_true(lim(zero, y, 1, 2) == 0 && lim(y, zero, 1, 2) == 0);
    const float not_finite[][2] = { { NAN, 1 }, { INFINITY, 1 } };                      /* and no state of these is "unchanged" */
    for (int i = 0; i < 2; i++) assert_true(isnan(lim(not_finite[i], y, 1, 2)) && isnan(lim(y, not_finite[i], 1, 2)));
}

static void shares_by_hand(void **state)
{
    (void)state;
    const float w[] = { 0, 0, 0, 4, -4, 0, 0, 0 };      /* mean 0, deviation 2 */
    Moments m = { 0 };
    moments_add(&m, w, 2, 4);
    assert_true(m.n == 8 && m.sum == 0 && m.squares == 32);
    assert_int_equal(outstanding(w, 8, &m, false), 1);
    assert_int_equal(outstanding(w, 8, &m, true), 2);
    Moments first = { 0 };                              /* 0 0 0 4: mean 1, deviation sqrt(3) */
    moments_add(&first, w, 1, 4);
    assert_int_equal(outstanding(w, 4, &first, true), 1);
    const float edge[] = { 1, -1, 1, -1 };              /* z = 1 is not above 1 */
    Moments at = { 0 };
    moments_add(&at, edge, 1, 4);
    assert_int_equal(outstanding(edge, 4, &at, true), 0);
    const float same[] = { 2, 2, 2 };
    Moments none = { 0 };
    moments_add(&none, same, 1, 3);
    assert_int_equal(outstanding(same, 3, &none, true), 0);
}

static void ranks_and_ties(void **state)
{
    (void)state;
    const double value[] = { .5, .75, .5 + 1e-16, .1, .75, .1 * (1 + 1e-14) };
    int rank[6], order[6];
    assert_int_equal(importance_rank(rank, order, value, 6), 3);
    const int want[] = { 1, 4, 0, 2, 3, 5 };
    assert_memory_equal(order, want, sizeof want);
    for (int i = 0; i < 6; i++) assert_int_equal(rank[want[i]], i + 1);
    const double negative[] = { -.2, -.1, -.3 };
    assert_int_equal(importance_rank(rank, order, negative, 3), 0);
    assert_true(order[0] == 1 && order[1] == 0 && order[2] == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_against_a_full_sort),
        cmocka_unit_test(jaccard_by_hand),
        cmocka_unit_test(jaccard_of_sets_of_one_size),
        cmocka_unit_test(lim_by_hand),
        cmocka_unit_test(shares_by_hand),
        cmocka_unit_test(ranks_and_ties),
    };
    return cmocka_run_group_tests_name("importance", tests, NULL, NULL);
}
