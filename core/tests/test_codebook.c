#include "core/tests/codebook_levels.h"
#include "core/tests/quantizer_checks.h"

static void check_golden(const char *matrix, const char *quantizer, const char *name, double tolerance)
{
    GoldenResult g = golden_result(matrix, name);
    PerturbationError error;
    assert_int_equal(quantize(g.out, &error, quantizer, g.w, g.rows, g.cols, "scale_bits", "64", NULL), OK);
    for (int64_t i = 0; i < g.rows * g.cols; i++) assert_true(fabs(g.out[i] - g.expected[i]) <= tolerance * fabs(g.expected[i]));
    assert_true(fabs(error.t2 - g.t2) <= 1e-5 * g.t2);
    assert_int_equal(quantize(g.out, &error, quantizer, g.w, g.rows, g.cols, "scale_bits", "16", NULL), OK);
    assert_true(fabs(error.t2 - g.t2) <= 0.01 * g.t2);
    golden_result_free(&g);
}

/* Levels are 0.04 apart at least, so values as near as this have equal codes. */
static void test_golden(void **state)
{
    (void)state;
    check_golden("gauss", "nf", "nf4.g64", 1e-6);
    check_golden("real", "nf", "nf4.g64", 1e-6);
    check_golden("gauss", "af", "af4.g64", 1e-6);
    check_golden("real", "af", "af4.g64", 1e-6);
}

static void test_nearest_level(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 100, GROUP = 30, N = ROWS * COLS };
    static float w[N], out[N];
    double level[MOST_LEVELS];
    PerturbationError error;
    rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    const char *const scale_bits[] = { "16", "32", "64" };
    for (int q = 0; q < 2; q++)
        for (int b = 2; b <= 4; b++)
            for (int s = 0; s < 3; s++) {
                const char bits[2] = { (char)('0' + b), 0 };
                assert_int_equal(levels_seen(level, quantizers[q], bits, "30", NULL), 1 << b);
                assert_int_equal(quantize(out, &error, quantizers[q], w, ROWS, COLS, "bits", bits, "group", "30",
                                          "scale_bits", scale_bits[s], NULL), OK);
                for (int r = 0; r < ROWS; r++)
                    for (int c = 0; c < COLS; c++) {
                        const int first = c / GROUP * GROUP, n = COLS - first < GROUP ? COLS - first : GROUP, at = r * COLS + c;
                        float largest = 0;
                        for (int k = 0; k < n; k++) largest = fmaxf(largest, fabsf(w[r * COLS + first + k]));
                        const double a = scale_stored(largest, atoi(scale_bits[s]));
                        double nearest = INFINITY, on_grid = INFINITY;
                        for (int k = 0; k < 1 << b; k++) {
                            nearest = fmin(nearest, fabs(w[at] - a * level[k]));
                            on_grid = fmin(on_grid, fabs(out[at] - a * level[k]));
                        }
                        assert_true(on_grid <= 1e-7 * a && fabs(w[at] - out[at]) <= nearest + 1e-7 * a);
                    }
            }
}

/* The largest weight of a group is exact, and 0 is 0. */
static void test_largest_weights_stay(void **state)
{
    (void)state;
    const float w[8] = { 0.3f, -2, 2, 0, -1e-3f, 0.7f, -0.7f, 0.1f };
    float out[8];
    PerturbationError error;
    for (int q = 0; q < 2; q++)
        for (int b = 2; b <= 4; b++) {
            const char bits[2] = { (char)('0' + b), 0 };
            assert_int_equal(quantize(out, &error, quantizers[q], w, 2, 4, "bits", bits, "group", "0", "scale_bits", "32", NULL), OK);
            assert_true(out[1] == -2 && out[2] == 2 && out[3] == 0 && out[4] == 0 && out[5] == 0.7f && out[6] == -0.7f);
        }
}

