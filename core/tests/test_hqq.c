#include "core/tests/quantizer_checks.h"

static void check_golden(const char *matrix, const char *bits)
{
    char name[32];
    snprintf(name, sizeof name, "hqq.g64.b%s", bits);
    GoldenResult g = golden_result(matrix, name);
    PerturbationError error;

    /* Another code would be a whole step away. */
    assert_int_equal(quantize(g.out, &error, "hqq", g.w, g.rows, g.cols, "bits", bits, "scale_bits", "64", NULL), OK);
    for (int64_t i = 0; i < g.rows * g.cols; i++) assert_true(fabs(g.out[i] - g.expected[i]) <= 1e-6 * fabs(g.expected[i]));
    assert_true(fabs(error.t2 - g.t2) <= 1e-6 * g.t2);
    assert_int_equal(quantize(g.out, &error, "hqq", g.w, g.rows, g.cols, "bits", bits, "scale_bits", "32", NULL), OK);
    assert_true(fabs(error.t2 - g.t2) <= 1e-5 * g.t2);
    assert_int_equal(quantize(g.out, &error, "hqq", g.w, g.rows, g.cols, "bits", bits, NULL), OK);
    assert_true(fabs(error.t2 - g.t2) <= 0.01 * g.t2);
    golden_result_free(&g);
}

static void test_golden(void **state)
{
    (void)state;
    const char *const matrices[] = { "gauss", "real" }, *const bits[] = { "2", "3", "4" };
    for (int m = 0; m < 2; m++)
        for (int b = 0; b < 3; b++) check_golden(matrices[m], bits[b]);
}

/* ---- the definition, in the C library's own functions and without shortcuts ---- */

static double code_of(double w, double scale, double zero, double top) { return fmin(fmax(nearbyint(w / scale + zero), 0), top); }

/* z of one group of n weights after `steps` steps. */
static double solve(const float *w, int n, double scale, double zero, double top, int steps, double p, double beta)
{
    for (int step = 0; step < steps; step++) {
        double sum = 0;
        for (int i = 0; i < n; i++) {
            const double q = code_of(w[i], scale, zero, top), d = w[i] - scale * (q - zero);
            const double e = d == 0 ? 0 : copysign(fmax(fabs(d) - pow(fabs(d), p - 1) / beta, 0), d);
            sum += q - (w[i] - e) / scale;
        }
        zero = sum / n;
    }
    return zero;
}

/* How many of n weights in groups of `group` differ from the definition by more than rounding. */
static int differences(const float *w, const float *out, int rows, int cols, int group, int bits, int scale_bits, int steps, double p, double beta)
{
    int wrong = 0;
    const double top = (1 << bits) - 1;
    for (int r = 0; r < rows; r++)
        for (int first = 0; first < cols; first += group) {
            const int n = cols - first < group ? cols - first : group;
            const float *x = w + r * cols + first;
            double low = x[0], high = x[0];
            for (int i = 0; i < n; i++) low = fmin(low, x[i]), high = fmax(high, x[i]);
            const double scale = scale_stored((high - low) / top, scale_bits);
            const double zero = scale_stored(solve(x, n, scale, -low / scale, top, steps, p, beta), scale_bits);
            for (int i = 0; i < n; i++) {
                const double value = scale * (code_of(x[i], scale, zero, top) - zero);
                wrong += !(fabs(out[r * cols + first + i] - value) <= 1e-6 * (fabs(value) + 0.01 * scale));
            }
        }
    return wrong;
}

/* The stored zero points themselves, to the accuracy of the powers. */
static void check_zero_points(const float *w, int rows, int cols, const Options *options)
{
    const int64_t groups = rows * ((cols + 63) / 64);
    const int bits = (int)options_integer(options, "bits"), steps = (int)options_integer(options, "iterations");
    const double top = (1 << bits) - 1, p = options_number(options, "p"), beta = options_number(options, "beta");
    double *scale = xmalloc((size_t)groups * sizeof *scale), *zero = xmalloc((size_t)groups * sizeof *zero);
    const LayerWeights layer = { w, rows, cols, 3 };
    Packed packed = { 0 };
    assert_int_equal(perturbation_find("hqq")->encode(&packed, &layer, options, NULL, (Draw){ 0 }), OK);
    packed_reals(scale, &packed, 1);
    packed_reals(zero, &packed, 2);
    for (int64_t g = 0; g < groups; g++) {
        const int64_t per_row = (cols + 63) / 64, first = g % per_row * 64, n = cols - first < 64 ? cols - first : 64;
        const float *x = w + g / per_row * cols + first;
        double low = x[0];
        for (int64_t i = 0; i < n; i++) low = fmin(low, x[i]);
        const double expected = solve(x, (int)n, scale[g], -low / scale[g], top, steps, p, beta);
        assert_true(fabs(zero[g] - expected) <= 1e-12 * (1 + fabs(expected)));
    }
    packed_free(&packed);
    free(scale), free(zero);
}

