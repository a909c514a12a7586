/* Options: what is read, what is refused with which sentence, and the texts made from them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/options.h"

static const Option table[] = {
    { "model",       OPTION_TEXT,    false, NULL,       0, 0, NULL, "", "a path" },
    { "names",       OPTION_TEXT,    true,  "*",        0, 0, NULL, "", "globs" },
    { "noise.law",   OPTION_ONE_OF,  false, "gaussian", 0, 0, "gaussian|sign|none", "", "distribution" },
    { "noise.group", OPTION_INTEGER, false, "64",       1, 1e6, NULL, "weights", "group" },
    { "noise.t2",    OPTION_NUMBER,  true,  "0.1,0.3",  1e-12, 10, NULL, "", "levels" },
    { "shift",       OPTION_NUMBER,  false, NULL,       -INFINITY, INFINITY, NULL, "", "any number at all" },
    { "floor",       OPTION_NUMBER,  false, NULL,       0, INFINITY, NULL, "s", "a bound below" },
    { "seed",        OPTION_INTEGER, false, "1",        0, 9e15, NULL, "", "seed" },
    { "memory",      OPTION_SIZE,    false, "4GiB",     1e6, 1e15, NULL, "bytes", "memory" },
    { "symmetric",   OPTION_FLAG,    false, "no",       0, 0, NULL, "", "a flag" },
    { .name = NULL },
};

static void expect_refusal(const char *name, const char *text, const char *sentence)
{
    Options *options = options_new(table);
    char *before = options_canonical(options);
    assert_int_equal(options_set(options, name, text, "a.yaml:7:9"), ERR_ARGUMENT);
    assert_string_equal(err_last(), sentence);
    char *after = options_canonical(options);
    assert_string_equal(before, after);
    free(before);
    free(after);
    options_free(options);
}

static void test_refusals(void **state)
{
    (void)state;
#define GROUP "a.yaml:7:9: 'noise.group' must be a whole number of weights from 1 to 1000000, not "
    static const char *const integers[] = { "sixty", "3.5", "0", "-1", "2e6", "nan", "inf", "0x10", "1e999", "1 2", "3,4", "--1", "1e", NULL };
    for (int i = 0; integers[i]; i++) {
        char *sentence = xformat(GROUP "'%s'", integers[i]);
        expect_refusal("noise.group", integers[i], sentence);
        free(sentence);
    }
    expect_refusal("noise.group", "", "a.yaml:7:9: 'noise.group' has no value");
    expect_refusal("noise.t2", "0.1, 11", "a.yaml:7:9: 'noise.t2' must be a number from 1e-12 to 10, not '11'");
    expect_refusal("noise.t2", "[0.1, ]", "a.yaml:7:9: 'noise.t2' has no value");
    expect_refusal("noise.t2", "[]", "a.yaml:7:9: 'noise.t2' has no value");
    expect_refusal("noise.t2", "0.5, 5e-1", "a.yaml:7:9: 'noise.t2' has the value '0.5' twice");
    expect_refusal("noise.law", "gausian", "a.yaml:7:9: 'noise.law' must be gaussian, sign or none, not 'gausian'");
    expect_refusal("noise.law", "sign|none", "a.yaml:7:9: 'noise.law' must be gaussian, sign or none, not 'sign|none'");
    expect_refusal("shift", "x", "a.yaml:7:9: 'shift' must be a number, not 'x'");
    expect_refusal("shift", "1e999", "a.yaml:7:9: 'shift' must be a number, not '1e999'");
    expect_refusal("shift", "-inf", "a.yaml:7:9: 'shift' must be a number, not '-inf'");
    expect_refusal("floor", "-1", "a.yaml:7:9: 'floor' must be a number of s of at least 0, not '-1'");
    expect_refusal("symmetric", "perhaps", "a.yaml:7:9: 'symmetric' must be yes or no, not 'perhaps'");
    expect_refusal("seed", "9007199254740993", "a.yaml:7:9: 'seed' must be a whole number from 0 to 9e+15, not '9007199254740993'");
    expect_refusal("memory", "8 apples", "a.yaml:7:9: 'memory' must be a size in bytes from 1000000 to 1e+15, such as 8GiB, 512MiB or 1e9, not '8 apples'");
    expect_refusal("memory", "8G", "a.yaml:7:9: 'memory' must be a size in bytes from 1000000 to 1e+15, such as 8GiB, 512MiB or 1e9, not '8G'");
    expect_refusal("memory", "1000000.5", "a.yaml:7:9: 'memory' must be a size in bytes from 1000000 to 1e+15, such as 8GiB, 512MiB or 1e9, not '1000000.5'");
}

static void test_unknown_keys(void **state)
{
    (void)state;
    expect_refusal("modle", "x", "a.yaml:7:9: unknown key 'modle'; did you mean 'model'?");
    expect_refusal("noise.grup", "x", "a.yaml:7:9: unknown key 'noise.grup'; did you mean 'noise.group'?");
    expect_refusal("group", "x", "a.yaml:7:9: unknown key 'group'; did you mean 'noise.group'?");
    expect_refusal("noise.amplitude", "x", "a.yaml:7:9: unknown key 'noise.amplitude'; keys of 'noise' are: law, group, t2");
    expect_refusal("temperature", "x", "a.yaml:7:9: unknown key 'temperature'; keys are: model, names, noise, shift, floor, seed, memory, symmetric");
    expect_refusal("nose", "x", "a.yaml:7:9: unknown key 'nose'; did you mean 'noise'?");

    static const Option nothing[] = { { .name = NULL } };
    Options *options = options_new(nothing);
    assert_int_equal(options_set(options, "bits", "3", "here"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "here: unknown key 'bits'; there are no keys here");
    options_free(options);
}

static void test_values(void **state)
{
    (void)state;
    Options *o = options_new(table);
    assert_false(options_is_set(o, "model"));
    assert_true(options_is_set(o, "noise.group"));
    assert_false(options_is_given(o, "noise.group"));
    assert_int_equal(options_integer(o, "noise.group"), 64);
    assert_int_equal(options_integer(o, "memory"), INT64_C(4) << 30);
    assert_false(options_flag(o, "symmetric"));

    assert_int_equal(options_set(o, "noise.group", " 3.0 ", "here"), OK);
    assert_int_equal(options_integer(o, "noise.group"), 3);
    assert_true(options_is_given(o, "noise.group"));
    assert_int_equal(options_set(o, "noise.group", "1e3", "here"), OK);
    assert_int_equal(options_integer(o, "noise.group"), 1000);
    assert_int_equal(options_set(o, "seed", "8999999999999999", "here"), OK);
    assert_int_equal(options_integer(o, "seed"), INT64_C(8999999999999999));
    assert_int_equal(options_set(o, "symmetric", "True", "here"), OK);
    assert_true(options_flag(o, "symmetric"));
    assert_int_equal(options_set(o, "model", "a b, [c]", "here"), OK);
    assert_string_equal(options_text(o, "model"), "a b, [c]");

    options_unset(o, "noise.group");
    assert_int_equal(options_integer(o, "noise.group"), 64);
    assert_false(options_is_given(o, "noise.group"));
    options_unset(o, "model");
    assert_false(options_is_set(o, "model"));
    options_free(o);
    options_free(NULL);
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct { const char *text; double bytes; } cases[] = {
        { "8GiB", 0x1p33 }, { "512MiB", 0x1p29 }, { "2GB", 2e9 }, { "2 gb", 2e9 }, { "1e9", 1e9 }, { "1000000", 1e6 },
        { "1000000B", 1e6 }, { "1.5GiB", 1.5 * 0x1p30 }, { "0.5TiB", 0x1p39 }, { "2000 kB", 2e6 }, { "2048KiB", 0x1p21 },
    };
    Options *o = options_new(table);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(options_set(o, "memory", cases[i].text, "here"), OK);
        assert_true(options_number(o, "memory") == cases[i].bytes);
        assert_true((double)options_integer(o, "memory") == cases[i].bytes);
    }
    options_free(o);
}

static void test_lists(void **state)
{
    (void)state;
    Options *o = options_new(table);
    assert_int_equal(options_count(o, "noise.t2"), 2);
    assert_int_equal(options_append(o, "noise.t2", "2", "here"), OK);       /* replaces the default */
    assert_int_equal(options_append(o, "noise.t2", "1e-3", "here"), OK);
    assert_int_equal(options_count(o, "noise.t2"), 2);
    assert_true(options_number_at(o, "noise.t2", 0) == 2 && options_number_at(o, "noise.t2", 1) == 1e-3);
    assert_int_equal(options_append(o, "noise.t2", "2.0", "here"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "here: 'noise.t2' has the value '2' twice");
    assert_int_equal(options_append(o, "noise.t2", "x", "here"), ERR_ARGUMENT);
    assert_int_equal(options_append(o, "noise.t3", "x", "here"), ERR_ARGUMENT);
    assert_int_equal(options_count(o, "noise.t2"), 2);

    assert_int_equal(options_append(o, "names", "a,b", "here"), OK);        /* one element, comma and all */
    assert_string_equal(options_text_at(o, "names", 0), "a,b");
    assert_int_equal(options_set(o, "names", " [ a.*, blocks.[0-3].q ] ", "here"), OK);
    assert_int_equal(options_count(o, "names"), 2);
    assert_string_equal(options_text_at(o, "names", 0), "a.*");
    assert_string_equal(options_text_at(o, "names", 1), "blocks.[0-3].q");
    assert_int_equal(options_set(o, "noise.t2", "3", "here"), OK);
    assert_int_equal(options_count(o, "noise.t2"), 1);

    options_unset(o, "names");
    assert_int_equal(options_append(o, "names", "\x01", "a:1:2"), OK);
    options_free(o);
}

