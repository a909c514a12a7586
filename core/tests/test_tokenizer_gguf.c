/* Vocabularies in GGUF files made here: ids worked out by hand, and one sentence for each that cannot be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "core/base/err.h"
#include "core/tests/model_files.h"
#include "core/text/tokenizer.h"

/* What goes into the file; a NULL leaves its key out. */
typedef struct {
    const char *model, *pre;
    const char *const *tokens;      /* [n] */
    const float *scores;
    const uint32_t *types;
    int n, n_scores;
    const char *merges[4];          /* up to the first NULL */
    bool no_merges;
    int bos, adds_bos, space_prefix;        /* -1: no such key */
} Vocabulary;

enum { GGUF_U32 = 4, GGUF_F32 = 6, GGUF_BOOL = 7, GGUF_STRING = 8, GGUF_ARRAY = 9 };

static void put_array(GgufWriter *writer, const char *key, uint32_t kind, int n, const void *values, size_t size)
{
    gguf_put(writer, key, GGUF_ARRAY, &kind, sizeof kind);
    bytes_u64(&writer->pairs, (uint64_t)n);
    bytes_add(&writer->pairs, values, (size_t)n * size);
}

static void put_strings(GgufWriter *writer, const char *key, int n, const char *const *texts)
{
    put_array(writer, key, GGUF_STRING, n, NULL, 0);
    for (int i = 0; i < n; i++) gguf_put_text(&writer->pairs, texts[i]);
}

static void put_bool(GgufWriter *writer, const char *key, int value)
{
    unsigned char byte = value != 0;
    if (value >= 0) gguf_put(writer, key, GGUF_BOOL, &byte, 1);
}

static char *write_vocabulary(const char *folder, const Vocabulary *v)
{
    GgufWriter writer = { 0 };
    int n_merges = 0;
    while (n_merges < 4 && v->merges[n_merges]) n_merges++;
    if (v->model) gguf_put_string(&writer, "tokenizer.ggml.model", v->model);
    if (v->pre) gguf_put_string(&writer, "tokenizer.ggml.pre", v->pre);
    if (v->tokens) put_strings(&writer, "tokenizer.ggml.tokens", v->n, v->tokens);
    if (v->scores) put_array(&writer, "tokenizer.ggml.scores", GGUF_F32, v->n_scores ? v->n_scores : v->n, v->scores, sizeof *v->scores);
    if (v->types) put_array(&writer, "tokenizer.ggml.token_type", GGUF_U32, v->n, v->types, sizeof *v->types);
    if (!v->no_merges) put_strings(&writer, "tokenizer.ggml.merges", n_merges, v->merges);
    if (v->bos >= 0) gguf_put_u32(&writer, "tokenizer.ggml.bos_token_id", (uint32_t)v->bos);
    put_bool(&writer, "tokenizer.ggml.add_bos_token", v->adds_bos);
    put_bool(&writer, "tokenizer.ggml.add_space_prefix", v->space_prefix);
    Bytes file = gguf_finish(&writer, 3);
    char *path = xformat("%s/vocabulary.gguf", folder);
    bytes_write(&file, path);
    bytes_free(&file);
    return path;
}

static int open_vocabulary(Tokenizer **out, const Vocabulary *v)
{
    char *folder = folder_make(), *path = write_vocabulary(folder, v);
    int status = tokenizer_open(out, path);
    if (status != OK) assert_non_null(strstr(err_last(), path));
    free(path);
    folder_remove(folder);
    return status;
}

static void expect_ids(const Tokenizer *tokenizer, const char *text, bool specials, int n, const int32_t *want)
{
    Ids ids = { 0 };
    assert_int_equal(tokenizer_encode(&ids, tokenizer, text, strlen(text), specials), OK);
    bool same = ids.n == n && (n == 0 || memcmp(ids.id, want, (size_t)n * sizeof *want) == 0);
    for (int64_t i = 0; !same && i < ids.n; i++) print_message("%d ", ids.id[i]);
    if (!same) fail_msg("ids of \"%s\"", text);
    ids_free(&ids);
}
#define EXPECT(tokenizer, text, ...) \
    expect_ids(tokenizer, text, true, (int)(sizeof((int32_t[]){ __VA_ARGS__ }) / sizeof(int32_t)), (int32_t[]){ __VA_ARGS__ })

/* Byte alphabet: \u0120 is a blank, \u00c3 \u00a9 are c3 a9, \u00cc \u0123 are cc 81. */
static const char *const byte_tokens[] = { "<s>", "a", "b", "\u0120", "ab", "1", "2", "12", "\u00c3", "\u00a9", "e", "\u00cc", "\u0123", "<u>", "." };
static const uint32_t byte_types[] = { 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1 };
static const Vocabulary byte_level = { .model = "gpt2", .tokens = byte_tokens, .types = byte_types, .n = 15,
                                       .merges = { "a b", "1 2" }, .bos = 0, .adds_bos = -1, .space_prefix = -1 };

static Tokenizer *open_pre(const char *pre)
{
    Vocabulary v = byte_level;
    Tokenizer *tokenizer = NULL;
    v.pre = pre;
    if (open_vocabulary(&tokenizer, &v) != OK) fail_msg("%s", err_last());
    return tokenizer;
}

