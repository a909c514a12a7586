/* GPTQ against references, beside RTN, and what it refuses. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/tests/data_aware.h"

/* ---- golden references ---- */

static void check_golden(const char *matrix, const char *bits)
{
    char name[32], file[32];
    snprintf(name, sizeof name, "gptq.row.b%s", bits);
    snprintf(file, sizeof file, "%s.dequant", matrix);
    int64_t rows, cols, n;
    float *w = golden_tensor(matrix, "weight", &rows, &cols), *h = golden_tensor(matrix, "hessian", &n, &n), *expected = golden_tensor(file, name, &n, &n);
    assert_true(w && h && expected);
    float *out = xmalloc((size_t)(rows * cols) * sizeof *out);
    PerturbationError error;
    const Evidence evidence = { .hessian = h };
    assert_int_equal(quantize_with("gptq", out, &error, w, rows, cols, &evidence, "bits", bits, "group", "0", "scale_bits", "64", NULL), OK);
    assert_same_weights(out, expected, w, rows * cols);
    const double t2 = golden_t2(matrix, name), trace = golden_value(matrix, name, "trace_EHE");
    assert_true(t2 > 0 && fabs(error.t2 - t2) <= 1e-5 * t2);
    assert_true(trace > 0 && fabs(output_error(out, w, rows, cols, h) - trace) <= 1e-5 * trace);
    snprintf(name, sizeof name, "rtn.row.b%s", bits);
    assert_true(trace < golden_value(matrix, name, "trace_EHE"));
    free(w), free(h), free(expected), free(out);
}

static void test_golden(void **state)
{
    (void)state;
    check_golden("gauss", "3"), check_golden("gauss", "4");
    check_golden("real", "3"), check_golden("real", "4");
}

static void check_own(const GoldenCase *c, const float *hessian, const char *name, const char *bits, const char *group, const char *key, const char *value)
{
    int64_t rows, cols;
    float *expected = gptq_tensor(name, &rows, &cols), *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    PerturbationError error;
    const Evidence evidence = { .hessian = hessian };
    assert_int_equal(quantize_with("gptq", out, &error, c->w, rows, cols, &evidence, "bits", bits, "group", group, "scale_bits", "64", key, value, NULL), OK);
    assert_same_weights(out, expected, c->w, rows * cols);
    free(expected), free(out);
}

static void test_golden_groups_orders_clips(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    check_own(&c, c.hessian, "gptq.b3.g32", "3", "32", NULL, NULL);
    check_own(&c, c.hessian, "gptq.b3.g32.symmetric", "3", "32", "symmetric", "yes");
    check_own(&c, c.hessian, "gptq.b3.g32.mse", "3", "32", "clip", "mse");
    check_own(&c, c.hessian, "gptq.b3.g32.act_order", "3", "32", "act_order", "yes");
    check_own(&c, c.hessian, "gptq.b2.g0.act_order", "2", "0", "act_order", "yes");
    check_own(&c, c.hessian, "gptq.b4.g140", "4", "140", NULL, NULL);
    golden_case_free(&c);
}

static void test_inputs_never_there(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    golden_case_without(&c);
    check_own(&c, c.hessian, "gptq.b3.g32.dead", "3", "32", NULL, NULL);

    /* On a grid of the original row they are rounded as RTN rounds them. */
    float *out = xmalloc(sizeof *out * (size_t)(c.rows * c.cols)), *rounded = xmalloc(sizeof *out * (size_t)(c.rows * c.cols));
    PerturbationError error;
    const Evidence evidence = { .hessian = c.hessian };
    assert_int_equal(quantize_with("gptq", out, &error, c.w, c.rows, c.cols, &evidence, "group", "0", NULL), OK);
    assert_int_equal(quantize_with("rtn", rounded, &error, c.w, c.rows, c.cols, NULL, "group", "0", NULL), OK);
    for (int64_t r = 0; r < c.rows; r++)
        for (int k = 0; k < DEAD_INPUTS; k++) assert_true(out[r * c.cols + dead_inputs[k]] == rounded[r * c.cols + dead_inputs[k]]);
    assert_memory_not_equal(out, rounded, sizeof *out * (size_t)(c.rows * c.cols));
    assert_int_equal(quantize_with("gptq", out, &error, c.w, c.rows, c.cols, &evidence, "percdamp", "0", NULL), OK);

    memset(c.hessian, 0, sizeof *c.hessian * (size_t)(c.cols * c.cols));
    assert_int_equal(quantize_with("gptq", out, &error, c.w, c.rows, c.cols, &evidence, "group", "0", NULL), OK);
    assert_memory_equal(out, rounded, sizeof *out * (size_t)(c.rows * c.cols));
    free(out), free(rounded);
    golden_case_free(&c);
}

