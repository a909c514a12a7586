/* corpus_open: whole texts, where LINEARITY_DATA has them, against Python's digests and counts. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/corpus_files.h"
#include "core/tests/scratch.h"
#include "core/text/corpus.h"

/* A path in the data folder; skips the test where it is not there. */
static const char *data_path(const char *name)
{
    static char path[4][4096];
    static int next;
    const char *folder = getenv("LINEARITY_DATA");
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/%s", folder ? folder : "", name);
    if (folder && *folder && access(out, R_OK) == 0) return out;
    printf("SKIPPED: LINEARITY_DATA has no %s\n", name);
    skip();
    return NULL;
}

static json_t *golden(const char *name)
{
    json_error_t error;
    json_t *root = json_load_file(name, 0, &error);
    assert_non_null(root);
    return root;
}

static void expect_digest(const json_t *root, const char *name, const char *path, const Tokenizer *tokenizer, CorpusOptions options)
{
    Corpus corpus = opened(path, tokenizer, options);
    assert_string_equal(corpus.hash, json_string_value(json_object_get(json_object_get(root, "texts"), name)));
    corpus_free(&corpus);
}

/* The ids of the first window as the reference tokenizer gives them, under both protocols. */
static void expect_first_window(const char *path, const Tokenizer *tokenizer)
{
    json_t *root = golden("core/tests/golden/smollm2.json");
    const json_t *ids = json_object_get(json_object_get(root, "hf"), "ids_window0");
    for (int k = 0; k < 2; k++) {
        Corpus corpus = opened(path, tokenizer, (CorpusOptions){ .protocol = k ? "llama.cpp" : "hf", .bos = k ? BOS_YES : BOS_AUTO });
        assert_int_equal(corpus.n_windows, json_integer_value(json_object_get(root, "ids_total")) / 512);
        assert_int_equal(corpus.tokens[0], k ? 255 : 511);
        for (int t = 0; t < 511; t++) {
            if (t || !k) assert_int_equal(corpus.segment[0].inputs[t], json_integer_value(json_array_get(ids, (size_t)t)));
            if (t >= 256 || !k) assert_int_equal(corpus.segment[0].targets[t], json_integer_value(json_array_get(ids, (size_t)t + 1)));
        }
        if (k) assert_int_equal(corpus.segment[0].inputs[0], tokenizer_bos(tokenizer));
        corpus_free(&corpus);
    }
    json_decref(root);
}

static void test_wiki(void **state)
{
    (void)state;
    const char *model = data_path("data/tokenizers/smollm2/tokenizer.json"), *wiki = data_path("data/text/wiki.test.raw");
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(&tokenizer, model), OK);
    expect_first_window(wiki, tokenizer);
    json_t *root = golden("core/tests/golden/corpus.json");
    expect_digest(root, "wiki hf", wiki, tokenizer, (CorpusOptions){ .vocabulary = 49152, .model_context = 8192 });
    expect_digest(root, "wiki hf 4", wiki, tokenizer, (CorpusOptions){ .windows = 4 });
    expect_digest(root, "wiki hf bos", wiki, tokenizer, (CorpusOptions){ .bos = BOS_YES });
    expect_digest(root, "wiki llama.cpp bos", wiki, tokenizer, (CorpusOptions){ .protocol = "llama.cpp", .bos = BOS_YES });
    Corpus corpus = opened(wiki, tokenizer, (CorpusOptions){ .context = 8192, .model_context = 8192 });
    assert_int_equal(corpus.n_windows, 303415 / 8192);
    corpus_free(&corpus);
    char *sentence = xformat("%s: 303415 tokens do not fill one context of 303416; give a longer text or a smaller context", wiki);
    refuse(wiki, tokenizer, (CorpusOptions){ .context = 303416 }, ERR_FORMAT, sentence);
    free(sentence);
    json_decref(root);
    tokenizer_close(&tokenizer);
}

/* Each line of the text as a JSON object. */
static const char *jsonl_from_lines(const char *name, const char *path)
{
    const char *made = scratch_path(name);
    FILE *in = fopen(path, "r"), *out = fopen(made, "w");
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, in)) > 0;) {
        if (line[n - 1] == '\n') n--;
        if (n == 0) continue;
        json_t *object = json_pack("{s:s#}", "text", line, (int)n);
        assert_non_null(object);
        json_dumpf(object, out, JSON_ENSURE_ASCII);
        fputc('\n', out);
        json_decref(object);
    }
    free(line);
    fclose(in);
    fclose(out);
    return made;
}

static void test_c4(void **state)
{
    (void)state;
    const char *model = data_path("data/tokenizers/smollm2/tokenizer.json"), *c4 = data_path("data/text/c4-sample.txt");
    Tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(&tokenizer, model), OK);
    json_t *root = golden("core/tests/golden/corpus.json");
    expect_digest(root, "c4 hf", c4, tokenizer, (CorpusOptions){ 0 });
    const char *lines = jsonl_from_lines("c4.jsonl", c4);
    expect_digest(root, "c4 gptq", lines, tokenizer, (CorpusOptions){ .protocol = "gptq" });
    Corpus corpus = opened(lines, tokenizer, (CorpusOptions){ .protocol = "documents" });
    assert_int_equal(corpus.n_windows, json_integer_value(json_object_get(root, "c4_documents")));
    corpus_free(&corpus);
    json_decref(root);
    tokenizer_close(&tokenizer);
}

/* 317 stories: the numbers of tokens that llama2.c-style evaluations of these models report. */
static void test_stories(void **state)
{
    (void)state;
    static const struct { const char *model; int context, vocabulary; int64_t scored; } known[] = {
        { "models/stories260K", 512, 512, 129900 }, { "models/babyllama", 256, 361, 256399 },
    };
    const char *text = data_path("data/text/tinystories-sample.txt");
    for (int i = 0; i < 2; i++) {
        Tokenizer *tokenizer;
        assert_int_equal(tokenizer_open(&tokenizer, data_path(known[i].model)), OK);
        Corpus corpus = opened(text, tokenizer, (CorpusOptions){ .protocol = "documents", .model_context = known[i].context, .vocabulary = known[i].vocabulary });
        assert_int_equal(corpus.n_windows, 317);
        assert_int_equal(corpus.n_scored, known[i].scored);
        assert_int_equal(corpus.longest, known[i].context);
        assert_string_equal(corpus.first_token, "bos");
        corpus_free(&corpus);
        tokenizer_close(&tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wiki),
        cmocka_unit_test(test_c4),
        cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
