/* Cutting by enumeration, sums, first tokens and the hash, on small lists of ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "core/base/err.h"
#include "core/text/corpus.h"
#include "core/text/corpus_cut.h"

enum { BOS = 7, FIRST_ID = 100 };

static const int32_t *some_ids(void)                        /* all different, none the BOS */
{
    static int32_t ids[64];
    for (int i = 0; i < 64; i++) ids[i] = FIRST_ID + i;
    return ids;
}

/* What holds for every corpus, whatever the protocol. */
static void expect_sums(const Corpus *corpus)
{
    int64_t inputs = 0, scored = 0;
    int64_t *tokens = calloc((size_t)corpus->n_windows, sizeof *tokens);
    int longest = 0, window = 0;
    for (int s = 0; s < corpus->n_segments; s++) {
        const Segment *segment = &corpus->segment[s];
        assert_true(segment->window == window || segment->window == window + 1);
        window = segment->window;
        inputs += segment->length;
        for (int t = 0; t < segment->length; t++) {
            assert_int_equal(segment->targets[t] >= 0, t >= segment->first_scored);
            tokens[window] += segment->targets[t] >= 0;
        }
        if (segment->length > longest) longest = segment->length;
    }
    assert_int_equal(window, corpus->n_windows - 1);
    for (int w = 0; w < corpus->n_windows; w++) {
        assert_int_equal(corpus->tokens[w], tokens[w]);
        scored += tokens[w];
    }
    free(tokens);
    assert_int_equal(corpus->n_inputs, inputs);
    assert_int_equal(corpus->n_scored, scored);
    assert_int_equal(corpus->longest, longest);
    assert_int_equal(strlen(corpus->hash), HASH_TEXT - 1);
}

static void test_windows(void **state)
{
    (void)state;
    for (int context = 2; context <= 9; context++)
        for (int windows = 1; windows <= 5; windows++) {
            Corpus corpus;
            assert_int_equal(corpus_from_ids(&corpus, some_ids(), windows, context, "sampled", BOS), OK);
            expect_sums(&corpus);
            assert_int_equal(corpus.n_segments, windows);
            assert_int_equal(corpus.n_windows, windows);
            assert_int_equal(corpus.context, context);
            assert_string_equal(corpus.protocol, "sampled");
            assert_string_equal(corpus.first_token, "ordinary");
            for (int w = 0; w < windows; w++) {
                assert_int_equal(corpus.tokens[w], context - 1);
                for (int t = 0; t < context - 1; t++) {
                    assert_int_equal(corpus.segment[w].inputs[t], FIRST_ID + w * context + t);
                    assert_int_equal(corpus.segment[w].targets[t], FIRST_ID + w * context + t + 1);
                }
            }
            corpus_free(&corpus);
            corpus_free(&corpus);
        }
}

static void test_half_windows(void **state)
{
    (void)state;
    for (int context = 3; context <= 12; context++)
        for (int bos = -1; bos <= BOS; bos += BOS + 1) {
            Cut cut = { 0 };
            Corpus corpus;
            cut_half_windows(&cut, some_ids(), 4, context, bos);
            cut_finish(&corpus, &cut, "llama.cpp", context, bos >= 0, BOS);
            expect_sums(&corpus);
            assert_string_equal(corpus.first_token, bos < 0 ? "ordinary" : "bos");
            assert_int_equal(corpus.bos, bos >= 0);
            for (int w = 0; w < 4; w++) {
                const Segment *segment = &corpus.segment[w];
                assert_int_equal(segment->length, context - 1);
                assert_int_equal(corpus.tokens[w], context - 1 - context / 2);
                for (int position = 0; position < context; position++) {
                    int id = position == 0 && bos >= 0 ? bos : FIRST_ID + w * context + position;
                    if (position < context - 1) assert_int_equal(segment->inputs[position], id);
                    if (position > 0) assert_int_equal(segment->targets[position - 1], position > context / 2 ? id : -1);
                }
            }
            corpus_free(&corpus);
        }
}

