/* PB-LLM against a slow program of its definition, its stored form to the last bit, what must not change it, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/quantize/scale.h"
#include "core/tests/data_aware.h"

static float *pbllm_tensor(const char *name, int64_t *rows, int64_t *cols) { return tensor_there("pbllm", name, rows, cols); }

static double expected_bits(int64_t rows, int64_t cols, int64_t salient, int salient_bits, int64_t group)
{
    const int64_t n = rows * cols, map = (n + 7) / 8 * 8, scales = rows * ((cols + group - 1) / group);
    return (double)(n - salient + salient_bits * salient + map + 16 * scales + 32 * rows) / (double)n;
}

static void check_case(const GoldenCase *c, const char *name, int salient_bits, int64_t group, const char *const setting[8])
{
    int64_t rows, cols, n = 0;
    char salient_name[32];
    snprintf(salient_name, sizeof salient_name, "%s.salient", name);
    float *expected = pbllm_tensor(name, &rows, &cols), *salient = pbllm_tensor(salient_name, &rows, &cols);
    float *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    for (int64_t i = 0; i < rows * cols; i++) n += salient[i] != 0;
    PerturbationError error;
    const Evidence evidence = { .hessian = c->hessian };
    assert_int_equal(quantize_with("pb-llm", out, &error, c->w, rows, cols, &evidence, setting[0], setting[1], setting[2], setting[3], setting[4],
                                   setting[5], setting[6], setting[7], NULL), OK);
    assert_same_weights(out, expected, c->w, rows * cols);
    assert_true(error.bits == expected_bits(rows, cols, n, salient_bits, group));
    assert_true(error.code_bits == (double)(rows * cols - n + salient_bits * n) / (double)(rows * cols));
    free(expected), free(salient), free(out);
}

static void test_definition(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    check_case(&c, "default", 8, c.cols, (const char *const[8]){ NULL });
    check_case(&c, "hessian", 8, c.cols, (const char *const[8]){ "low", "0.8", "metric", "hessian" });
    check_case(&c, "groups", 4, 50, (const char *const[8]){ "low", "0.55", "salient_bits", "4", "group", "50", "percdamp", "0.1" });
    golden_case_without(&c);
    check_case(&c, "dead", 8, c.cols, (const char *const[8]){ "metric", "hessian" });
    golden_case_free(&c);
}

/* ---- what must not change it ---- */

enum { ROWS = 150, COLS = 230 };

static PerturbationError quantize_case(const MadeUpCase *c, float *out, const char *low, const char *group)
{
    PerturbationError error;
    assert_int_equal(quantize_with("pb-llm", out, &error, c->w, ROWS, COLS, &c->evidence, "low", low, "group", group, "metric", "hessian", NULL), OK);
    return error;
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    same_case_in_threads("pb-llm", ROWS, COLS, "low", "0.9", "group", "64", "metric", "hessian", NULL);
}

static void turn_rows(float *w)
{
    for (int64_t i = 0; i < ROWS / 2 * COLS; i++) {
        const int64_t j = (ROWS - 1 - i / COLS) * COLS + i % COLS;
        const float keep = w[i];
        w[i] = w[j], w[j] = keep;
    }
}

static void test_order_of_rows_and_scale_do_not_matter(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    const PerturbationError first = quantize_case(&c, c.out, "0.9", "100");
    turn_rows(c.w);
    const PerturbationError second = quantize_case(&c, c.other, "0.9", "100");
    turn_rows(c.other), turn_rows(c.w);
    assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
    assert_true(first.bits == second.bits && fabs(first.t2 - second.t2) <= 1e-12);
    for (int64_t i = 0; i < ROWS * COLS; i++) c.w[i] *= 8;
    quantize_case(&c, c.other, "0.9", "100");
    for (int64_t i = 0; i < ROWS * COLS; i++) assert_true(c.other[i] == 8 * c.out[i]);
    made_up_case_free(&c);
}

/* Unrelated inputs: nothing is absorbed, and each weight is its sign times the mean size of those of its row that are not salient. */
static void test_unrelated_inputs(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    memset(c.hessian, 0, sizeof *c.hessian * COLS * COLS);
    for (int64_t j = 0; j < COLS; j++) c.hessian[j * COLS + j] = 1;
    c.w[7 * COLS + 7] = 0;
    quantize_case(&c, c.out, "0.9", "0");
    int64_t salient = 0;
    for (int64_t r = 0; r < ROWS; r++) {
        double sum = 0, low = 0, high = 0;
        int64_t n = 0;
        for (int64_t j = 0; j < COLS; j++) {
            const double w = c.w[r * COLS + j];
            low = fmin(low, w), high = fmax(high, w);
            if (fabs(c.out[r * COLS + j] - w) > 1e-3) sum += fabs(w), n++;      /* no 8-bit code is as far off, and most signs are */
        }
        for (int64_t j = 0; j < COLS; j++) {
            const double w = c.w[r * COLS + j], out = c.out[r * COLS + j], a = sum / (double)n;
            const bool is_salient = fabs(out - w) <= 0.51 * (high - low) / 255 + 1e-4 && fabs(fabs(out) - a) > 2e-3;
            salient += is_salient;
            assert_true(is_salient || (fabs(fabs(out) - a) < 2e-3 && (out >= 0) == (w >= 0)));
        }
    }
    assert_true(llabs(salient - ROWS * COLS / 10) <= ROWS * COLS / 50);
    made_up_case_free(&c);
}

static void test_more_salient_weights_are_better(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    const char *const lows[] = { "0.95", "0.9", "0.8", "0.6", "0.5" };
    double before = INFINITY;
    for (int i = 0; i < 5; i++) {
        quantize_case(&c, c.out, lows[i], "0");
        const double now = output_error(c.out, c.w, ROWS, COLS, c.hessian);
        assert_true(now < before);
        before = now;
    }
    memset(c.w, 0, sizeof *c.w * ROWS * COLS);
    assert_true(quantize_case(&c, c.out, "0.9", "0").t2 == 0);
    for (int64_t i = 0; i < ROWS * COLS; i++) c.w[i] = i / COLS % 2 ? 0.3f : -0.3f;
    assert_true(quantize_case(&c, c.out, "0.5", "16").t2 < 1e-6);       /* rows of equal weights: a step of 0 */
    made_up_case_free(&c);
}

/* A weight of an input that was never there is a sign, however large. */
static void test_inputs_never_there(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    for (int64_t i = 0; i < COLS; i++) c.hessian[7 * COLS + i] = c.hessian[i * COLS + 7] = 0;
    c.w[40 * COLS + 7] = 30;
    PerturbationError error;
    const char *const metrics[] = { "magnitude", "hessian" };
    for (int m = 0; m < 2; m++) {
        assert_int_equal(quantize_with("pb-llm", c.out, &error, c.w, ROWS, COLS, &c.evidence, "metric", metrics[m], NULL), OK);
        assert_true(c.out[40 * COLS + 7] > 0 && c.out[40 * COLS + 7] < 1);
    }
    made_up_case_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses_hessians("pb-llm", NULL, NULL);
    Options *options = options_new(perturbation_find("pb-llm")->options);
    assert_int_equal(options_set(options, "low", "0.97", "test"), ERR_ARGUMENT);
    options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_order_of_rows_and_scale_do_not_matter),
        cmocka_unit_test(test_unrelated_inputs),
        cmocka_unit_test(test_more_salient_weights_are_better),
        cmocka_unit_test(test_inputs_never_there),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
