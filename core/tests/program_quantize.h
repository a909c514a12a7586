/* program_quantize.h - what `linearity quantize` and `info` say in JSON, and that two models are described alike */
#ifndef CORE_TESTS_PROGRAM_QUANTIZE_H
#define CORE_TESTS_PROGRAM_QUANTIZE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/tests/program.h"

#define GOLDEN "core/tests/golden/tiny/"

static inline json_t *parsed(Ran ran)
{
    if (ran.status != 0) print_error("%s", ran.err);
    assert_int_equal(ran.status, 0);
    json_t *root = json_loads(ran.out, 0, NULL);
    if (!root) print_error("not JSON: %.200s\n", ran.out);
    assert_non_null(root);
    ran_free(&ran);
    return root;
}

static inline const char *text_of(const json_t *object, const char *key) { return json_string_value(json_object_get(object, key)); }

/* The same layers in the same shape, all F32 in `out`; norms, which quantizing changes, aside. */
static inline void assert_same_info(const char *model, const char *out)
{
    json_t *a = parsed(program("info", model, "--json", NULL)), *b = parsed(program("info", out, "--json", NULL)), *layer;
    size_t i;
    json_array_foreach(json_object_get(a, "layers"), i, layer) {
        json_t *other = json_array_get(json_object_get(b, "layers"), i);
        assert_string_equal(text_of(other, "dtype"), "F32");
        json_object_set_new(layer, "dtype", json_string("F32"));
        json_object_del(layer, "norm");
        json_object_del(other, "norm");
    }
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
}

#endif
