/* corpus_open: small files under every protocol with a tokenizer of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/tests/byte_tokenizer.h"
#include "core/tests/corpus_files.h"
#include "core/tests/scratch.h"
#include "core/text/corpus.h"

/* The inputs of a segment as text, BOS as ^ and the mark as |, then the targets, not scored as a dot. */
static void expect_segment(const Corpus *corpus, int s, int window, const char *inputs, const char *targets)
{
    char got[2][64] = { { 0 } };
    const Segment *segment = &corpus->segment[s];
    assert_true(s < corpus->n_segments && segment->length < 64);
    for (int t = 0; t < segment->length; t++) {
        int in = segment->inputs[t], out = segment->targets[t];
        got[0][t] = (char)(in == BOS ? '^' : in == MARK ? '|' : in);
        got[1][t] = (char)(out == BOS ? '^' : out == MARK ? '|' : out < 0 ? '.' : out);
    }
    assert_int_equal(segment->window, window);
    assert_string_equal(got[0], inputs);
    assert_string_equal(got[1], targets);
}

static void expect_shape(const Corpus *corpus, const char *protocol, int windows, int segments, int64_t scored, int bos, const char *first)
{
    assert_string_equal(corpus->protocol, protocol);
    assert_int_equal(corpus->n_windows, windows);
    assert_int_equal(corpus->n_segments, segments);
    assert_int_equal(corpus->n_scored, scored);
    assert_int_equal(corpus->bos, bos);
    assert_string_equal(corpus->first_token, first);
}

/* ---- protocols --------------------------------------------------------------------------------- */

