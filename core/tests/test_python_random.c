/* Python's generator and the draws of GPTQ-style scripts, against Python (golden/make_corpus.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "core/base/err.h"
#include "core/text/corpus_gptq.h"
#include "core/text/python_random.h"

static json_t *golden(void)
{
    json_error_t error;
    json_t *root = json_load_file("core/tests/golden/corpus.json", 0, &error);
    assert_non_null(root);
    return root;
}

static uint64_t seed_of(const json_t *object)
{
    const char *digits = json_string_value(json_object_get(object, "seed"));
    assert_non_null(digits);
    return strtoull(digits, NULL, 10);
}

static void test_generator(void **state)
{
    (void)state;
    json_t *root = golden(), *stream, *pair;
    size_t s, i;
    json_array_foreach(json_object_get(root, "mersenne"), s, stream) {
        PythonRandom random;
        python_random_seed(&random, seed_of(stream));
        const json_t *uniform = json_object_get(stream, "uniform");
        double value = 0;
        for (i = 0; i < 700; i++) {
            value = python_random_uniform(&random);
            if (i < 5) assert_true(value == json_real_value(json_array_get(uniform, i)));
        }
        assert_true(value == json_real_value(json_array_get(uniform, 5)));
        json_array_foreach(json_object_get(stream, "integer"), i, pair) {
            int64_t high = json_integer_value(json_array_get(pair, 0));
            assert_int_equal(python_random_integer(&random, 0, high), json_integer_value(json_array_get(pair, 1)));
        }
    }
    assert_int_equal(s, 4);
    json_decref(root);
}

static void test_bounds(void **state)
{
    (void)state;
    PythonRandom a, b;
    python_random_seed(&a, 7);
    python_random_seed(&b, 7);
    int seen[5] = { 0 };
    for (int i = 0; i < 500; i++) {
        int64_t value = python_random_integer(&a, -2, 2);
        assert_in_range(value + 2, 0, 4);
        assert_int_equal(python_random_integer(&b, 1000, 1004), value + 1002);     /* a shift of both ends shifts the draw */
        seen[value + 2]++;
    }
    for (int i = 0; i < 5; i++) assert_true(seen[i] > 60);
    for (int i = 0; i < 50; i++) assert_int_equal(python_random_integer(&a, INT64_MAX, INT64_MAX), INT64_MAX);
}

/* The lengths that the golden draws were made with. */
static int length_of(int64_t *out, void *asked, int i)
{
    assert_in_range(i, 0, 199);
    if (asked) ((int *)asked)[i]++;
    *out = (int64_t)i * 7919 % 613;
    return OK;
}

static void test_draws(void **state)
{
    (void)state;
    json_t *root = golden(), *set, *pair;
    size_t s, i;
    json_array_foreach(json_object_get(root, "gptq"), s, set) {
        Draw draw[24];
        int context = (int)json_integer_value(json_object_get(set, "context"));
        assert_int_equal(gptq_draw(draw, 24, 200, context, seed_of(set), length_of, NULL, "file"), OK);
        json_array_foreach(json_object_get(set, "draws"), i, pair) {
            assert_int_equal(draw[i].document, json_integer_value(json_array_get(pair, 0)));
            assert_int_equal(draw[i].start, json_integer_value(json_array_get(pair, 1)));
        }
        assert_int_equal(i, 24);
    }
    assert_int_equal(s, 3);
    json_decref(root);
}

/* The longest of the 200 has 608 tokens: just enough for a context of 607. */
static void test_no_document_is_long_enough(void **state)
{
    (void)state;
    Draw draw[3];
    int asked[200] = { 0 };
    assert_int_equal(gptq_draw(draw, 3, 200, 607, 0, length_of, NULL, "c4.jsonl"), OK);
    for (int i = 0; i < 3; i++) assert_int_equal(draw[i].start, 0);
    assert_int_equal(gptq_draw(draw, 3, 200, 608, 0, length_of, asked, "c4.jsonl"), ERR_FORMAT);
    assert_string_equal(err_last(), "c4.jsonl: none of 200 documents is longer than the context of 608 tokens, the longest has 608; "
                                    "give a smaller context or longer documents");
    for (int i = 0; i < 200; i++) assert_int_equal(asked[i], 1);
}

static int eight_or_nine(int64_t *out, void *data, int i)
{
    (void)data;
    *out = 8 + (i == 1);
    return OK;
}

/* As long as the context is not longer than it: such a document is drawn again. */
static void test_exactly_one_context(void **state)
{
    (void)state;
    Draw draw[32];
    assert_int_equal(gptq_draw(draw, 32, 3, 8, 0, eight_or_nine, NULL, "c4.jsonl"), OK);
    for (int w = 0; w < 32; w++) assert_true(draw[w].document == 1 && draw[w].start == 0);
}

static int broken_length(int64_t *out, void *data, int i)
{
    (void)out, (void)data;
    return err_set(ERR_FORMAT, "document %d is broken", i);
}

static void test_broken_document(void **state)
{
    (void)state;
    Draw draw[1];
    assert_int_equal(gptq_draw(draw, 1, 3, 8, 0, broken_length, NULL, "c4.jsonl"), ERR_FORMAT);
    assert_string_equal(err_last(), "document 0 is broken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generator), cmocka_unit_test(test_bounds), cmocka_unit_test(test_draws),
        cmocka_unit_test(test_no_document_is_long_enough), cmocka_unit_test(test_exactly_one_context),
        cmocka_unit_test(test_broken_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
