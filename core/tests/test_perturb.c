#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/perturb/perturbation.h"

static const Perturbation *find(const char *name)
{
    const Perturbation *perturbation = perturbation_find(name);
    assert_non_null(perturbation);
    return perturbation;
}

/* Settings as name, value, ..., NULL. */
static Options *settings(const Perturbation *perturbation, ...)
{
    Options *options = options_new(perturbation->options);
    va_list args;
    va_start(args, perturbation);
    for (const char *name; (name = va_arg(args, const char *));)
        assert_int_equal(options_set(options, name, va_arg(args, const char *), "test"), OK);
    va_end(args);
    return options;
}

/* Rows of very different size: a scale that is not per group would show. */
static float *test_weights(int64_t rows, int64_t cols)
{
    float *w = xmalloc((size_t)(rows * cols) * sizeof *w);
    rng_normals(w, rows * cols, 99, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int64_t i = 0; i < rows * cols; i++) w[i] *= (float)(0.01 * (1 + (double)(i / cols % 7)) * (1 + 3.0 * (double)(i % cols % 5 == 0)));
    return w;
}

static double rms(const float *w, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)w[i] * w[i];
    return sqrt(sum / (double)n);
}

enum { ROWS = 33, COLS = 150 };         /* 150 = 64 + 64 + 22 */

static void check_noise(const char *name, const char *scale)
{
    const Perturbation *noise = find(name);
    Options *options = settings(noise, "t2", "0.04", "scale", scale, NULL);
    float *w = test_weights(ROWS, COLS), *out = xmalloc(ROWS * COLS * sizeof *out), *z = xmalloc(ROWS * COLS * sizeof *z);
    const LayerWeights layer = { w, ROWS, COLS, 5 };
    const Draw draw = { 17, 2, 3 };
    PerturbationError error;
    assert_int_equal(perturbation_apply(out, &error, noise, &layer, options, NULL, draw), OK);
    assert_true(isnan(error.bits));

    if (!strcmp(name, "sign"))
        rng_signs(z, ROWS * COLS, 17, rng_stream(RNG_SIGN, 5, 2, 3), 0);
    else
        rng_normals(z, ROWS * COLS, 17, rng_stream(RNG_NOISE, 5, 2, 3), 0);
    const double of_matrix = rms(w, ROWS * COLS);
    double expected_t2 = 0;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            int first = c / 64 * 64, n = COLS - first < 64 ? COLS - first : 64;
            double sigma = 0.2 * (!strcmp(scale, "group") ? rms(w + r * COLS + first, n) : of_matrix);
            int i = r * COLS + c;
            assert_true(fabs((double)out[i] - (w[i] + sigma * z[i])) <= 1e-7 * (fabs(w[i]) + sigma * fabs(z[i])));
            expected_t2 += pow(sigma * z[i], 2);
        }
    expected_t2 /= ROWS * COLS * of_matrix * of_matrix;
    assert_true(fabs(error.t2 - expected_t2) < 1e-6 * expected_t2);
    if (!strcmp(name, "sign")) assert_true(fabs(error.t2 - 0.04) < 1e-7);       /* exact in every draw */
    options_free(options);
    free(w), free(out), free(z);
}

static void test_noise_is_its_definition(void **state)
{
    (void)state;
    check_noise("gaussian", "group");
    check_noise("gaussian", "matrix");
    check_noise("sign", "group");
    check_noise("sign", "matrix");
}

static double t2_of(const Perturbation *noise, const Options *options, const LayerWeights *layer, float *out, Draw draw)
{
    PerturbationError error;
    assert_int_equal(perturbation_apply(out, &error, noise, layer, options, NULL, draw), OK);
    return error.t2;
}

static void test_gaussian_has_the_stated_mean_error(void **state)
{
    (void)state;
    enum { DRAWS = 300 };
    const char *const scales[] = { "group", "matrix" };
    float *w = test_weights(ROWS, COLS), *out = xmalloc(ROWS * COLS * sizeof *out);
    const LayerWeights layer = { w, ROWS, COLS, 0 };
    for (int s = 0; s < 2; s++) {
        const Perturbation *noise = find("gaussian");
        Options *options = settings(noise, "t2", "0.1", "scale", scales[s], NULL);
        double sum = 0, squares = 0;
        for (int i = 0; i < DRAWS; i++) {
            double t2 = t2_of(noise, options, &layer, out, (Draw){ 1, i, 0 });
            sum += t2;
            squares += t2 * t2;
        }
        double mean = sum / DRAWS, se = sqrt((squares / DRAWS - mean * mean) / DRAWS);
        assert_true(fabs(mean - 0.1) < 4 * se && se < 1e-3);
        options_free(options);
    }
    free(w), free(out);
}