/* Half way between -1 and 0 the lower one is taken, as the first of the nearest. */
static void test_half_way(void **state)
{
    (void)state;
    const float w[4] = { 2, -1, -0.9999999f, -1.0000001f };
    float out[4];
    PerturbationError error;
    for (int q = 0; q < 2; q++) {
        assert_int_equal(quantize(out, &error, quantizers[q], w, 1, 4, "bits", "2", NULL), OK);
        assert_true(out[0] == 2 && out[1] == -2 && out[2] == 0 && out[3] == -2);
    }
}

static void check_bits(const char *quantizer, double expected, double code_bits, int64_t rows, int64_t cols,
                       const char *group, const char *scale_bits, const char *twice)
{
    float *w = xmalloc((size_t)(rows * cols) * sizeof *w), *out = xmalloc((size_t)(rows * cols) * sizeof *out);
    PerturbationError error;
    rng_normals(w, rows * cols, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    const char bits[2] = { (char)('0' + (int)code_bits), 0 };
    assert_int_equal(quantize(out, &error, quantizer, w, rows, cols, "bits", bits, "group", group, "scale_bits", scale_bits,
                              "double", twice, NULL), OK);
    assert_true(fabs(error.bits - expected) < 1e-12 && error.code_bits == code_bits);
    free(w), free(out);
}

static void test_bits_per_weight(void **state)
{
    (void)state;
    for (int q = 0; q < 2; q++) {
        check_bits(quantizers[q], 4.25, 4, 8, 256, "64", "16", "no");
        check_bits(quantizers[q], 3 + 3 * 16 / 150.0, 3, 2, 150, "64", "16", "no");              /* groups of 64, 64, 22 */
        check_bits(quantizers[q], 2 + 32 / 150.0, 2, 2, 150, "0", "32", "no");
        check_bits(quantizers[q], 4 + 64 / 150.0, 4, 2, 150, "1000", "64", "no");
        check_bits(quantizers[q], 4 + 8 / 64.0 + 32.0 / (64 * 256) + 32.0 / (64 * 512), 4, 32, 1024, "64", "16", "yes");     /* 4.127 and the mean */
        check_bits(quantizers[q], 3 + (300 * 8 + 2 * 32 + 32) / 15000.0, 3, 100, 150, "64", "64", "yes");      /* 300 groups: blocks of 256, 44 */
    }
}

/* ---- double quantization ---- */

static double hashed(uint32_t i)
{
    uint32_t h = i * 2654435761u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return (h >> 16) / 65536.0;
}

static void test_double_quantization(void **state)
{
    (void)state;
    json_t *golden = golden_codebook("double");
    const int64_t rows = json_integer_value(json_object_get(golden, "rows")), cols = json_integer_value(json_object_get(golden, "cols"));
    const int64_t group = json_integer_value(json_object_get(golden, "group")), n = rows * cols;
    const double t2 = json_number_value(json_object_get(golden, "t2"));
    double *scale = xmalloc((size_t)(n / group) * sizeof *scale);
    float *w = xmalloc((size_t)n * sizeof *w), *out = xmalloc((size_t)n * sizeof *out);
    PerturbationError error, plain;
    assert_int_equal(numbers(scale, (int)(n / group), json_object_get(golden, "scale")), n / group);
    for (int64_t i = 0; i < n; i++) w[i] = (float)(0.1 * (hashed((uint32_t)i) - 0.5) * (0.5 + hashed((uint32_t)(i / group + 1000000))));

    assert_true(group == 64 && n / group > 512);
    assert_int_equal(quantize(out, &error, "nf", w, rows, cols, "double", "yes", NULL), OK);
    int others = 0;
    for (int64_t g = 0; g < n / group; g++) {               /* +-1 are levels, so the largest w^ of a group is its scale */
        double largest = 0;
        for (int64_t i = g * group; i < (g + 1) * group; i++) largest = fmax(largest, fabs(out[i]));
        assert_true(fabs(largest - scale[g]) <= 0.015 * 0.026);     /* one step of 8 bits, of the largest A */
        others += !(fabs(largest - scale[g]) <= 1e-6 * scale[g]);
    }
    assert_true(others <= 2);                               /* in float32 one lies 1e-4 of a step on the other side of a middle */
    /* bitsandbytes chooses codes by the scale before it is quantized, which can only be worse. */
    assert_true(t2 > 0 && error.t2 <= t2 && error.t2 >= 0.99 * t2);
    assert_int_equal(quantize(out, &plain, "nf", w, rows, cols, "scale_bits", "64", NULL), OK);
    assert_true(error.t2 > plain.t2 && error.t2 < 1.05 * plain.t2);
    json_decref(golden);
    free(scale), free(w), free(out);
}

static void test_degenerate_groups(void **state)
{
    (void)state;
    const float constants[] = { 0, -0.1f, 3, 1e-30f, 6e4f, 1e38f };
    const char *const twice[] = { "no", "yes" };
    float w[16], out[16];
    PerturbationError error;
    for (int q = 0; q < 2; q++)
        for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
            for (int d = 0; d < 2; d++) {
                for (int k = 0; k < 16; k++) w[k] = constants[i];
                assert_int_equal(quantize(out, &error, quantizers[q], w, 2, 8, "group", "4", "scale_bits", "32", "double", twice[d], NULL), OK);
                assert_memory_equal(out, w, sizeof w);
                for (int k = 8; k < 16; k++) w[k] = 0;      /* next to groups of another size */
                assert_int_equal(quantize(out, &error, quantizers[q], w, 2, 8, "group", "4", "scale_bits", "32", "double", twice[d], NULL), OK);
                for (int k = 8; k < 16; k++) assert_true(out[k] == 0);
                assert_true(error.t2 <= (d ? 1e-3 : 0));
            }
    /* A group of one weight is that weight; a scale below the least half is 0. */
    for (int k = 0; k < 16; k++) w[k] = k == 3 ? 1e-9f : 0.25f * (float)(k - 7);
    assert_int_equal(quantize(out, &error, "af", w, 1, 16, "group", "1", NULL), OK);
    for (int k = 0; k < 16; k++) assert_true(out[k] == (k == 3 ? 0 : w[k]));
}

static void test_refusals(void **state)
{
    (void)state;
    const float bad[4] = { 1, NAN, 2, 3 }, none[4] = { NAN, NAN, NAN, NAN }, infinite[4] = { 1, INFINITY, 2, 3 }, huge[4] = { 1e6f, 1, 2, 3 };
    float out[4];
    PerturbationError error;
    const char *const twice[] = { "no", "yes" };
    for (int q = 0; q < 2; q++)
        for (int d = 0; d < 2; d++) {
            assert_int_equal(quantize(out, &error, quantizers[q], bad, 1, 4, "double", twice[d], NULL), ERR_ARGUMENT);
            assert_int_equal(quantize(out, &error, quantizers[q], none, 1, 4, "double", twice[d], NULL), ERR_ARGUMENT);
            assert_int_equal(quantize(out, &error, quantizers[q], infinite, 1, 4, "scale_bits", "64", "double", twice[d], NULL), ERR_ARGUMENT);
        }
    assert_int_equal(quantize(out, &error, "nf", huge, 1, 4, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "nf: a scale of layer 3 does not fit into 16 bits"));
    assert_int_equal(quantize(out, &error, "nf", huge, 1, 4, "double", "yes", NULL), OK);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    for (int q = 0; q < 2; q++) {
        same_in_threads(quantizers[q], "double", "no");
        same_in_threads(quantizers[q], "double", "yes");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_nearest_level),
        cmocka_unit_test(test_largest_weights_stay),
        cmocka_unit_test(test_half_way),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_double_quantization),
        cmocka_unit_test(test_degenerate_groups),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