static void test_canonical(void **state)
{
    (void)state;
    Options *o = options_new(table);
    assert_int_equal(options_set(o, "shift", "-0", "here"), OK);
    assert_int_equal(options_set(o, "noise.t2", "0.1, 3e-10, 0.30000000000000004", "here"), OK);
    char *text = options_canonical(o);
    assert_string_equal(text, "names=[*],noise.law=gaussian,noise.group=64,noise.t2=[0.1,3e-10,0.30000000000000004],shift=0,seed=1,"
                              "memory=4294967296,symmetric=no");
    Options *copy = options_copy(o);
    options_set(o, "noise.group", "1", "here");
    options_free(o);
    char *again = options_canonical(copy);
    assert_string_equal(text, again);
    assert_true(options_is_given(copy, "noise.t2"));
    assert_false(options_is_given(copy, "noise.group"));

    options_set(copy, "noise.group", "6.4e1", "here");      /* the default, given otherwise: the same key */
    free(again);
    again = options_canonical(copy);
    assert_string_equal(text, again);
    free(text);
    free(again);
    options_free(copy);
}

static void test_help(void **state)
{
    (void)state;
    static const Option rows[] = {
        { "law",    OPTION_ONE_OF,  false, "sign", 0, 0,   "gaussian|sign", "", "distribution" },
        { "bits",   OPTION_INTEGER, true,  NULL,   1, 1e6, NULL, "bits", "a meaning that is so long, word after word after word, "
                                                                         "that it has to go on in the next line, under its own column" },
        { "memory", OPTION_NUMBER,  false, NULL,   -INFINITY, INFINITY, NULL, NULL, "any" },
        { .name = NULL },
    };
    char *help = options_help(rows, "  ");
    assert_string_equal(help,
        "  law     gaussian|sign       distribution (default sign)\n"
        "  bits    1 to 1e6 bits, ...  a meaning that is so long, word after word after word, that it has to go on in\n"
        "                              the next line, under its own column\n"
        "  memory  number              any\n");
    free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_unknown_keys), cmocka_unit_test(test_values),
        cmocka_unit_test(test_sizes), cmocka_unit_test(test_lists), cmocka_unit_test(test_canonical), cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
