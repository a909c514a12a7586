#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/quantize/hessian.h"
#include "core/tests/data_aware.h"

/* ---- the factor ---- */

/* U'U (H + damping I) = I, U upper triangular with a positive diagonal, for a Hessian with diagonal d. */
static void check_factor(const float *hessian, int64_t n, const int64_t *order, double percdamp, double damping)
{
    double *u = xmalloc(sizeof *u * (size_t)(n * n)), *h = xmalloc(sizeof *h * (size_t)(n * n)), *inverse = xcalloc((size_t)(n * n), sizeof *h);
    hessian_load(h, hessian, n, order);
    hessian_load(u, hessian, n, order);
    assert_int_equal(hessian_factor(u, n, percdamp, "test", 0), OK);
    for (int64_t i = 0; i < n; i++) {
        assert_true(u[i * n + i] > 0);
        for (int64_t j = 0; j < i; j++) assert_true(u[i * n + j] == 0);
        for (int64_t j = 0; j < n; j++) {
            const int64_t a = order ? order[i] : i, b = order ? order[j] : j;
            assert_true(h[i * n + j] == hessian[a * n + b]);
            for (int64_t k = 0; k < n; k++) inverse[j * n + k] += u[i * n + j] * u[i * n + k];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = inverse[i * n + j] * damping;
            for (int64_t k = 0; k < n; k++) sum += inverse[i * n + k] * h[k * n + j];
            assert_true(fabs(sum - (i == j)) < 1e-9);
        }
    free(u), free(h), free(inverse);
}

static double mean_diagonal(const float *h, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += h[i * n + i];
    return sum / (double)n;
}

static void test_factor(void **state)
{
    (void)state;
    const int64_t sizes[] = { 1, 2, 37, 130 };
    for (int k = 0; k < 4; k++) {
        const int64_t n = sizes[k];
        double mean[130];
        int64_t order[130];
        for (int64_t i = 0; i < n; i++) order[i] = (i * 7 + 3) % n;
        float *h = made_up_hessian(mean, n, 2 * n, 3);
        check_factor(h, n, NULL, 0.01, 0.01 * mean_diagonal(h, n));
        if (n % 7) check_factor(h, n, order, 0.25, 0.25 * mean_diagonal(h, n));
        free(h);
    }
}

/* An eigenvalue of -0.055 takes six dampings of 0.01, and one of -2 more than there are. */
static void test_damping_is_repeated(void **state)
{
    (void)state;
    const float slightly[4] = { 1, 1.055f, 1.055f, 1 }, badly[4] = { 1, 3, 3, 1 }, singular[4] = { 1, 1, 1, 1 };
    double u[4], v[4];
    check_factor(slightly, 2, NULL, 0.01, 0.06);
    hessian_load(u, slightly, 2, NULL), hessian_load(v, slightly, 2, NULL);
    assert_int_equal(hessian_factor(u, 2, 0.01, "test", 0), OK);
    assert_int_equal(hessian_factor(v, 2, 0.06, "test", 0), OK);
    for (int i = 0; i < 4; i++) assert_true(fabs(u[i] - v[i]) < 1e-12);
    hessian_load(u, badly, 2, NULL);
    assert_int_equal(hessian_factor(u, 2, 0.01, "test", 5), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "layer 5 is not positive definite, even with 1.01 of"));
    hessian_load(u, singular, 2, NULL);
    assert_int_equal(hessian_factor(u, 2, 0, "test", 5), ERR_ARGUMENT);
    check_factor(singular, 2, NULL, 0.01, 0.01);
}

