/* GPTQ against its equations as they read: the factor and its damping, the loop without blocks, the search for a clip. */
#include <math.h>
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
    const Evidence evidence = { .hessian = h, .input_mean = mean };
    /* Rank 5, and as rounding to float32 leaves it 3e-9 of damping is not enough at once. */
    const char *const percdamp[] = { "0.01", "0.000000003" };
    assert_int_equal(quantize_with("rtn", rounded, &error, w, ROWS, COLS, NULL, NULL), OK);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(quantize_with("gptq", out, &error, w, ROWS, COLS, &evidence, "percdamp", percdamp[k], NULL), OK);
        assert_true(output_error(out, w, ROWS, COLS, h) < 0.5 * output_error(rounded, w, ROWS, COLS, h));
    }
    free(h), free(w);
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
    const Evidence evidence = { .hessian = h };
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

/* The search by |w^ - w|^2.4 as it reads, on a thousand groups without inputs that could move anything. */
static void test_clip_search(void **state)
{
    (void)state;
    enum { ROWS = 1000, COLS = 37 };
    float *h = xcalloc(COLS * COLS, sizeof *h), *w = normals(ROWS * COLS, 2), *out = xmalloc(sizeof *out * ROWS * COLS);
    const Evidence evidence = { .hessian = h };
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factor),
        cmocka_unit_test(test_damping_is_repeated),
        cmocka_unit_test(test_fewer_inputs_than_columns),
        cmocka_unit_test(test_blocks_change_nothing),
        cmocka_unit_test(test_clip_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