static void test_streams_of_noise(void **state)
{
    (void)state;
    const Perturbation *noise = find("gaussian");
    Options *fresh = settings(noise, "t2", "0.04", NULL), *shared = settings(noise, "t2", "0.04", "fresh", "shared", NULL);
    Options *small = settings(noise, "t2", "0.01", NULL);
    enum { N = ROWS * COLS, BYTES = N * sizeof(float) };
    float *w = test_weights(ROWS, COLS), *a = xmalloc(BYTES), *b = xmalloc(BYTES);
    LayerWeights layer = { w, ROWS, COLS, 4 }, other = { w, ROWS, COLS, 5 };
    assert_true(noise->per_sequence(fresh));
    assert_false(noise->per_sequence(shared));

    t2_of(noise, fresh, &layer, a, (Draw){ 1, 2, 3 });
    const struct { const LayerWeights *layer; Draw draw; } differ[] = {
        { &layer, { 1, 2, 4 } }, { &layer, { 1, 3, 3 } }, { &layer, { 2, 2, 3 } }, { &other, { 1, 2, 3 } } };
    for (int i = 0; i < 4; i++) {
        t2_of(noise, fresh, differ[i].layer, b, differ[i].draw);
        double dot = 0, aa = 0;
        for (int k = 0; k < N; k++) dot += ((double)a[k] - w[k]) * ((double)b[k] - w[k]), aa += pow((double)a[k] - w[k], 2);
        assert_true(fabs(dot / aa) < 0.1);              /* independent, not merely different */
    }
    t2_of(noise, small, &layer, b, (Draw){ 1, 2, 3 });
    for (int k = 0; k < N; k++)                         /* half the t, the same direction */
        assert_true(fabs(((double)a[k] - w[k]) - 2 * ((double)b[k] - w[k])) < 1e-6 * (fabs(w[k]) + fabs(a[k])));

    t2_of(noise, shared, &layer, a, (Draw){ 1, 2, 3 });
    t2_of(noise, shared, &layer, b, (Draw){ 1, 2, 4 });
    assert_memory_equal(a, b, BYTES);
    options_free(fresh), options_free(shared), options_free(small);
    free(w), free(a), free(b);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    const char *const names[] = { "gaussian", "sign" };
    enum { MANY = PARALLEL_WEIGHTS / COLS + 1, BYTES = MANY * COLS * sizeof(float) };
    float *w = test_weights(MANY, COLS), *a = xmalloc(BYTES), *b = xmalloc(BYTES);
    const LayerWeights layer = { w, MANY, COLS, 4 };
    const int threads = omp_get_max_threads();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const Perturbation *perturbation = find(names[i]);
        Options *options = settings(perturbation, "t2", "0.04", NULL);
        omp_set_num_threads(1);
        double t2 = t2_of(perturbation, options, &layer, a, (Draw){ 1, 2, 3 });
        omp_set_num_threads(3);
        assert_true(t2 == t2_of(perturbation, options, &layer, b, (Draw){ 1, 2, 3 }));
        assert_memory_equal(a, b, BYTES);
        options_free(options);
    }
    omp_set_num_threads(threads);
    free(w), free(a), free(b);
}

static void test_measure(void **state)
{
    (void)state;
    float w[21], out[21];
    double norm2 = 0;
    for (int i = 0; i < 21; i++) w[i] = (float)(i - 7), out[i] = 0.75f * w[i], norm2 += w[i] * w[i];
    PerturbationError error = { -1, -1, 5, 6 };
    perturbation_measure(&error, out, w, 21);
    assert_true(fabs(error.t2 - 0.0625) < 1e-15 && fabs(error.kappa - 0.25) < 1e-15 && error.bits == 5);
    assert_true(sum_of_squares(w, 21) == norm2);
    perturbation_measure(&error, w, w, 21);
    assert_true(error.t2 == 0 && error.kappa == 0);
    memset(w, 0, sizeof w);
    perturbation_measure(&error, w, w, 21);
    assert_true(error.t2 == 0 && error.kappa == 0);
    perturbation_measure(&error, out, w, 21);
    assert_true(isinf(error.t2) && error.kappa == 0);
}

static void test_failures_say_why(void **state)
{
    (void)state;
    assert_null(perturbation_find("guassian"));
    assert_string_equal(err_last(), "unknown perturbation 'guassian'; did you mean 'gaussian'?");
    assert_null(perturbation_find("zzzzzzzz"));
    assert_string_equal(err_last(), "unknown perturbation 'zzzzzzzz'");

    float w[4] = { 1, 2, 3, NAN }, out[4];
    const LayerWeights layer = { w, 1, 4, 9 };
    PerturbationError error = { -1, -2, -3, -4 };
    const Perturbation *noise = find("gaussian");
    Options *unset = settings(noise, NULL), *set = settings(noise, "t2", "0.1", NULL);
    assert_int_equal(perturbation_apply(out, &error, noise, &layer, unset, NULL, (Draw){ 0 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "t2"));
    assert_int_equal(perturbation_apply(out, &error, noise, &layer, set, NULL, (Draw){ 0 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "layer 9"));
    assert_true(error.t2 == -1 && error.kappa == -2 && error.bits == -3);
    options_free(unset), options_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise_is_its_definition),
        cmocka_unit_test(test_gaussian_has_the_stated_mean_error),
        cmocka_unit_test(test_streams_of_noise),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_failures_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
