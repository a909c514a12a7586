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

static void check_golden(const GoldenCase *c, const char *name, const char *bits, const char *group, const char *key, const char *value)
{
    int64_t rows, cols;
    float *expected = gptq_tensor(name, &rows, &cols), *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    PerturbationError error;
    const Evidence evidence = { .hessian = c->hessian, .input_mean = c->mean };
    assert_int_equal(quantize_with("awq", out, &error, c->w, rows, cols, &evidence, "bits", bits, "group", group, "scale_bits", "64", key, value, NULL), OK);
    assert_same_weights(out, expected, c->w, rows * cols);
    free(expected), free(out);
}

static void test_golden(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    check_golden(&c, "awq.b3.g32", "3", "32", NULL, NULL);
    check_golden(&c, "awq.b3.g32.symmetric", "3", "32", "symmetric", "yes");
    check_golden(&c, "awq.b3.g32.scales", "3", "32", "clipping", "no");
    check_golden(&c, "awq.b3.g32.clipping", "3", "32", "scales", "no");
    check_golden(&c, "awq.b2.g0", "2", "0", NULL, NULL);
    golden_case_without(&c);
    check_golden(&c, "awq.b3.g32.dead", "3", "32", NULL, NULL);
    golden_case_free(&c);
}

typedef struct { float *w, *h, *out; double *mean; int64_t rows, cols; } Case;

static Case made_up(int64_t rows, int64_t cols, double outlier)
{
    Case c = { .w = normals(rows * cols, 2), .out = xmalloc(sizeof(float) * (size_t)(rows * cols)),
               .mean = xmalloc(sizeof(double) * (size_t)cols), .rows = rows, .cols = cols };
    c.h = made_up_hessian(c.mean, cols, 3 * cols, outlier);
    return c;
}

static void made_up_free(Case *c) { free(c->w), free(c->h), free(c->out), free(c->mean); }

static double awq_error(Case *c, const char *scales, const char *clipping)
{
    PerturbationError error;
    const Evidence evidence = { .hessian = c->h, .input_mean = c->mean };
    assert_int_equal(quantize_with("awq", c->out, &error, c->w, c->rows, c->cols, &evidence, "bits", "3", "group", "32", "scales", scales,
                                   "clipping", clipping, NULL), OK);
    return output_error(c->out, c->w, c->rows, c->cols, c->h);
}

static void test_neither_search_is_rtn(void **state)
{
    (void)state;
    Case c = made_up(30, 100, 1);
    float *rounded = xmalloc(sizeof *rounded * 3000);
    PerturbationError error;
    assert_int_equal(quantize_with("rtn", rounded, &error, c.w, 30, 100, NULL, "bits", "3", "group", "32", NULL), OK);
    awq_error(&c, "no", "no");
    assert_memory_equal(c.out, rounded, sizeof *rounded * 3000);
    free(rounded);
    made_up_free(&c);
}

/* One input of 50 times the size is what the method is for. */
static void test_outlying_input(void **state)
{
    (void)state;
    Case c = made_up(100, 96, 50);
    const double rtn = awq_error(&c, "no", "no"), clipping = awq_error(&c, "no", "yes"), scales = awq_error(&c, "yes", "no"), both = awq_error(&c, "yes", "yes");
    assert_true(scales < 0.2 * rtn && clipping < rtn && both < scales);
    made_up_free(&c);
}

/* With inputs that are not related, groups do not interact: less error in every group is less in all. */
static void test_searches_never_lose(void **state)
{
    (void)state;
    Case c = made_up(20, 96, 1);
    for (int64_t i = 0; i < 96; i++)
        for (int64_t j = 0; j < 96; j++) if (i != j) c.h[i * 96 + j] = 0;
    const double rtn = awq_error(&c, "no", "no"), clipping = awq_error(&c, "no", "yes"), scales = awq_error(&c, "yes", "no"), both = awq_error(&c, "yes", "yes");
    assert_true(clipping < rtn && scales <= rtn && both < scales);
    made_up_free(&c);
}

static void test_bits_per_weight(void **state)
{
    (void)state;
    Case c = made_up(20, 150, 1);
    PerturbationError error;
    const Evidence evidence = { .hessian = c.h, .input_mean = c.mean };
    assert_int_equal(quantize_with("awq", c.out, &error, c.w, 20, 150, &evidence, "bits", "3", NULL), OK);
    assert_true(fabs(error.bits - (3 + 3 * (16 + 3) / 150.0 + 16 / 20.0)) < 1e-12 && error.code_bits == 3);
    assert_int_equal(quantize_with("awq", c.out, &error, c.w, 20, 150, &evidence, "bits", "3", "scales", "no", NULL), OK);
    assert_true(fabs(error.bits - (3 + 3 * (16 + 3) / 150.0)) < 1e-12);
    made_up_free(&c);
}

/* Inputs that were never there, or are beyond what a half can hold, leave a finite result no worse than plain rounding. */
static void test_strange_means(void **state)
{
    (void)state;
    Case c = made_up(20, 96, 1);
    const double rtn = awq_error(&c, "no", "no"), strange[] = { 0, 1e-30, 1e30, 1e300 };
    for (int k = 0; k < 4; k++) {
        c.mean[7] = strange[k];
        assert_true(awq_error(&c, "yes", "no") <= rtn);
    }
    for (int64_t j = 0; j < 96; j++) c.mean[j] = 0;
    assert_true(awq_error(&c, "yes", "no") == rtn);
    memset(c.h, 0, sizeof *c.h * 96 * 96);
    assert_true(awq_error(&c, "yes", "yes") == 0);
    made_up_free(&c);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    Case c = made_up(200, 200, 20);
    float *first = xmalloc(sizeof *first * 200 * 200);
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    awq_error(&c, "yes", "yes");
    memcpy(first, c.out, sizeof *first * 200 * 200);
    for (int threads = 2; threads <= 5; threads += 3) {
        omp_set_num_threads(threads);
        awq_error(&c, "yes", "yes");
        assert_memory_equal(c.out, first, sizeof *first * 200 * 200);
    }
    omp_set_num_threads(before);
    free(first);
    made_up_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    float w[8] = { 1, 2, -1, 3, 0.5f, 1, 2, 2 }, out[8], h[4] = { 2, 1, 1, 2 };
    double mean[2] = { 1, 2 };
    PerturbationError error = { .t2 = -1 };
    const Evidence evidence = { .hessian = h, .input_mean = mean }, no_mean = { .hessian = h }, no_hessian = { .input_mean = mean };
    assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "awq needs the inputs"));
    assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, &no_mean, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "the mean inputs of layer 3 were not collected"));
    assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, &no_hessian, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "awq: the Hessian of layer 3"));
    const double bad[] = { NAN, INFINITY, -1 };
    for (int i = 0; i < 3; i++) {
        mean[1] = bad[i];
        assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), "negative or not finite"));
    }
    mean[1] = 2, h[0] = NAN;
    assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, &evidence, NULL), ERR_ARGUMENT);
    h[0] = 2;
    assert_true(error.t2 == -1);
    refuses_damaged("awq", w, &evidence);
    assert_int_equal(quantize_with("awq", out, &error, w, 4, 2, &evidence, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_neither_search_is_rtn),
        cmocka_unit_test(test_outlying_input),
        cmocka_unit_test(test_searches_never_lose),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_strange_means),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