/* Segments laid end to end give back the pairs of neighbours, each once. */
static void test_documents(void **state)
{
    (void)state;
    for (int n = 2; n <= 20; n++)
        for (int context = 1; context <= n + 1; context++) {
            Cut cut = { 0 };
            Corpus corpus;
            cut_document(&cut, 0, some_ids(), n, context);
            cut_document(&cut, 1, some_ids() + 30, 2, context);
            cut_finish(&corpus, &cut, "documents", context, false, BOS);
            expect_sums(&corpus);
            assert_int_equal(corpus.n_segments, (n - 1 + context - 1) / context + 1);
            assert_int_equal(corpus.tokens[0], n - 1);
            assert_int_equal(corpus.tokens[1], 1);
            int at = 0;
            for (int s = 0; s < corpus.n_segments - 1; s++) {
                const Segment *segment = &corpus.segment[s];
                assert_true(segment->length == context || s == corpus.n_segments - 2);
                for (int t = 0; t < segment->length; t++, at++) {
                    assert_int_equal(segment->inputs[t], FIRST_ID + at);
                    assert_int_equal(segment->targets[t], FIRST_ID + at + 1);
                }
            }
            assert_int_equal(at, n - 1);
            corpus_free(&corpus);
        }
}

static void expect_first(const int32_t ids[6], int32_t bos, const char *want)
{
    Corpus corpus;
    assert_int_equal(corpus_from_ids(&corpus, ids, 2, 3, "sampled", bos), OK);
    assert_string_equal(corpus.first_token, want);
    corpus_free(&corpus);
}

static void test_first_tokens(void **state)
{
    (void)state;
    expect_first((const int32_t[]){ 1, BOS, 3, 4, BOS, 6 }, BOS, "ordinary");
    expect_first((const int32_t[]){ BOS, 2, 3, 4, 5, 6 }, BOS, "mixed");
    expect_first((const int32_t[]){ 1, 2, 3, BOS, 5, 6 }, BOS, "mixed");
    expect_first((const int32_t[]){ BOS, 2, 3, BOS, 5, 6 }, BOS, "bos");
    expect_first((const int32_t[]){ BOS, 2, 3, BOS, 5, 6 }, -1, "ordinary");
    Cut cut = { 0 };                                        /* only what opens a window counts */
    Corpus corpus;
    cut_document(&cut, 0, (const int32_t[]){ BOS, 1, 2, 3, BOS, 4 }, 6, 2);
    cut_document(&cut, 1, (const int32_t[]){ BOS, 5 }, 2, 2);
    cut_finish(&corpus, &cut, "documents", 2, true, BOS);
    assert_string_equal(corpus.first_token, "bos");
    corpus_free(&corpus);
}

static void digest(char out[HASH_TEXT], const char *protocol, int context, bool bos, const int32_t *ids, int n, int split)
{
    Cut cut = { 0 };
    Corpus corpus;
    cut_document(&cut, 0, ids, split, 3);
    cut_document(&cut, 1, ids + split, n - split, 3);
    cut_finish(&corpus, &cut, protocol, context, bos, BOS);
    memcpy(out, corpus.hash, HASH_TEXT);
    corpus_free(&corpus);
}

static void test_hash(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file("core/tests/golden/corpus.json", 0, &error);
    assert_non_null(root);
    static const int32_t ids[] = { 1, 2, 3, 4, 5, 6, 7 }, last[] = { 1, 2, 3, 4, 5, 6, 8 }, first[] = { 0, 2, 3, 4, 5, 6, 7 };
    char hash[8][HASH_TEXT];
    digest(hash[0], "documents", 3, false, ids, 7, 5);
    assert_string_equal(hash[0], json_string_value(json_object_get(root, "digest")));
    json_decref(root);
    digest(hash[1], "document", 3, false, ids, 7, 5);
    digest(hash[2], "documents", 4, false, ids, 7, 5);
    digest(hash[3], "documents", 3, true, ids, 7, 5);
    digest(hash[4], "documents", 3, false, last, 7, 5);
    digest(hash[5], "documents", 3, false, first, 7, 5);
    digest(hash[6], "documents", 3, false, ids, 7, 4);
    digest(hash[7], "documents", 3, false, ids, 6, 4);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++) assert_string_not_equal(hash[i], hash[j]);
    digest(hash[1], "documents", 3, false, ids, 7, 5);
    assert_string_equal(hash[0], hash[1]);
}