static void test_fewer_inputs_than_columns(void **state)
{
    (void)state;
    enum { ROWS = 8, COLS = 60 };
    double mean[COLS];
    float *h = made_up_hessian(mean, COLS, 5, 1), *w = normals(ROWS * COLS, 2), out[ROWS * COLS], rounded[ROWS * COLS];
    PerturbationError error;
    const Evidence evidence = { h, mean };
    /* Rank 5, and as rounding to float32 leaves it 3e-9 of damping is not enough at once. */
    const char *const percdamp[] = { "0.01", "0.000000003" };
    assert_int_equal(quantize_with("rtn", rounded, &error, w, ROWS, COLS, NULL, NULL), OK);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(quantize_with("gptq", out, &error, w, ROWS, COLS, &evidence, "percdamp", percdamp[k], NULL), OK);
        assert_true(output_error(out, w, ROWS, COLS, h) < 0.5 * output_error(rounded, w, ROWS, COLS, h));
    }
    free(h), free(w);
}

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
    const Evidence evidence = { h, NULL };
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
    const Evidence evidence = { hessian, NULL };
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
    const Evidence evidence = { c.hessian, NULL };
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

/* ---- the loop ---- */

/* The upper factor of the inverse, by Gauss-Jordan and Cholesky as they stand in the books. */
static void plain_factor(double *u, const float *hessian, int64_t n, double percdamp)
{
    double *a = xmalloc(sizeof *a * (size_t)(n * n)), *b = xcalloc((size_t)(n * n), sizeof *b);
    for (int64_t i = 0; i < n * n; i++) a[i] = hessian[i], u[i] = 0;
    const double damping = percdamp * mean_diagonal(hessian, n);
    for (int64_t i = 0; i < n; i++) a[i * n + i] += damping, b[i * n + i] = 1;
    for (int64_t p = 0; p < n; p++) {
        const double pivot = a[p * n + p];
        for (int64_t j = 0; j < n; j++) a[p * n + j] /= pivot, b[p * n + j] /= pivot;
        for (int64_t i = 0; i < n; i++) {
            const double factor = a[i * n + p];
            if (i == p) continue;
            for (int64_t j = 0; j < n; j++) a[i * n + j] -= factor * a[p * n + j], b[i * n + j] -= factor * b[p * n + j];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            double sum = b[i * n + j];
            for (int64_t k = 0; k < i; k++) sum -= u[k * n + i] * u[k * n + j];
            u[i * n + j] = j == i ? sqrt(sum) : sum / u[i * n + i];
        }
    free(a), free(b);
}

/* GPTQ at b = 3 without blocks: every correction at once, grids from the ends of the group as it then is. */
static void plain_gptq(float *out, const float *w, int64_t rows, int64_t cols, const double *u, int64_t group)
{
    double *v = xmalloc(sizeof *v * (size_t)cols);
    for (int64_t r = 0; r < rows; r++) {
        double scale = 0, zero = 0;
        for (int64_t j = 0; j < cols; j++) v[j] = w[r * cols + j];
        for (int64_t j = 0; j < cols; j++) {
            if (j % group == 0) {
                double low = v[j], high = v[j];
                for (int64_t k = j; k < cols && k < j + group; k++) low = fmin(low, v[k]), high = fmax(high, v[k]);
                scale = (high - low) / 7, zero = nearbyint(-low / scale);
            }
            const double q = scale * (fmin(fmax(nearbyint(v[j] / scale) + zero, 0), 7) - zero), e = (v[j] - q) / u[j * cols + j];
            for (int64_t k = j + 1; k < cols; k++) v[k] -= e * u[j * cols + k];
            out[r * cols + j] = (float)q;
        }
    }
    free(v);
}

static void test_blocks_change_nothing(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 300 };
    double *mean = xmalloc(sizeof *mean * COLS), *u = xmalloc(sizeof *u * COLS * COLS);
    float *h = made_up_hessian(mean, COLS, 2 * COLS, 3), *w = normals(ROWS * COLS, 2);
    float *out = xmalloc(sizeof *out * ROWS * COLS), *expected = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { h, NULL };
    const int groups[] = { 1 << 20, 300, 200, 129, 128, 100, 64, 7, 5 };
    plain_factor(u, h, COLS, 0.01);
    for (size_t k = 0; k < sizeof groups / sizeof *groups; k++) {
        char group[16];
        PerturbationError error;
        snprintf(group, sizeof group, "%d", groups[k]);
        assert_int_equal(quantize_with("gptq", out, &error, w, ROWS, COLS, &evidence, "bits", "3", "group", group, "scale_bits", "64", NULL), OK);
        plain_gptq(expected, w, ROWS, COLS, u, groups[k]);
        assert_same_weights(out, expected, w, ROWS * COLS);
    }
    free(mean), free(u), free(h), free(w), free(out), free(expected);
}