static void test_hf(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    const char *path = scratch_text("hf.txt", "abcdefg<|endoftext|>hi\n");
    Corpus corpus = opened(path, plain, (CorpusOptions){ .context = 4, .vocabulary = VOCABULARY });
    expect_shape(&corpus, "hf", 2, 2, 6, 0, "ordinary");
    expect_segment(&corpus, 0, 0, "abc", "bcd");
    expect_segment(&corpus, 1, 1, "efg", "fg|");
    corpus_free(&corpus);
    corpus = opened(path, plain, (CorpusOptions){ .protocol = "hf", .context = 4, .bos = BOS_YES });
    expect_shape(&corpus, "hf", 3, 3, 9, 1, "mixed");
    expect_segment(&corpus, 0, 0, "^ab", "abc");
    expect_segment(&corpus, 2, 2, "|hi", "hi\n");
    corpus_free(&corpus);
    corpus = opened(path, adds, (CorpusOptions){ .context = 4, .windows = 1 });
    expect_shape(&corpus, "hf", 1, 1, 3, 1, "bos");
    corpus_free(&corpus);
    corpus = opened(path, adds, (CorpusOptions){ .context = 4, .windows = 100, .bos = BOS_NO });
    expect_shape(&corpus, "hf", 2, 2, 6, 0, "ordinary");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

static void test_llama_cpp(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    CorpusOptions options = { .protocol = "llama.cpp", .context = 5 };
    Corpus corpus = opened(scratch_text("llama.txt", "abcdef<s>\n"), plain, options);
    expect_shape(&corpus, "llama.cpp", 1, 1, 2, 0, "ordinary");         /* nine bytes: the newline would make it two windows */
    expect_segment(&corpus, 0, 0, "abcd", "..de");
    corpus_free(&corpus);
    corpus = opened(scratch_text("llama.txt", "abcdef<s>\n\n"), adds, options);
    expect_shape(&corpus, "llama.cpp", 2, 2, 4, 1, "bos");
    expect_segment(&corpus, 0, 0, "^bcd", "..de");
    expect_segment(&corpus, 1, 1, "^<s>", "..>\n");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

static void test_documents(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    CorpusOptions options = { .protocol = "documents", .context = 3 };
    const char *path = scratch_text("documents.txt", " abcde\n<|endoftext|>\n<|endoftext|> x <|endoftext|>yz==w");
    Corpus corpus = opened(path, plain, options);
    expect_shape(&corpus, "documents", 2, 4, 8, 0, "ordinary");         /* x predicts nothing */
    expect_segment(&corpus, 0, 0, "abc", "bcd");
    expect_segment(&corpus, 1, 0, "d", "e");
    expect_segment(&corpus, 2, 1, "yz=", "z==");
    expect_segment(&corpus, 3, 1, "=", "w");
    corpus_free(&corpus);
    corpus = opened(path, adds, options);
    expect_shape(&corpus, "documents", 3, 5, 11, 1, "bos");
    expect_segment(&corpus, 1, 0, "cd", "de");
    expect_segment(&corpus, 2, 1, "^", "x");
    corpus_free(&corpus);
    options.windows = 1;
    corpus = opened(path, adds, options);
    expect_shape(&corpus, "documents", 1, 2, 5, 1, "bos");
    corpus_free(&corpus);
    options = (CorpusOptions){ .protocol = "documents", .context = 80, .windows = 9, .separator = "==" };
    corpus = opened(path, plain, options);
    expect_shape(&corpus, "documents", 1, 1, (int64_t)strlen("abcde\n|\n| x |yz") - 1, 0, "ordinary");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

static void test_jsonl(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
    const char *path = scratch_text("a.jsonl", "{\"text\":\" abcdef\\n\"}\n{\"text\":\"ghij\"}\n{\"text\":\"  \"}\n");
    Corpus corpus = opened(path, plain, (CorpusOptions){ .protocol = "documents" });
    expect_shape(&corpus, "documents", 2, 2, 8, 0, "ordinary");
    expect_segment(&corpus, 0, 0, "abcde", "bcdef");
    expect_segment(&corpus, 1, 1, "ghi", "hij");
    corpus_free(&corpus);
    corpus = opened(path, plain, (CorpusOptions){ .protocol = "hf", .context = 18 });       /* 8 + 2 + 4 + 2 + 2 bytes */
    expect_shape(&corpus, "hf", 1, 1, 17, 0, "ordinary");
    expect_segment(&corpus, 0, 0, " abcdef\n\n\nghij\n\n ", "abcdef\n\n\nghij\n\n  ");
    corpus_free(&corpus);
    corpus = opened(path, plain, (CorpusOptions){ .protocol = "llama.cpp", .context = 18 });
    expect_segment(&corpus, 0, 0, " abcdef\n\n\nghij\n\n ", ".........ghij\n\n  ");
    corpus_free(&corpus);
    corpus = opened(scratch_text("newline.jsonl", "{\"text\":\"abcd\\n\"}"), plain, (CorpusOptions){ .protocol = "llama.cpp", .context = 5 });
    expect_segment(&corpus, 0, 0, "abcd", "..d\n");
    corpus_free(&corpus);
    corpus = opened(path, plain, (CorpusOptions){ .protocol = "gptq", .context = 7, .seed = 3 });
    expect_shape(&corpus, "gptq", 256, 256, 256 * 6, 0, "ordinary");
    for (int w = 0; w < 256; w++) expect_segment(&corpus, w, w, " abcde", "abcdef");        /* the one that is longer, its only start */
    corpus_free(&corpus);
    tokenizer_close(&plain);
}

static void test_ids(void **state)
{
    (void)state;
    const char *path = scratch_text("a.ids", "65 66,67,68 69\n\n70 71\n");
    Corpus corpus = opened(path, NULL, (CorpusOptions){ .vocabulary = 72, .model_context = 3 });
    expect_shape(&corpus, "documents", 2, 3, 5, 0, "ordinary");
    assert_int_equal(corpus.context, 3);
    expect_segment(&corpus, 0, 0, "ABC", "BCD");
    expect_segment(&corpus, 1, 0, "D", "E");
    expect_segment(&corpus, 2, 1, "F", "G");
    corpus_free(&corpus);
    corpus = opened(path, NULL, (CorpusOptions){ .windows = 1, .model_context = 4096 });
    expect_shape(&corpus, "documents", 1, 1, 4, 0, "ordinary");
    assert_int_equal(corpus.context, 512);
    corpus_free(&corpus);
    Tokenizer *adds = byte_tokenizer(true);
    corpus = opened(path, adds, (CorpusOptions){ .context = 8 });
    expect_shape(&corpus, "documents", 2, 2, 5, 0, "ordinary");
    corpus_free(&corpus);
    corpus = opened(scratch_text("b.ids", "65 66\n70"), adds, (CorpusOptions){ .context = 8, .bos = BOS_YES });
    expect_shape(&corpus, "documents", 2, 2, 3, 1, "bos");
    expect_segment(&corpus, 0, 0, "^A", "AB");
    expect_segment(&corpus, 1, 1, "^", "F");
    corpus_free(&corpus);
    tokenizer_close(&adds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf),
        cmocka_unit_test(test_llama_cpp),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
