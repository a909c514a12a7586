/* Zeros, what is not finite, options that cannot be, threads. */
#include "core/tests/quantizer_calls.h"

#include <omp.h>

static void test_zeros(void **state)
{
    (void)state;
    enum { ROWS = 2, COLS = 128, N = ROWS * COLS };
    const char *const names[] = { "higgs", "ch8" }, *const unbiased[] = { "no", "yes" };
    for (int i = 0; i < 4; i++) {
        float *w = gaussian(ROWS, COLS), out[N];
        PerturbationError error;
        memset(w + 64, 0, sizeof *w * 64);                              /* one group of zeros, another too small for a half */
        for (int k = 128; k < 192; k++) w[k] *= 1e-9f;
        assert_int_equal(quantize(out, &error, names[i / 2], w, ROWS, COLS, "hadamard", "64", "unbiased", unbiased[i % 2], NULL), OK);
        for (int k = 64; k < 192; k++) assert_true(out[k] == 0);
        assert_true(error.t2 < 0.02);
        memset(w, 0, sizeof *w * N);
        assert_int_equal(quantize(out, &error, names[i / 2], w, ROWS, COLS, "unbiased", unbiased[i % 2], NULL), OK);
        assert_true(error.t2 == 0 && error.kappa == 0);
        free(w);
    }
}

static void test_not_finite(void **state)
{
    (void)state;
    const float bad[] = { NAN, INFINITY, -INFINITY };
    const char *const bits[] = { "16", "32", "64" }, *const unbiased[] = { "no", "yes" };
    for (int i = 0; i < 18; i++) {
        float *w = gaussian(2, 64), out[128];
        PerturbationError error = { .t2 = 5 };
        w[70] = bad[i % 3];
        assert_int_equal(quantize(out, &error, "higgs", w, 2, 64, "scale_bits", bits[i / 3 % 3], "unbiased", unbiased[i / 9], NULL), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), "layer 3"));
        assert_non_null(strstr(err_last(), "not finite"));
        assert_true(error.t2 == 5);
        free(w);
    }
    float huge[64], out[64];
    PerturbationError error;
    for (int i = 0; i < 64; i++) huge[i] = i % 3 ? 1e6f : -1e6f;
    assert_int_equal(quantize(out, &error, "higgs", huge, 1, 64, NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "higgs: a scale of layer 3 does not fit into 16 bits; set scale_bits=32");
    assert_int_equal(quantize(out, &error, "higgs", huge, 1, 64, "scale_bits", "32", NULL), OK);
    assert_int_equal(quantize(out, &error, "ch8", huge, 1, 64, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "ch8: "));
}

static void test_refused(void **state)
{
    (void)state;
    float *w = gaussian(1, 576), out[576];
    PerturbationError error;
    assert_int_equal(quantize(out, &error, "higgs", w, 1, 576, "p", "2", "n", "200", NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "higgs: there is no grid p=2 n=200"));
    assert_non_null(strstr(err_last(), "256"));
    assert_int_equal(quantize(out, &error, "higgs", w, 1, 576, "hadamard", "48", NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "higgs: hadamard=48 is no power of two; the nearest are 32 and 64");
    assert_int_equal(quantize(out, &error, "higgs", w, 1, 576, "levels", "uniform", NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "higgs: levels=uniform is a grid of p=1, and p is 2");
    assert_int_equal(quantize(out, &error, "ch8", w, 1, 576, "hadamard", "100", NULL), ERR_ARGUMENT);
    assert_string_equal(err_last(), "ch8: hadamard=100 is no power of two; the nearest are 64 and 128");
    free(w);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { COLS = 192, ROWS = PARALLEL_WEIGHTS / COLS + 1, N = ROWS * COLS };
    static float one[N], three[N];
    float *w = gaussian(ROWS, COLS);
    PerturbationError error, again;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    assert_int_equal(quantize(one, &error, "higgs", w, ROWS, COLS, "signs", "yes", "unbiased", "yes", NULL), OK);
    omp_set_num_threads(3);
    assert_int_equal(quantize(three, &again, "higgs", w, ROWS, COLS, "signs", "yes", "unbiased", "yes", NULL), OK);
    omp_set_num_threads(threads);
    assert_memory_equal(one, three, sizeof one);
    assert_memory_equal(&error, &again, sizeof error);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
