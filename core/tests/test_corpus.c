/* corpus_open: files under every protocol with a tokenizer of bytes, whole texts against Python's digests, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/tests/scratch.h"
#include "core/text/corpus.h"

enum { BOS = 256, MARK = 257, VOCABULARY = 258 };

/* ---- a byte-level tokenizer: the id of a byte is the byte -------------------------------------- */

/* GPT-2's letter for a byte: itself where it prints, otherwise the next one from 256 on. */
static int letter_of(int byte)
{
    int next = 256;
    for (int b = 0; b < 256; b++) {
        bool prints = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return prints ? b : next;
        next += !prints;
    }
    return -1;
}

static json_t *special_token(int id, const char *content)
{
    return json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", content, "single_word", 0, "lstrip", 0, "rstrip", 0,
                     "normalized", 0, "special", 1);
}

static void dump(json_t *object, const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(json_dump_file(object, path, 0), 0);
    json_decref(object);
}

static Tokenizer *byte_tokenizer(bool adds_bos)
{
    const char *folder = scratch_path(adds_bos ? "adds" : "plain");
    mkdir(folder, 0700);
    json_t *vocabulary = json_object();
    for (int b = 0; b < 256; b++) {
        int c = letter_of(b);
        char utf8[3] = { (char)c };
        if (c >= 128) utf8[0] = (char)(0xc0 | c >> 6), utf8[1] = (char)(0x80 | (c & 0x3f));
        json_object_set_new(vocabulary, utf8, json_integer(b));
    }
    json_t *byte_level = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1);
    json_t *front = json_pack("{s:s,s:[{s:{s:s,s:i}},{s:{s:s,s:i}}],s:[],s:{s:{s:s,s:[i],s:[s]}}}", "type", "TemplateProcessing", "single",
                              "SpecialToken", "id", "<s>", "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair",
                              "special_tokens", "<s>", "id", "<s>", "ids", BOS, "tokens", "<s>");
    dump(json_pack("{s:s,s:[o,o],s:n,s:O,s:o,s:o,s:{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:o,s:[]}}", "version", "1.0",
                   "added_tokens", special_token(BOS, "<s>"), special_token(MARK, "<|endoftext|>"), "normalizer",
                   "pre_tokenizer", byte_level, "post_processor", adds_bos ? json_incref(front) : json_null(), "decoder", byte_level,
                   "model", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", 0, "byte_fallback", 0, "vocab", vocabulary, "merges"), folder, "tokenizer.json");
    dump(json_pack("{s:s,s:b,s:s}", "bos_token", "<s>", "add_bos_token", adds_bos, "tokenizer_class", "PreTrainedTokenizerFast"),
         folder, "tokenizer_config.json");
    json_decref(front);
    Tokenizer *tokenizer = NULL;
    int status = tokenizer_open(&tokenizer, folder);
    if (status != OK) print_error("%s\n", err_last());
    assert_int_equal(status, OK);
    return tokenizer;
}

/* ---- expectations ------------------------------------------------------------------------------ */

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

static Corpus opened(const char *path, const Tokenizer *tokenizer, CorpusOptions options)
{
    Corpus corpus;
    int status = corpus_open(&corpus, path, tokenizer, &options);
    if (status != OK) print_error("%s\n", err_last());
    assert_int_equal(status, OK);
    return corpus;
}

static void refuse(const char *path, const Tokenizer *tokenizer, CorpusOptions options, int code, const char *sentence)
{
    Corpus corpus = { .n_windows = 42 };
    assert_int_equal(corpus_open(&corpus, path, tokenizer, &options), code);
    assert_int_equal(corpus.n_windows, 42);
    assert_string_equal(err_last(), sentence);
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

static void test_refused_options(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
#define OPTIONS(...) plain, (CorpusOptions){ __VA_ARGS__ }, ERR_ARGUMENT
    refuse("a.txt", OPTIONS(.protocol = "lama.cpp"), "unknown protocol 'lama.cpp'; did you mean 'llama.cpp'?");
    refuse("a.txt", OPTIONS(.protocol = "wikitext"), "unknown protocol 'wikitext'; there are hf, llama.cpp, documents and gptq");
    refuse("a.ids", OPTIONS(.protocol = "hf"), "a.ids: protocol hf needs text; the lines of an .ids file are windows already (protocol documents)");
    refuse("a.txt", OPTIONS(.context = 513, .model_context = 512), "context 513 is longer than the model's 512");
    refuse("a.txt", OPTIONS(.context = 1), "context 1 leaves nothing to score; protocol hf needs at least 2");
    refuse("a.txt", OPTIONS(.context = -5), "context -5 leaves nothing to score; protocol hf needs at least 2");
    refuse("a.txt", OPTIONS(.protocol = "llama.cpp", .context = 2), "context 2 leaves nothing to score; protocol llama.cpp needs at least 3");
    refuse("a.txt", OPTIONS(.windows = -1), "-1 windows; give a positive number, or 0 for all");
    refuse("a.txt", OPTIONS(.protocol = "documents", .separator = ""), "the separator of documents is empty");
    refuse("a.txt", OPTIONS(.protocol = "gptq"), "a.txt: protocol gptq draws documents; give a .jsonl or .jsonl.gz file, one document a line");
    refuse("a.txt", NULL, (CorpusOptions){ 0 }, ERR_ARGUMENT, "a.txt: the model has no tokenizer to read text with; give token ids in an .ids file");
    refuse("a.ids", NULL, (CorpusOptions){ .bos = BOS_YES }, ERR_ARGUMENT, "a.ids: BOS is asked for, but without a tokenizer it is not known; set bos to no or auto");
    tokenizer_close(&plain);
}

static void refuse_file(const char *name, const char *text, const Tokenizer *tokenizer, CorpusOptions options, const char *rest)
{
    const char *path = scratch_text(name, text);
    char *sentence = xformat("%s%s", path, rest);
    refuse(path, tokenizer, options, ERR_FORMAT, sentence);
    free(sentence);
}

static void test_refused_files(void **state)
{
    (void)state;
    Tokenizer *plain = byte_tokenizer(false);
    CorpusOptions options = { .vocabulary = VOCABULARY };
    refuse_file("short.txt", "seven b", plain, options, ": 7 tokens do not fill one context of 512; give a longer text or a smaller context");
    refuse_file("empty.txt", "", plain, options, ": is empty");
    refuse_file("white.txt", " \n", plain, options, ": holds nothing but white space");
    refuse_file("bad.jsonl", "{\"text\":\"a\"}\n{", plain, options, ":2: invalid JSON at column 1: string or '}' expected");
    refuse_file("bad.ids", "1 2\n3 258", NULL, options, ":2: token id 258 is not below the vocabulary of 258");
    refuse_file("one.ids", "1 2\n3\n", NULL, options, ":2: a single token id predicts nothing; a line needs at least 2");
    options.protocol = "documents";
    refuse_file("letters.txt", "a<|endoftext|>b", plain, options, ": no document has two tokens, so there is nothing to predict");
    options.protocol = "llama.cpp";
    refuse_file("newline.txt", "abc\n", plain, options, ": 3 tokens do not fill one context of 512; give a longer text or a smaller context");
    options = (CorpusOptions){ .protocol = "gptq", .context = 4 };
    refuse_file("short.jsonl", "{\"text\":\"abc\"}\n{\"text\":\"abcd\"}", plain, options,
                ": none of 2 documents is longer than the context of 4 tokens, the longest has 4; give a smaller context or longer documents");
    options = (CorpusOptions){ .vocabulary = 120, .context = 2 };
    refuse_file("x.txt", "ax", plain, options, ": the tokenizer gives token id 120, but the model's vocabulary has 120; is the tokenizer another model's?");
    char *sentence = xformat("%s: is a directory; give a text, .jsonl or .ids file", scratch_folder);
    refuse(scratch_folder, plain, options, ERR_FILE, sentence);
    free(sentence);
    tokenizer_close(&plain);
}

/* ---- whole texts, where LINEARITY_DATA has them ------------------------------------------------ */

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

static int clean(void **state)
{
    (void)state;
    scratch_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf), cmocka_unit_test(test_llama_cpp), cmocka_unit_test(test_documents), cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_ids), cmocka_unit_test(test_refused_options), cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_wiki), cmocka_unit_test(test_c4), cmocka_unit_test(test_stories),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