static void test_pretokenizers(void **state)
{
    (void)state;
    Tokenizer *t = open_pre("smollm");
    EXPECT(t, "ab 12<s><u>", 4, 3, 5, 6, 0, 13);            /* single digits; a special and a user's token */
    EXPECT(t, "e\u0301", 10, 11, 12);
    assert_false(tokenizer_adds_bos(t));
    assert_true(tokenizer_is_special(t, 0));
    assert_false(tokenizer_is_special(t, 13));
    tokenizer_close(&t);
    t = open_pre("gpt-2");
    EXPECT(t, "ab 1212", 4, 3, 7, 7);
    tokenizer_close(&t);
    t = open_pre("qwen2");
    EXPECT(t, "e\u0301 12", 8, 9, 3, 5, 6);                 /* NFC, single digits */
    tokenizer_close(&t);
    t = open_pre("llama-bpe");
    EXPECT(t, "2121212", 6, 7, 7, 5, 6);                    /* 212, 121, 2 */
    assert_true(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_bos(t), 0);
    tokenizer_close(&t);
    for (int named = 0; named < 2; named++) {
        t = open_pre(named ? "default" : NULL);
        EXPECT(t, "ab.a 12", 4, 14, 1, 3, 7);
        tokenizer_close(&t);
    }
}

static const char *const pieces[] = { "<unk>", "<s>", "</s>", "<0xC3>", "<0xA9>", "\u2581", "a", "b", "ab", "ba", "\u2581a", "aba", "bb" };
static const float scores[] = { 0, 0, 0, 0, 0, -9, -9, -9, -1, -1, -2, -0.5f, 0 };
static const uint32_t piece_types[] = { 2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 3 };
static const Vocabulary sentencepiece = { .model = "llama", .tokens = pieces, .scores = scores, .types = piece_types, .n = 13,
                                          .no_merges = true, .bos = -1, .adds_bos = -1, .space_prefix = -1 };

static void test_sentencepiece(void **state)
{
    (void)state;
    Tokenizer *t = NULL;
    assert_int_equal(open_vocabulary(&t, &sentencepiece), OK);
    EXPECT(t, "ab", 5, 8);              /* ab (-1) before _a (-2)                             */
    EXPECT(t, "aba", 5, 11);            /* ab and ba have one score: the left one, then aba   */
    EXPECT(t, "baba", 5, 9, 9);
    EXPECT(t, "a\u00e9\u00fc", 10, 3, 4, 0);
    EXPECT(t, "</s> <s>a", 2, 5, 5, 1, 10);
    EXPECT(t, "bb", 12);
    expect_ids(t, "bb", false, 3, (int32_t[]){ 5, 7, 7 });      /* merging does not make control tokens */
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_adds_bos(t));
    size_t n;
    assert_memory_equal(tokenizer_decode(t, 10, &n), " a", 2);
    assert_memory_equal(tokenizer_decode(t, 3, &n), "\xc3", 1);
    assert_int_equal(n, 1);
    tokenizer_close(&t);

    Vocabulary bare = sentencepiece;
    bare.space_prefix = 0;
    bare.adds_bos = 0;
    assert_int_equal(open_vocabulary(&t, &bare), OK);
    EXPECT(t, "ab a", 8, 10);
    assert_false(tokenizer_adds_bos(t));
    tokenizer_close(&t);
}

static void expect_refusal(const Vocabulary *v, int code, const char *says)
{
    Tokenizer *tokenizer = NULL;
    int found = open_vocabulary(&tokenizer, v);
    if (found != code || !strstr(err_last(), says)) fail_msg("%d and \"%s\" instead of \"%s\"", found, err_last(), says);
    assert_null(tokenizer);
}

static void test_refusals(void **state)
{
    (void)state;
    Vocabulary v = byte_level;
    expect_refusal((v.model = NULL, &v), ERR_FORMAT, "no tokenizer");
    expect_refusal((v.model = "bert", &v), ERR_UNSUPPORTED, "'bert'");
    v = byte_level;
    expect_refusal((v.pre = "tekken", &v), ERR_UNSUPPORTED, "'tekken'");
    v = byte_level;
    expect_refusal((v.tokens = NULL, &v), ERR_FORMAT, "no vocabulary");
    v = byte_level;
    expect_refusal((v.no_merges = true, &v), ERR_FORMAT, "no merges");
    v = byte_level;
    expect_refusal((v.merges[1] = "b a", &v), ERR_FORMAT, "merge 1 ('b' with 'a') needs the token 'ba'");
    expect_refusal((v.merges[1] = "b", &v), ERR_FORMAT, "is not two tokens");
    v = byte_level;
    expect_refusal((v.bos = 15, &v), ERR_FORMAT, "bos_token_id is 15, outside");
    v = byte_level;
    v.bos = -1;
    expect_refusal((v.adds_bos = 1, &v), ERR_FORMAT, "no tokenizer.ggml.bos_token_id");
    v = byte_level;
    v.types = (const uint32_t[15]){ 7 };
    expect_refusal(&v, ERR_UNSUPPORTED, "token 0 is of type 7");
    v = sentencepiece;
    expect_refusal((v.scores = NULL, &v), ERR_FORMAT, "no number for token 0");
    v = sentencepiece;
    expect_refusal((v.n_scores = 12, &v), ERR_FORMAT, "no number for token 12");
    v = sentencepiece;
    v.scores = (const float[13]){ 0, NAN };
    expect_refusal(&v, ERR_FORMAT, "no number for token 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pretokenizers),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