/* Sizes of error over six orders of magnitude about the one where powers matter. */
static void test_powers(void **state)
{
    (void)state;
    enum { ROWS = 30, COLS = 150, N = ROWS * COLS };
    static const char *const powers[] = { "0", "0.3", "0.7", "0.95" }, *const betas[] = { "0.001", "0.1", "1", "10", "1000" };
    static float w[N];
    rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int i = 0; i < N; i++) w[i] *= powf(10, (float)(i / COLS % 7) - 3);
    for (int p = 0; p < 4; p++)
        for (int b = 0; b < 5; b++) {
            Options *options = options_new(perturbation_find("hqq")->options);
            assert_int_equal(options_set(options, "scale_bits", "64", "test"), OK);
            assert_int_equal(options_set(options, "bits", "2", "test"), OK);
            assert_int_equal(options_set(options, "p", powers[p], "test"), OK);
            assert_int_equal(options_set(options, "beta", betas[b], "test"), OK);
            check_zero_points(w, ROWS, COLS, options);
            options_free(options);
        }
}

/* Small weights, whose errors all shrink to 0; large ones, whose errors hardly shrink; and some of both. */
static void test_definition(void **state)
{
    (void)state;
    enum { ROWS = 30, COLS = 150, N = ROWS * COLS };
    static float w[N], out[N];
    static const struct { const char *bits, *scale_bits, *steps, *p, *beta; float size; } cases[] = {
        { "4", "64", "20", "0.7", "10", 0.02f }, { "2", "64", "20", "0.7", "10", 0.3f }, { "3", "64", "20", "0.7", "10", 5 },
        { "2", "32", "7", "0.3", "2", 2 },       { "3", "32", "20", "0", "1", 3 },       { "2", "32", "20", "1", "4", 1 },
        { "8", "16", "20", "0.7", "10", 0.02f }, { "5", "16", "3", "0.5", "100", 1 },    { "2", "16", "1", "0.7", "10", 30 },
        { "4", "16", "0", "0.7", "10", 0.02f },  { "6", "64", "20", "0.7", "1e6", 1e-3f }, { "7", "64", "20", "0.7", "1e-6", 1e4f },
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        PerturbationError error;
        rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, (int)c), 0);
        for (int i = 0; i < N; i++) w[i] *= cases[c].size;
        assert_int_equal(quantize(out, &error, "hqq", w, ROWS, COLS, "bits", cases[c].bits, "scale_bits", cases[c].scale_bits, "iterations", cases[c].steps,
                             "p", cases[c].p, "beta", cases[c].beta, NULL), OK);
        assert_int_equal(differences(w, out, ROWS, COLS, 64, atoi(cases[c].bits), atoi(cases[c].scale_bits), atoi(cases[c].steps),
                                     atof(cases[c].p), atof(cases[c].beta)), 0);
    }
}

/* ---- what it is for ---- */

static double mean_power(const float *out, const float *w, int n, double p)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += pow(fabs((double)out[i] - w[i]), p);
    return sum / n;
}

/* Moving z lowers t^2 where errors do not shrink, and sum |w^ - w|^p where they do. */
static void test_moving_the_zero_point_helps(void **state)
{
    (void)state;
    enum { ROWS = 64, COLS = 256, N = ROWS * COLS };
    static float w[N], out[N];
    const char *const bits[] = { "2", "3", "4" };
    PerturbationError error, unmoved;
    for (int b = 0; b < 3; b++) {
        rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
        for (int i = 0; i < N; i++) w[i] *= 0.02f;
        assert_int_equal(quantize(out, &unmoved, "hqq", w, ROWS, COLS, "bits", bits[b], "scale_bits", "32", "iterations", "0", NULL), OK);
        assert_int_equal(quantize(out, &error, "hqq", w, ROWS, COLS, "bits", bits[b], "scale_bits", "32", NULL), OK);
        assert_true(error.t2 < 0.99 * unmoved.t2);

        for (int i = 0; i < N; i++) w[i] *= 50;
        assert_int_equal(quantize(out, &unmoved, "hqq", w, ROWS, COLS, "bits", bits[b], "scale_bits", "32", "iterations", "0", NULL), OK);
        const double before = mean_power(out, w, N, 0.7);
        assert_int_equal(quantize(out, &error, "hqq", w, ROWS, COLS, "bits", bits[b], "scale_bits", "32", NULL), OK);
        assert_true(mean_power(out, w, N, 0.7) < before);
    }
}

