/* The K largest by histograms against a full sort: random, tied, denormal, zero and huge scores, in pieces of any size. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/largest.h"
#include "core/base/rng.h"
#include "core/saliency/top_k.h"

typedef struct { float score; int64_t place; } Pair;

static int largest_first(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int by_place(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* Places of the k largest, ascending. */
static int64_t *sorted_places(const float *score, int64_t n, int64_t k)
{
    Pair *pair = xmalloc(sizeof *pair * (size_t)(n + 1));
    int64_t *place = xmalloc(sizeof *place * (size_t)(k + 1));
    for (int64_t i = 0; i < n; i++) pair[i] = (Pair){ score[i], i };
    qsort(pair, (size_t)n, sizeof *pair, largest_first);
    qsort(pair, (size_t)k, sizeof *pair, by_place);
    for (int64_t i = 0; i < k; i++) place[i] = pair[i].place;
    free(pair);
    return place;
}

static TopK top_of(const float *score, int64_t n, int64_t k, int64_t piece)
{
    TopK top;
    top_k_init(&top, k, n);
    for (int64_t i = 0; i < n; i += piece) top_k_add(&top, score + i, piece < n - i ? piece : n - i, i);
    top_k_keep(&top, k);
    return top;
}

static void check(const float *score, int64_t n, int64_t k, int64_t piece, const char *what)
{
    const int64_t expected = k < n ? k : n;
    TopK top = top_of(score, n, k, piece);
    int64_t *place = sorted_places(score, n, expected);
    if (top.n != expected) fail_msg("%s: %ld of %ld kept, %ld asked for", what, (long)top.n, (long)n, (long)k);
    for (int64_t i = 0; i < expected; i++) {
        if (top.place[i] != place[i]) fail_msg("%s, k = %ld: place %ld is %ld, not %ld", what, (long)k, (long)i, (long)top.place[i], (long)place[i]);
        assert_true(top.score[i] == score[place[i]]);
    }
    free(place);
    top_k_free(&top);
}

enum { N = 90001 };                /* more than the candidates of small k */

static float *scores(const char *kind)
{
    float *x = xmalloc(sizeof *x * N);
    rng_normals(x, N, 3, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int64_t i = 0; i < N; i++) {
        const float y = fabsf(x[i]);
        if (!strcmp(kind, "random")) x[i] = y;
        else if (!strcmp(kind, "tied")) x[i] = floorf(4 * y);
        else if (!strcmp(kind, "denormal")) x[i] = y * 1e-40f;
        else if (!strcmp(kind, "huge")) x[i] = fminf(y * 1e38f, 3e38f);
        else if (!strcmp(kind, "zero")) x[i] = i % 7 ? 0.0f : -0.0f;
        else if (!strcmp(kind, "mixed")) x[i] = y * (float)pow(10, (double)(i % 77) - 43);
        else if (!strcmp(kind, "rising")) x[i] = (float)i;
        else if (!strcmp(kind, "falling")) x[i] = (float)(N - i);
        else if (!strcmp(kind, "lower halves")) x[i] = 1 + (float)(i * 7919 % 65521) * 0x1p-23f;        /* one upper half */
        else fail_msg("unknown scores %s", kind);
    }
    return x;
}

static void same_as_a_sort(void **state)
{
    (void)state;
    static const char *const kind[] = { "random", "tied", "denormal", "huge", "zero", "mixed", "rising", "falling", "lower halves" };
    static const struct { int64_t k, piece; } how[] = { { 0, N }, { 1, N }, { 17, 1000 }, { 700, 65536 }, { 5000, 1 }, { 60001, 31 }, { N - 1, N }, { N, 9999 }, { N + 5, N } };
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        float *x = scores(kind[i]);
        for (size_t j = 0; j < sizeof how / sizeof *how; j++) check(x, N, how[j].k, how[j].piece, kind[i]);
        check(x, 0, 3, 1, kind[i]), check(x, 1, 3, 1, kind[i]), check(x, 1, 1, 1, kind[i]);
        free(x);
    }
}

/* The k largest of the K largest are the k largest. */
static void smaller_ones_are_cut_from_larger(void **state)
{
    (void)state;
    float *x = scores("tied");
    for (int64_t k = 0; k <= 4000; k += 797) {
        TopK top = top_of(x, N, 4000, 777);
        top_k_keep(&top, k);
        int64_t *place = sorted_places(x, N, k);
        assert_int_equal(top.n, k);
        assert_memory_equal(top.place, place, sizeof *place * (size_t)k);
        free(place);
        top_k_free(&top);
    }
    free(x);
}

/* What is kept for long takes no room for candidates. */
static void finished_ones_take_what_they_hold(void **state)
{
    (void)state;
    static const int64_t k[] = { 0, 1, 700, N, N + 5 };
    float *x = scores("random");
    for (size_t i = 0; i < sizeof k / sizeof *k; i++) {
        TopK top, kept = top_of(x, N, k[i], 1000);
        top_k_init(&top, k[i], N);
        assert_int_equal(top_k_bytes(k[i], N), (sizeof *top.score + sizeof *top.place) * (size_t)top.room);
        top_k_add(&top, x, N, 0);
        assert_true(top.room <= N && (top.room > top.n || k[i] >= N));
        top_k_finish(&top);
        assert_int_equal(top.n, kept.n);
        assert_int_equal(top.room, top.n);
        assert_memory_equal(top.place, kept.place, sizeof *top.place * (size_t)top.n);
        assert_memory_equal(top.score, kept.score, sizeof *top.score * (size_t)top.n);
        top_k_free(&top), top_k_free(&kept);
    }
    free(x);
}

static void bars_by_hand(void **state)
{
    (void)state;
    const float x[] = { 1, 3, 2, 3, 0, 3, 5 };
    static const struct { int64_t k; float bar; int64_t ties; } row[] = { { 1, 5, 1 }, { 2, 3, 1 }, { 4, 3, 3 }, { 5, 2, 1 }, { 7, 0, 1 } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const LargestBar bar = largest_bar(x, 7, row[i].k);
        assert_int_equal(bar.bits, magnitude_bits(row[i].bar));
        assert_int_equal(bar.ties, row[i].ties);
    }
    assert_int_equal(largest_bar(x, 7, 0).ties, 0);
    assert_true(largest_bar(x, 7, 0).bits > magnitude_bits(5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_a_sort),
        cmocka_unit_test(smaller_ones_are_cut_from_larger),
        cmocka_unit_test(finished_ones_take_what_they_hold),
        cmocka_unit_test(bars_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
