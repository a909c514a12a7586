/*
 * test_check.c - the checker itself must be able to fail
 */
#include "kernels/tests/check.h"

enum { N = 100 };

static int complaints_about(int64_t changed, float value)
{
    const Kernels *k = &kernels_ref;
    float *want = filled(N, FILL_NORMAL), *p = output(k, want, N);
    k->upload(p + changed, &value, 1);
    float *got = taken(k, "self-test", p, N);
    check_close("self-test", got, want, NULL, N, 1);
    free(got);
    free(want);
    int n = check_complaints;
    check_complaints = 0;
    return n;
}

static void test_checker_fails(void **state)
{
    (void)state;
    check_quiet = true;
    assert_int_equal(complaints_about(37, NAN), 1);
    assert_int_equal(complaints_about(0, 5.5f), 1);
    assert_int_equal(complaints_about(-1, 0), 1);
    assert_int_equal(complaints_about(N, 0), 1);
    assert_int_equal(complaints_about(N, GUARD_WORD), 0);
    check_quiet = false;
}

static void test_bound_is_sharp(void **state)
{
    (void)state;
    check_quiet = true;
    const float want[] = { 1 }, near[] = { 1 + 2 * FLT_EPSILON };
    check_close("self-test", near, want, NULL, 1, 2.5);
    assert_int_equal(check_complaints, 0);
    check_close("self-test", near, want, NULL, 1, 1.5);
    assert_int_equal(check_complaints, 1);
    check_complaints = 0;
    check_quiet = false;
}

static void test_nan_is_demanded(void **state)
{
    (void)state;
    check_quiet = true;
    const float nan[] = { 1, NAN }, number[] = { 1, 2 };
    check_nan("self-test", nan, nan, 2);
    assert_int_equal(check_complaints, 0);
    check_nan("self-test", number, nan, 2);
    check_nan("self-test", number, number, 2);
    check_close("self-test", number, nan, NULL, 2, 1);
    check_same("self-test", number, nan, sizeof nan);
    assert_int_equal(check_complaints, 4);
    check_complaints = 0;
    check_quiet = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checker_fails),
        cmocka_unit_test(test_bound_is_sharp),
        cmocka_unit_test(test_nan_is_demanded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