static void test_bits_per_weight(void **state)
{
    (void)state;
    enum { N = 150 };
    float w[2 * N], out[2 * N];
    PerturbationError error;
    rng_normals(w, 2 * N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    assert_int_equal(quantize(out, &error, "hqq", w, 2, N, "bits", "3", NULL), OK);
    assert_true(fabs(error.bits - (3 + 3 * 2 * 16 / 150.0)) < 1e-12 && error.code_bits == 3);        /* groups of 64, 64, 22 */
    assert_int_equal(quantize(out, &error, "hqq", w, 2, N, "bits", "8", "group", "0", "scale_bits", "32", NULL), OK);
    assert_true(fabs(error.bits - (8 + 2 * 32 / 150.0)) < 1e-12 && error.code_bits == 8);
    assert_int_equal(quantize(out, &error, "hqq", w, 2, N, "group", "1000", "scale_bits", "64", NULL), OK);
    assert_true(fabs(error.bits - (4 + 2 * 64 / 150.0)) < 1e-12 && error.code_bits == 4);
}

/* ---- limits ---- */

static void test_degenerate_groups_are_exact(void **state)
{
    (void)state;
    const float constants[] = { 0, -0.1f, 3, 1e-30f, 6e4f, 1e38f };
    float w[8], out[8];
    PerturbationError error;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        for (int wide = 0; wide < 2; wide++) {
            for (int k = 0; k < 8; k++) w[k] = constants[i];
            assert_int_equal(quantize(out, &error, "hqq", w, 2, 4, "scale_bits", wide ? "64" : "32", NULL), OK);
            assert_memory_equal(out, w, sizeof w);
            assert_int_equal(quantize(out, &error, "hqq", w, 1, 8, "group", "1", "scale_bits", "32", NULL), OK);
            assert_memory_equal(out, w, sizeof w);
        }
    /* A constant group next to an ordinary one. */
    for (int k = 0; k < 8; k++) w[k] = k < 4 ? 0.25f : 0.1f * (float)k;
    assert_int_equal(quantize(out, &error, "hqq", w, 1, 8, "group", "4", NULL), OK);
    for (int k = 0; k < 4; k++) assert_true(out[k] == 0.25f);
    assert_true(error.t2 < 1e-3);
}

static void test_beyond_the_stored_format(void **state)
{
    (void)state;
    float out[4];
    PerturbationError error;
    /* Too narrow for half a scale, or for half a zero point: the centre.  A scale too wide: refused. */
    const float narrow[4] = { 1, 1 + 0x1p-23f, 1, 1 }, far[4] = { 100, 100.01f, 100, 100.005f };
    assert_int_equal(quantize(out, &error, "hqq", narrow, 1, 4, "bits", "8", NULL), OK);
    for (int k = 0; k < 4; k++) assert_true(out[k] == 1);
    assert_int_equal(quantize(out, &error, "hqq", far, 1, 4, "bits", "8", NULL), OK);
    for (int k = 0; k < 4; k++) assert_true(out[k] == 100);
    assert_int_equal(quantize(out, &error, "hqq", far, 1, 4, "bits", "8", "scale_bits", "32", NULL), OK);
    assert_true(error.t2 < 1e-12);
    refuses_wide_and_infinite("hqq");
    const float bad[4] = { 1, NAN, 2, 3 }, first[4] = { NAN, 1, 2, 3 }, none[4] = { NAN, NAN, NAN, NAN };
    assert_int_equal(quantize(out, &error, "hqq", bad, 1, 4, "scale_bits", "32", "iterations", "0", NULL), ERR_ARGUMENT);
    assert_int_equal(quantize(out, &error, "hqq", first, 1, 4, "scale_bits", "32", NULL), ERR_ARGUMENT);
    assert_int_equal(quantize(out, &error, "hqq", none, 1, 4, "scale_bits", "64", NULL), ERR_ARGUMENT);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    same_in_threads("hqq", "bits", "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_powers),
        cmocka_unit_test(test_moving_the_zero_point_helps),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_degenerate_groups_are_exact),
        cmocka_unit_test(test_beyond_the_stored_format),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
