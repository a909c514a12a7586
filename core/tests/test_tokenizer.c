/*
 * The tokenizers against the publishers' ids: goldens in core/tests/golden/tokenizers (made with the
 * tokenizers library), vocabularies and texts in LINEARITY_DATA, the default model in LINEARITY_MODEL.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/text/tokenizer.h"

/* The publishers' tokenizers, and llama.cpp's name for their vocabulary where it has test vectors. */
static const struct { const char *name, *vectors; } published[] = {
    { "smollm2", NULL }, { "llama3", "llama-bpe" }, { "llama2", "llama-spm" }, { "qwen2.5", "qwen2" }, { "gpt2", "gpt-2" },
};
enum { N_PUBLISHED = sizeof published / sizeof *published };

/* LINEARITY_DATA/relative, to be freed; NULL where it is not there. */
static char *data_path(const char *relative)
{
    const char *data = getenv("LINEARITY_DATA");
    char *path = data && *data ? xformat("%s/%s", data, relative) : NULL;
    if (path && access(path, R_OK) == 0) return path;
    print_message("SKIPPED: needs %s in the folder LINEARITY_DATA\n", relative);
    free(path);
    return NULL;
}

static Tokenizer *open_data(const char *folder, const char *name)
{
    char *relative = xformat("%s/%s", folder, name), *path = data_path(relative);
    free(relative);
    if (!path) skip();
    Tokenizer *tokenizer = NULL;
    if (tokenizer_open(&tokenizer, path) != OK) fail_msg("%s", err_last());
    free(path);
    return tokenizer;
}

static Tokenizer *open_model(void)
{
    const char *path = getenv("LINEARITY_MODEL");
    Tokenizer *tokenizer = NULL;
    if (!path || access(path, R_OK) != 0) {
        print_message("SKIPPED: LINEARITY_MODEL does not name a file\n");
        skip();
    }
    if (tokenizer_open(&tokenizer, path) != OK) fail_msg("%s", err_last());
    return tokenizer;
}

static json_t *golden(const char *name)
{
    char *path = xformat("core/tests/golden/tokenizers/%s.json", name);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, NULL);
    if (!root) fail_msg("%s cannot be read", path);
    free(path);
    return root;
}

static char *read_whole(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s cannot be read", path);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    char *text = xmalloc(*n + 1);
    assert_int_equal(fread(text, 1, *n, file), *n);
    text[*n] = '\0';
    fclose(file);
    return text;
}

static Ids encode(const Tokenizer *tokenizer, const char *text, size_t n)
{
    Ids ids = { 0 };
    if (tokenizer_encode(&ids, tokenizer, text, n, true) != OK) fail_msg("%s", err_last());
    return ids;
}

static void assert_ids(const Ids *ids, const int64_t *want, int64_t n_want, const char *text)
{
    bool same = ids->n == n_want;
    for (int64_t i = 0; same && i < n_want; i++) same = ids->id[i] == want[i];
    if (same) return;
    for (int64_t i = 0; i < ids->n; i++) print_message("%d ", ids->id[i]);
    print_message("\nwanted: ");
    for (int64_t i = 0; i < n_want; i++) print_message("%lld ", (long long)want[i]);
    fail_msg("ids of \"%s\" differ", text);
}

static void check_strings(const Tokenizer *tokenizer, const json_t *reference)
{
    enum { MOST = 256 };
    size_t i, j;
    json_t *item, *id;
    json_array_foreach(json_object_get(reference, "strings"), i, item) {
        const json_t *text = json_object_get(item, "text");
        int64_t want[MOST], n = 0;
        json_array_foreach(json_object_get(item, "ids"), j, id) {
            assert_true(n < MOST);
            want[n++] = json_integer_value(id);
        }
        Ids ids = encode(tokenizer, json_string_value(text), json_string_length(text));
        assert_ids(&ids, want, n, json_string_value(text));
        ids_free(&ids);
    }
    assert_true(i > 60);
}

