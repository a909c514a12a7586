/*
 * The tokenizers against the publishers' ids: goldens in core/tests/golden/tokenizers (made with the
 * tokenizers library), the vocabularies and texts in LINEARITY_DATA.
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

static const char *const published[] = { "smollm2", "llama3", "llama2", "qwen2.5", "gpt2" };

/* LINEARITY_DATA/relative, to be freed; skips the test where it is not there. */
static char *data_path(const char *relative)
{
    const char *data = getenv("LINEARITY_DATA");
    char *path = xformat("%s/%s", data ? data : "", relative);
    if (!data || !*data || access(path, R_OK) != 0) {
        print_message("SKIPPED: needs %s in the folder LINEARITY_DATA\n", relative);
        free(path);
        skip();
    }
    return path;
}

static Tokenizer *open_or_fail(const char *path)
{
    Tokenizer *tokenizer = NULL;
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

static void assert_ids(const Ids *ids, const json_t *want, const char *what)
{
    bool same = (size_t)ids->n == json_array_size(want);
    for (int64_t i = 0; same && i < ids->n; i++) same = ids->id[i] == json_integer_value(json_array_get(want, (size_t)i));
    if (same) return;
    for (int64_t i = 0; i < ids->n && i < 32; i++) print_message("%d ", ids->id[i]);
    char *text = json_dumps(want, JSON_COMPACT);
    print_message("\nwanted %s\n", text);
    free(text);
    fail_msg("ids of \"%s\" differ", what);
}

static void check_strings(const Tokenizer *tokenizer, const json_t *reference)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(reference, "strings"), i, item) {
        const json_t *text = json_object_get(item, "text");
        Ids ids = { 0 };
        if (tokenizer_encode(&ids, tokenizer, json_string_value(text), json_string_length(text), true) != OK) fail_msg("%s", err_last());
        assert_ids(&ids, json_object_get(item, "ids"), json_string_value(text));
        ids_free(&ids);
    }
    assert_true(i > 60);
}

static void test_golden_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        char *relative = xformat("data/tokenizers/%s", published[i]), *path = data_path(relative);
        json_t *reference = golden(published[i]);
        Tokenizer *tokenizer = open_or_fail(path);
        print_message("%s\n", published[i]);
        check_strings(tokenizer, reference);
        const json_t *bos = json_object_get(reference, "bos_id");
        assert_int_equal(tokenizer_bos(tokenizer), json_is_integer(bos) ? json_integer_value(bos) : -1);
        assert_int_equal(tokenizer_adds_bos(tokenizer), json_is_true(json_object_get(reference, "tokenizer_adds_bos")));
        assert_int_equal(tokenizer_vocabulary(tokenizer), json_integer_value(json_object_get(reference, "vocab_size")));
        tokenizer_close(&tokenizer);
        json_decref(reference);
        free(relative);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