/* The same inputs, but some targets not scored, or the same segments in one window rather than two. */
static void test_hash_of_targets_and_windows(void **state)
{
    (void)state;
    Corpus corpus[3];
    for (int i = 0; i < 3; i++) {
        Cut cut = { 0 };
        cut_segment(&cut, 0, some_ids(), 5, i == 1 ? 2 : 1);
        cut_segment(&cut, i == 2 ? 0 : 1, some_ids() + 5, 5, 1);
        cut_finish(&corpus[i], &cut, "hf", 5, false, BOS);
    }
    assert_string_not_equal(corpus[0].hash, corpus[1].hash);
    assert_string_not_equal(corpus[0].hash, corpus[2].hash);
    for (int i = 0; i < 3; i++) corpus_free(&corpus[i]);
}

static void test_random(void **state)
{
    (void)state;
    enum { WINDOWS = 40, LENGTH = 101, BELOW = 5 };
    Corpus a, b;
    int seen[BELOW] = { 0 };
    assert_int_equal(corpus_random(&a, WINDOWS, LENGTH, BELOW, 3), OK);
    expect_sums(&a);
    assert_string_equal(a.protocol, "random");
    for (int w = 0; w < WINDOWS; w++)
        for (int t = 0; t < LENGTH - 1; t++) {
            assert_in_range(a.segment[w].inputs[t], 0, BELOW - 1);
            seen[a.segment[w].inputs[t]]++;
        }
    for (int i = 0; i < BELOW; i++) assert_in_range(seen[i], 800 - 126, 800 + 126);      /* 5 standard deviations of 25.3 */
    assert_int_equal(corpus_random(&b, WINDOWS, LENGTH, BELOW, 3), OK);
    assert_string_equal(a.hash, b.hash);
    corpus_free(&b);
    assert_int_equal(corpus_random(&b, WINDOWS, LENGTH, BELOW, 4), OK);
    assert_string_not_equal(a.hash, b.hash);
    corpus_free(&b);
    corpus_free(&a);
    assert_int_equal(corpus_random(&b, 1, 300, 1, 4), OK);
    for (int t = 0; t < 299; t++) assert_int_equal(b.segment[0].targets[t], 0);
    corpus_free(&b);
}

static void test_refusals(void **state)
{
    (void)state;
    Corpus corpus = { .n_windows = 42 };
    assert_int_equal(corpus_from_ids(&corpus, some_ids(), 0, 5, "sampled", BOS), ERR_ARGUMENT);
    assert_int_equal(corpus_from_ids(&corpus, some_ids(), 3, 1, "sampled", BOS), ERR_ARGUMENT);
    assert_string_equal(err_last(), "3 windows of 1 tokens; at least 1 of 2 is needed to predict anything");
    assert_int_equal(corpus_random(&corpus, 3, 1, 10, 0), ERR_ARGUMENT);
    assert_int_equal(corpus_random(&corpus, -3, 10, 10, 0), ERR_ARGUMENT);
    assert_int_equal(corpus_random(&corpus, 3, 10, 0, 0), ERR_ARGUMENT);
    assert_int_equal(corpus.n_windows, 42);
    corpus_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows), cmocka_unit_test(test_half_windows), cmocka_unit_test(test_documents),
        cmocka_unit_test(test_first_tokens), cmocka_unit_test(test_hash), cmocka_unit_test(test_hash_of_targets_and_windows),
        cmocka_unit_test(test_random), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
