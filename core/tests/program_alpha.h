/*
 * program_alpha.h - texts of token ids for `linearity alpha`, and its answer in JSON
 */
#ifndef CORE_TESTS_PROGRAM_ALPHA_H
#define CORE_TESTS_PROGRAM_ALPHA_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/tests/program.h"

enum { LAYERS = 14, SCORED = 11 };

/* A golden sequence as many times over: each window has a probe of its own. */
static inline const char *copies(const char *name, int windows)
{
    json_t *root = json_load_file(TINY "/golden.json", 0, NULL), *ids = json_object_get(json_object_get(root, "fisher"), "ids");
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_int_equal(json_array_size(ids), SCORED + 1);
    for (int w = 0; w < windows; w++)
        for (size_t i = 0; i <= SCORED; i++) fprintf(out, "%d%c", (int)json_integer_value(json_array_get(ids, i)), i < SCORED ? ' ' : '\n');
    fclose(out);
    const char *path = scratch_text(name, text);
    free(text);
    json_decref(root);
    return path;
}

static inline json_t *parse(const char *out)
{
    json_error_t error;
    json_t *root = json_loads(out, 0, &error);
    if (!root) print_error("%s in: %.300s\n", error.text, out);
    assert_non_null(root);
    return root;
}

/* alpha --json --quiet with further words. */
static inline json_t *alpha(const char *model, ...)
{
    const char *words[MOST_WORDS + 1] = { "alpha", model, "--json", "--quiet", "--group=16" };
    va_list args;
    va_start(args, model);
    for (int n = 5; (words[n] = va_arg(args, const char *)); n++) assert_true(n < MOST_WORDS);
    va_end(args);
    Ran ran = program_words(words);
    if (ran.status) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "nan"));
    json_t *root = parse(ran.out);
    ran_free(&ran);
    return root;
}

static inline double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) print_error("%s is no number\n", key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static inline bool is_null(const json_t *object, const char *key) { return json_is_null(json_object_get(object, key)); }
static inline const char *text_of(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

static inline const json_t *layer(const json_t *root, int i) { return json_array_get(json_object_get(root, "layers"), (size_t)i); }

/* The first n windows are the same, to the last bit. */
static inline void assert_begins(const json_t *longer, const json_t *shorter, size_t n)
{
    const json_t *a = json_object_get(longer, "window_alpha"), *b = json_object_get(shorter, "window_alpha");
    assert_true(json_array_size(a) >= n && json_array_size(b) == n);
    for (size_t w = 0; w < n; w++) assert_true(json_number_value(json_array_get(a, w)) == json_number_value(json_array_get(b, w)));
}

#endif
