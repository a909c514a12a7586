/* test_corpus_task.c - protocols choices and answers, and windows left out: what is input and what is scored, with a tokenizer of bytes */
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

static const char two_items[] =
    "{\"context\": \"Why?\", \"choices\": [\" so\", \" caf\\u00e9\", \" no\"], \"label\": 2}\n"
    "{\"context\": \"ab \", \"choices\": [\"c\", \"de\"], \"label\": 0}\n";

/* The inputs of a window as text, BOS as ^, then the targets, not scored as a dot. */
static void expect_window(const Corpus *corpus, int w, const char *inputs, const char *targets)
{
    char got[2][64] = { { 0 } };
    const Segment *segment = &corpus->segment[w];
    assert_true(w < corpus->n_segments && segment->length < 64);
    assert_int_equal(segment->window, w);
    for (int t = 0; t < segment->length; t++) {
        int in = segment->inputs[t], out = segment->targets[t];
        got[0][t] = (char)(in == BOS ? '^' : in);
        got[1][t] = (char)(out < 0 ? '.' : out);
    }
    assert_string_equal(got[0], inputs);
    assert_string_equal(got[1], targets);
}

static void test_choices(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    const char *path = scratch_text("two.jsonl", two_items);
    Corpus corpus = opened(path, plain, (CorpusOptions){ .protocol = "choices", .vocabulary = VOCABULARY, .model_context = 4096 });
    assert_string_equal(corpus.protocol, "choices");
    assert_int_equal(corpus.n_windows, 5);
    assert_int_equal(corpus.context, 4096);
    assert_int_equal(corpus.shortened, 0);
    expect_window(&corpus, 0, "Why? s", "... so");
    expect_window(&corpus, 1, "Why? caf\xc3", "... caf\xc3\xa9");
    expect_window(&corpus, 2, "Why? n", "... no");
    expect_window(&corpus, 3, "ab ", ". c");                            /* the blank counts with the choice */
    expect_window(&corpus, 4, "ab d", ". de");
    const int64_t tokens[] = { 3, 6, 3, 2, 3 };
    const int first[] = { 0, 3, 5 }, length[] = { 2, 4, 2, 1, 2 };
    const CorpusTask *task = corpus.task;
    assert_non_null(task);
    assert_string_equal(task->format, "context and choices");
    assert_int_equal(task->n_items, 2);
    assert_memory_equal(task->first, first, sizeof first);
    assert_memory_equal(task->length, length, sizeof length);
    assert_memory_equal(corpus.tokens, tokens, sizeof tokens);
    assert_true(task->label[0] == 2 && task->label[1] == 0);
    corpus_free(&corpus);
    corpus_free(&corpus);
    corpus = opened(path, adds, (CorpusOptions){ .protocol = "choices", .windows = 1 });
    assert_int_equal(corpus.n_windows, 3);
    assert_int_equal(corpus.task->n_items, 1);
    assert_string_equal(corpus.first_token, "bos");
    expect_window(&corpus, 0, "^Why? s", ".... so");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

static void test_answers(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    Corpus corpus = opened(scratch_text("two.jsonl", two_items), plain, (CorpusOptions){ .protocol = "answers" });
    assert_null(corpus.task);
    assert_int_equal(corpus.n_windows, 2);
    expect_window(&corpus, 0, "Why? n", "hy? no");
    expect_window(&corpus, 1, "ab ", "b c");
    corpus_free(&corpus);
    corpus = opened(scratch_text("gsm8k.jsonl", "{\"question\": \"1+1?\", \"answer\": \"2\\n#### 2\"}\n"), adds, (CorpusOptions){ .protocol = "answers" });
    expect_window(&corpus, 0, "^Question: 1+1?\nAnswer: 2\n#### ", "Question: 1+1?\nAnswer: 2\n#### 2");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

/* What is too long loses its beginning; an empty context is BOS, whether the tokenizer adds it or not. */
static void test_limits(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false), *adds = byte_tokenizer(true);
    const char *path = scratch_text("two.jsonl", two_items), *empty = scratch_text("empty.jsonl", "{\"context\": \" \", \"choices\": [\"a\", \"bc\"], \"label\": 0}\n");
    Corpus corpus = opened(path, plain, (CorpusOptions){ .protocol = "choices", .context = 6 });
    assert_int_equal(corpus.shortened, 1);
    assert_int_equal(corpus.context, 6);
    expect_window(&corpus, 0, "Why? s", "... so");
    expect_window(&corpus, 1, "? caf\xc3", " caf\xc3\xa9");
    corpus_free(&corpus);
    corpus = opened(path, adds, (CorpusOptions){ .protocol = "answers", .context = 4 });
    assert_int_equal(corpus.shortened, 1);
    expect_window(&corpus, 0, "y? n", "? no");
    expect_window(&corpus, 1, "^ab ", "ab c");
    corpus_free(&corpus);
    corpus = opened(path, plain, (CorpusOptions){ .protocol = "answers", .context = 1 });
    expect_window(&corpus, 0, "n", "o");
    corpus_free(&corpus);
    corpus = opened(empty, plain, (CorpusOptions){ .protocol = "choices" });
    assert_int_equal(corpus.bos, 0);
    expect_window(&corpus, 0, "^ ", " a");
    expect_window(&corpus, 1, "^ b", " bc");
    corpus_free(&corpus);
    corpus = opened(empty, adds, (CorpusOptions){ .protocol = "choices" });
    expect_window(&corpus, 1, "^ b", " bc");
    corpus_free(&corpus);
    tokenizer_close(&plain);
    tokenizer_close(&adds);
}

/* The same text without its first windows, whatever the protocol. */
static void expect_tail(const char *path, const Tokenizer *tokenizer, CorpusOptions options, int skip, int skipped_windows)
{
    Corpus all = opened(path, tokenizer, options);
    options.skip = skip;
    if (options.windows) options.windows -= skip;
    Corpus tail = opened(path, tokenizer, options);
    assert_int_equal(tail.n_windows, all.n_windows - skipped_windows);
    int first = 0;
    while (all.segment[first].window < skipped_windows) first++;
    assert_int_equal(tail.n_segments, all.n_segments - first);
    for (int s = 0; s < tail.n_segments; s++) {
        const Segment *a = &all.segment[first + s], *b = &tail.segment[s];
        assert_int_equal(b->window, a->window - skipped_windows);
        assert_int_equal(b->length, a->length);
        assert_int_equal(b->first_scored, a->first_scored);
        assert_memory_equal(b->inputs, a->inputs, (size_t)a->length * sizeof *a->inputs);
        assert_memory_equal(b->targets, a->targets, (size_t)a->length * sizeof *a->targets);
    }
    assert_memory_equal(tail.tokens, all.tokens + skipped_windows, (size_t)tail.n_windows * sizeof *tail.tokens);
    assert_int_equal(tail.task != NULL, all.task != NULL);
    assert_string_not_equal(tail.hash, all.hash);
    corpus_free(&all);
    corpus_free(&tail);
}

static void test_skip(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
    const char *words = scratch_text("a.txt", "abcdefghijklmnopqrst"), *lines = scratch_text("a.jsonl", "{\"text\":\"abcdef\"}\n{\"text\":\"ghij\"}\n{\"text\":\"klm\"}\n");
    const char *task = scratch_text("two.jsonl", two_items);
    expect_tail(words, plain, (CorpusOptions){ .protocol = "hf", .context = 4 }, 2, 2);
    expect_tail(words, plain, (CorpusOptions){ .protocol = "hf", .context = 4, .windows = 4 }, 3, 3);
    expect_tail(words, plain, (CorpusOptions){ .protocol = "llama.cpp", .context = 4 }, 1, 1);
    expect_tail(lines, plain, (CorpusOptions){ .protocol = "documents", .context = 3 }, 1, 1);
    expect_tail(lines, plain, (CorpusOptions){ .protocol = "gptq", .context = 3, .windows = 9, .seed = 1 }, 4, 4);
    expect_tail(scratch_text("a.ids", "65 66 67\n68 69\n70 71\n"), NULL, (CorpusOptions){ .context = 8 }, 2, 2);
    expect_tail(task, plain, (CorpusOptions){ .protocol = "choices" }, 1, 3);
    expect_tail(task, plain, (CorpusOptions){ .protocol = "answers" }, 1, 1);
    Corpus corpus = opened(task, plain, (CorpusOptions){ .protocol = "choices", .skip = 1 });
    assert_true(corpus.task->n_items == 1 && corpus.task->first[1] == 2 && corpus.task->label[0] == 0 && corpus.task->length[1] == 2);
    corpus_free(&corpus);
    corpus = opened(lines, plain, (CorpusOptions){ .protocol = "gptq", .context = 3, .skip = 5 });
    assert_int_equal(corpus.n_windows, 256);
    corpus_free(&corpus);
    tokenizer_close(&plain);
}

static void refuse_file(const char *name, const char *text, const Tokenizer *tokenizer, CorpusOptions options, int code, const char *rest)
{
    const char *path = scratch_text(name, text);
    char *sentence = xformat("%s%s", path, rest);
    refuse(path, tokenizer, options, code, sentence);
    free(sentence);
}

static void test_refused(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
    const CorpusOptions choices = { .protocol = "choices" }, beyond = { .protocol = "choices", .skip = 2 }, answers = { .protocol = "answers", .skip = 2 };
    refuse_file("two.jsonl", two_items, plain, beyond, ERR_ARGUMENT, ": there are 2 items, and the first 2 of them are to be skipped");
    refuse_file("two.jsonl", two_items, plain, answers, ERR_ARGUMENT, ": there are 2 items, and the first 2 of them are to be skipped");
    refuse_file("a.txt", "abcdefgh", plain, (CorpusOptions){ .context = 4, .skip = 2 }, ERR_ARGUMENT, ": there are 2 windows, and the first 2 of them are to be skipped");
    refuse_file("g.jsonl", "{\"question\": \"a\", \"answer\": \"b\"}\n", plain, choices, ERR_FORMAT, ":1: 1 answer of GSM8K and nothing to choose from; take it as text with protocol answers");
    refuse_file("e.jsonl", "{\"context\": \"a\", \"choices\": [\"b\", \"\"], \"label\": 0}\n", plain, choices, ERR_FORMAT, ":1: choice 2 adds no token to its context, so there is nothing to score");
    refuse_file("two.jsonl", two_items, plain, (CorpusOptions){ .protocol = "choices", .context = 5 }, ERR_ARGUMENT, ":1: choice 2 alone has 6 tokens, more than the context of 5");
    refuse("a.jsonl", plain, (CorpusOptions){ .skip = -1 }, ERR_ARGUMENT, "skip -1; give 0 or a positive number");
    tokenizer_close(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices), cmocka_unit_test(test_answers), cmocka_unit_test(test_limits), cmocka_unit_test(test_skip), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