static void test_unrelated_inputs_are_rtn(void **state)
{
    (void)state;
    enum { ROWS = 70, COLS = 200 };
    float *h = xcalloc(COLS * COLS, sizeof *h), *w = normals(ROWS * COLS, 2);
    float *out = xmalloc(sizeof *out * ROWS * COLS), *rounded = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { h, NULL };
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

/* The search by |w^ - w|^2.4 as it reads, on a thousand groups without inputs that could move anything. */
static void test_clip_search(void **state)
{
    (void)state;
    enum { ROWS = 1000, COLS = 37 };
    float *h = xcalloc(COLS * COLS, sizeof *h), *w = normals(ROWS * COLS, 2), *out = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { h, NULL };
    PerturbationError error;
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < COLS; j++) w[r * COLS + j] *= (float)exp(0.02 * (r - ROWS / 2));
    assert_int_equal(quantize_with("gptq", out, &error, w, ROWS, COLS, &evidence, "bits", "3", "clip", "mse", "scale_bits", "64", NULL), OK);
    for (int r = 0; r < ROWS; r++) {
        double low = 0, high = 0, least = INFINITY, scale = 0, zero = 0;
        for (int j = 0; j < COLS; j++) low = fmin(low, w[r * COLS + j]), high = fmax(high, w[r * COLS + j]);
        for (int i = 0; i < 80; i++) {
            const double s = (1 - i / 100.0) * (high - low) / 7, z = nearbyint(-low / ((high - low) / 7));
            double sum = 0;
            for (int j = 0; j < COLS; j++) {
                const double x = w[r * COLS + j];
                sum += pow(fabs(s * (fmin(fmax(nearbyint(x / s) + z, 0), 7) - z) - x), 2.4);
            }
            if (sum < least) least = sum, scale = s, zero = z;
        }
        for (int j = 0; j < COLS; j++) {
            const double x = w[r * COLS + j], expected = scale * (fmin(fmax(nearbyint(x / scale) + zero, 0), 7) - zero);
            assert_true(fabs(out[r * COLS + j] - expected) <= 1e-6 * scale);
        }
    }
    free(h), free(w), free(out);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { ROWS = 200, COLS = 260 };
    double *mean = xmalloc(sizeof *mean * COLS);
    float *h = made_up_hessian(mean, COLS, COLS, 3), *w = normals(ROWS * COLS, 2);
    float *out = xmalloc(sizeof *out * ROWS * COLS), *first = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { h, NULL };
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
    const Evidence evidence = { h, NULL }, nothing = { NULL, NULL };
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
    const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };
    for (int i = 0; i < 4; i++)
        for (int at = 0; at < 8; at += 3) {
            float damaged[8];
            memcpy(damaged, w, sizeof w);
            damaged[at] = bad[i];
            assert_int_equal(quantize_with("gptq", out, &error, damaged, 4, 2, &evidence, NULL), ERR_ARGUMENT);
        }
    assert_true(error.t2 == -1);
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
        cmocka_unit_test(test_factor),
        cmocka_unit_test(test_damping_is_repeated),
        cmocka_unit_test(test_fewer_inputs_than_columns),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_golden_groups_orders_clips),
        cmocka_unit_test(test_inputs_never_there),
        cmocka_unit_test(test_blocks_change_nothing),
        cmocka_unit_test(test_unrelated_inputs_are_rtn),
        cmocka_unit_test(test_clip_search),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sequential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