/* ---- beside rounding, and in any number of threads ---- */

static void test_unrelated_inputs_are_rtn(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 200 };
    float *h = xcalloc(COLS * COLS, sizeof *h), *w = normals(ROWS * COLS, 2);
    float *out = xmalloc(sizeof *out * ROWS * COLS), *rounded = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { .hessian = h };
    const char *const groups[] = { "0", "64", "150" }, *const orders[] = { "no", "yes" };
    for (int equal = 0; equal < 2; equal++)
        for (int g = 0; g < 3; g++)
            for (int o = 0; o < 2; o++) {
                PerturbationError error, of_rtn;
                for (int64_t j = 0; j < COLS; j++) h[j * COLS + j] = equal ? 1 : (float)(1 + j * 37 % 11);
                assert_int_equal(quantize_with("gptq", out, &error, w, ROWS, COLS, &evidence, "group", groups[g], "act_order", orders[o], NULL), OK);
                assert_int_equal(quantize_with("rtn", rounded, &of_rtn, w, ROWS, COLS, NULL, "group", groups[g], NULL), OK);
                assert_memory_equal(out, rounded, sizeof *out * ROWS * COLS);
                assert_true(error.bits == of_rtn.bits && error.code_bits == 4 && error.t2 == of_rtn.t2);
            }
    free(h), free(w), free(out), free(rounded);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 260 };
    double *mean = xmalloc(sizeof *mean * COLS);
    float *h = made_up_hessian(mean, COLS, COLS, 3), *w = normals(ROWS * COLS, 2);
    float *out = xmalloc(sizeof *out * ROWS * COLS), *first = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { .hessian = h };
    const char *const orders[] = { "no", "yes" };
    const int before = omp_get_max_threads();
    for (int o = 0; o < 2; o++)
        for (int threads = 1; threads <= 5; threads += 2) {
            PerturbationError error;
            omp_set_num_threads(threads);
            assert_int_equal(quantize_with("gptq", threads == 1 ? first : out, &error, w, ROWS, COLS, &evidence, "act_order", orders[o], NULL), OK);
            if (threads > 1) assert_memory_equal(out, first, sizeof *out * ROWS * COLS);
        }
    omp_set_num_threads(before);
    free(mean), free(h), free(w), free(out), free(first);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    float w[8] = { 1, 2, -1, 3, 0.5f, 1, 2, 2 }, out[8], h[4] = { 2, 1, 1, 2 };
    PerturbationError error = { .t2 = -1 };
    const Evidence evidence = { .hessian = h }, nothing = { .hessian = NULL };
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "gptq needs the inputs"));
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &nothing, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "gptq: the Hessian of layer 3 was not collected"));
    h[1] = NAN;
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "not finite"));
    h[1] = 0, h[3] = INFINITY;
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
    h[3] = -1;
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "negative diagonal"));
    h[3] = 1, h[1] = 5;
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "raise percdamp"));
    h[1] = 1;
    assert_true(error.t2 == -1);
    refuses_damaged("gptq", w, &evidence);
    assert_int_equal(quantize_with("gptq", out, &error, w, 4, 2, &evidence, NULL), OK);
    assert_true(error.t2 >= 0);
}

static void test_sequential(void **state)
{
    (void)state;
    const char *const names[] = { "gptq", "gptq-higgs", "awq" };
    for (int i = 0; i < 3; i++) {
        const Perturbation *p = perturbation_find(names[i]);
        Options *options = options_new(p->options);
        assert_int_equal(p->needs, NEEDS_INPUTS);
        assert_false(p->sequential(options));
        assert_int_equal(options_set(options, "sequential", "yes", "test"), OK);
        assert_true(p->sequential(options));
        options_free(options);
    }
    assert_null(perturbation_find("rtn")->sequential);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_groups_orders_clips),
        cmocka_unit_test(test_inputs_never_there),
        cmocka_unit_test(test_unrelated_inputs_are_rtn),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sequential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