static void check_text(const Tokenizer *tokenizer, const json_t *reference, const char *file, const char *text, size_t n)
{
    const json_t *want = json_object_get(json_object_get(reference, "texts"), file);
    const char *with_bos = json_string_value(json_object_get(want, "sha256_with_bos"));
    char digest[HASH_TEXT];
    Ids ids = { 0 };
    ids_push(&ids, tokenizer_bos(tokenizer));
    assert_int_equal(tokenizer_encode(&ids, tokenizer, text, n, true), OK);
    assert_int_equal(ids.n - 1, json_integer_value(json_object_get(want, "ids")));
    hash_bytes(digest, ids.id + 1, (size_t)(ids.n - 1) * sizeof *ids.id);
    assert_string_equal(digest, json_string_value(json_object_get(want, "sha256")));
    hash_bytes(digest, ids.id, (size_t)ids.n * sizeof *ids.id);
    if (with_bos) assert_string_equal(digest, with_bos);
    ids_free(&ids);
}

static void check_texts(const Tokenizer *tokenizer, const json_t *reference)
{
    static const char *const files[] = { "wiki.test.raw", "c4-sample.txt" };
    for (size_t i = 0; i < 2; i++) {
        char *relative = xformat("data/text/%s", files[i]), *path = data_path(relative);
        free(relative);
        if (!path) continue;
        size_t n;
        char *text = read_whole(path, &n);
        check_text(tokenizer, reference, files[i], text, n);
        free(text);
        free(path);
    }
}

static void test_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        Tokenizer *tokenizer = open_data("data/tokenizers", published[i].name);
        json_t *reference = golden(published[i].name);
        check_strings(tokenizer, reference);
        check_texts(tokenizer, reference);
        const json_t *bos = json_object_get(reference, "bos_id");
        assert_int_equal(tokenizer_bos(tokenizer), json_is_integer(bos) ? json_integer_value(bos) : -1);
        assert_int_equal(tokenizer_adds_bos(tokenizer), json_is_true(json_object_get(reference, "tokenizer_adds_bos")));
        assert_int_equal(tokenizer_vocabulary(tokenizer), json_integer_value(json_object_get(reference, "vocab_size")));
        json_decref(reference);
        tokenizer_close(&tokenizer);
    }
}

static void test_default_model(void **state)
{
    (void)state;
    Tokenizer *tokenizer = open_model();
    json_t *reference = golden("smollm2");
    check_strings(tokenizer, reference);
    check_texts(tokenizer, reference);
    assert_int_equal(tokenizer_bos(tokenizer), 1);
    assert_int_equal(tokenizer_eos(tokenizer), 2);
    assert_false(tokenizer_adds_bos(tokenizer));
    assert_int_equal(tokenizer_vocabulary(tokenizer), 49152);
    assert_true(tokenizer_is_special(tokenizer, 2));
    assert_false(tokenizer_is_special(tokenizer, 17));
    json_decref(reference);
    tokenizer_close(&tokenizer);
}

static void test_gguf_gpt2(void **state)
{
    (void)state;
    Tokenizer *tokenizer = open_data("data/tokenizers", "ggml-vocab-gpt-2.gguf");
    json_t *reference = golden("gpt2");
    check_strings(tokenizer, reference);
    check_texts(tokenizer, reference);
    json_decref(reference);
    tokenizer_close(&tokenizer);
}

/* Counts and digests of tinystories-sample.txt by tokenizers 0.23.3. */
static void test_small_models(void **state)
{
    (void)state;
    static const struct { const char *name; int ids; const char *digest; } models[] = {
        { "stories260K", 134726, "054652523746a224a671270e7e807f36d256d739bc1b276187793dac0337d29d" },
        { "babyllama", 261058, "db626c14aa9ad20b6ba7caadcbf175f640b33572ed98f806e65403cad5aaa2d8" },
    };
    char *path = data_path("data/text/tinystories-sample.txt");
    if (!path) skip();
    size_t n;
    char *text = read_whole(path, &n);
    for (int i = 0; i < 2; i++) {
        Tokenizer *tokenizer = open_data("models", models[i].name);
        Ids ids = encode(tokenizer, text, n);
        char digest[HASH_TEXT];
        hash_bytes(digest, ids.id, (size_t)ids.n * sizeof *ids.id);
        assert_int_equal(ids.n, models[i].ids);
        assert_string_equal(digest, models[i].digest);
        assert_int_equal(tokenizer_bos(tokenizer), 1);
        assert_true(tokenizer_adds_bos(tokenizer));
        ids_free(&ids);
        tokenizer_close(&tokenizer);
    }
    free(text);
    free(path);
}

