/* test_python_text.c - strip, capitalize, replace and length against what Python 3.11 answers, written down */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/text/python_text.h"

static void expect(char *got, const char *want)
{
    assert_string_equal(got, want);
    free(got);
}

static void test_length(void **state)
{
    (void)state;
    assert_int_equal(python_length(""), 0);
    assert_int_equal(python_length("plain"), 5);
    assert_int_equal(python_length("caf\xc3\xa9"), 4);
    assert_int_equal(python_length("e\xcc\x81"), 2);                    /* e and a combining accent: two */
    assert_int_equal(python_length("\xe2\x80\x99\xf0\x9f\x98\x80"), 2); /* a curly quote, a face */
    assert_int_equal(python_length("a\xff" "b"), 3);
}

static void test_strip(void **state)
{
    (void)state;
    expect(python_strip("  a b\t\n"), "a b");
    expect(python_strip(""), "");
    expect(python_strip(" \n"), "");
    expect(python_strip("\xc2\xa0 a\xe3\x80\x80"), "a");                /* no-break and ideographic space */
    expect(python_strip("\x1c\x1f" "a\xc2\x85"), "a");
    expect(python_strip("\xe2\x80\x8b" "a"), "\xe2\x80\x8b" "a");       /* a zero width space is none */
    assert_int_equal(python_white_start("\xc2\xa0 a b "), 3);
    assert_int_equal(python_white_end("a b \xc2\xa0"), 3);
    assert_int_equal(python_white_end("a\xc2"), 0);
}

static void test_capitalize(void **state)
{
    (void)state;
    expect(python_capitalize(""), "");
    expect(python_capitalize("he says NO"), "He says no");
    expect(python_capitalize("HE"), "He");
    expect(python_capitalize(" he"), " he");
    expect(python_capitalize("\xc3\xa9TUDE"), "\xc3\x89tude");
    expect(python_capitalize("\xc7\x86u"), "\xc7\x85u");                /* dz with caron: title case, not upper */
    expect(python_capitalize("a\xff" "B"), "A\xff" "b");
}

static void test_replace(void **state)
{
    (void)state;
    expect(python_replace("a    b", "  ", " "), "a  b");                /* each pair once, left to right */
    expect(python_replace("a   b", "  ", " "), "a  b");
    expect(python_replace("aaa", "a", "bc"), "bcbcbc");
    expect(python_replace("abc", "x", "y"), "abc");
    expect(python_replace("xx", "x", ""), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length), cmocka_unit_test(test_strip), cmocka_unit_test(test_capitalize), cmocka_unit_test(test_replace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