/* *.inp: texts between marker lines; *.out: one line of ids for each. */
static int check_vectors(const Tokenizer *tokenizer, char *texts, char *lines)
{
    static const char marker[] = "\n__ggml_vocab_test__\n";
    int cases = 0;
    for (char *text = texts, *line = lines; text; cases++) {
        char *end = strstr(text, marker), *line_end = strchrnul(line, '\n');
        if (end) *end = '\0';
        int64_t want[512], n = 0;
        for (char *at = line, *next; at < line_end; at = next, n++) {
            want[n] = strtol(at, &next, 10);
            if (next == at || next > line_end) break;
        }
        Ids ids = encode(tokenizer, text, strlen(text));
        assert_ids(&ids, want, n, text);
        ids_free(&ids);
        text = end ? end + strlen(marker) : NULL;
        line = line_end + 1;
    }
    return cases;
}

static void test_llama_cpp_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PUBLISHED; i++) {
        if (!published[i].vectors) continue;
        Tokenizer *tokenizer = open_data("data/tokenizers", published[i].name);
        size_t n;
        char *text[2];
        for (int k = 0; k < 2; k++) {
            char *relative = xformat("data/tokenizers/llama.cpp-vocab-tests/ggml-vocab-%s.gguf.%s", published[i].vectors, k ? "out" : "inp");
            char *path = data_path(relative);
            text[k] = path ? read_whole(path, &n) : xstrdup("");
            free(relative);
            free(path);
        }
        if (*text[0] && *text[1]) assert_int_equal(check_vectors(tokenizer, text[0], text[1]), 47);
        free(text[0]);
        free(text[1]);
        tokenizer_close(&tokenizer);
    }
}

/* The ids' bytes, one after the other, are the text. */
static void test_decode_undoes_encode(void **state)
{
    (void)state;
    static const char *const names[] = { "gpt2", "llama3", "smollm2" };
    char *path = data_path("data/text/c4-sample.txt");
    if (!path) skip();
    size_t n, length;
    char *text = read_whole(path, &n);
    for (int k = 0; k < 3; k++) {
        Tokenizer *tokenizer = open_data("data/tokenizers", names[k]);
        Ids ids = encode(tokenizer, text, n);
        size_t at = 0;
        for (int64_t i = 0; i < ids.n; i++, at += length) {
            const char *piece = tokenizer_decode(tokenizer, ids.id[i], &length);
            assert_true(at + length <= n);
            assert_memory_equal(piece, text + at, length);
        }
        assert_int_equal(at, n);
        ids_free(&ids);
        tokenizer_close(&tokenizer);
    }
    free(text);
    free(path);
}

/* Counts by tokenizers 0.23.3.  Merging that rescans the word would take minutes here. */
static void test_long_runs(void **state)
{
    (void)state;
    static const struct { const char *unit; int repeats, ids; } runs[] = {
        { "a", 200000, 50000 }, { "1", 200000, 200000 }, { ".", 200000, 12500 }, { "\n", 200000, 50000 },
        { "e\xcc\x81", 100000, 300000 }, { "ab", 1000000, 1000000 },
    };
    Tokenizer *tokenizer = open_model();
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        size_t n = strlen(runs[i].unit);
        char *text = xmalloc(n * (size_t)runs[i].repeats);
        for (int k = 0; k < runs[i].repeats; k++) memcpy(text + n * (size_t)k, runs[i].unit, n);
        Ids ids = encode(tokenizer, text, n * (size_t)runs[i].repeats);
        assert_int_equal(ids.n, runs[i].ids);
        ids_free(&ids);
        free(text);
    }
    tokenizer_close(&tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_default_model),
        cmocka_unit_test(test_gguf_gpt2),
        cmocka_unit_test(test_small_models),
        cmocka_unit_test(test_llama_cpp_vectors),
        cmocka_unit_test(test_decode_undoes_encode),
        cmocka_unit_test(test_long_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
