#include "core/tests/quantizer_checks.h"

#include "core/model/dequantize.h"

static void check_golden(const char *matrix, const char *group, const char *bits)
{
    char name[32];
    snprintf(name, sizeof name, "rtn.%s.b%s", strcmp(group, "0") ? "g64" : "row", bits);
    GoldenResult g = golden_result(matrix, name);
    PerturbationError error;

    assert_int_equal(quantize(g.out, &error, "rtn", g.w, g.rows, g.cols, "bits", bits, "group", group, "scale_bits", "64", NULL), OK);
    for (int64_t i = 0; i < g.rows * g.cols; i++) assert_true(g.out[i] == g.expected[i]);
    /* The golden t^2 is that of W^ before its rounding to float32, which at 8 bits is worth 1.9e-7. */
    assert_true(fabs(error.t2 - g.t2) <= 2.5e-7 * g.t2);

    assert_int_equal(quantize(g.out, &error, "rtn", g.w, g.rows, g.cols, "bits", bits, "group", group, "scale_bits", "32", NULL), OK);
    for (int64_t i = 0; i < g.rows * g.cols; i++) assert_true(fabs(g.out[i] - g.expected[i]) <= 0x1p-22 * fabs(g.expected[i]));
    assert_int_equal(quantize(g.out, &error, "rtn", g.w, g.rows, g.cols, "bits", bits, "group", group, NULL), OK);
    assert_true(fabs(error.t2 - g.t2) <= 0.01 * g.t2);      /* half scales cost next to nothing */
    golden_result_free(&g);
}

static void test_golden(void **state)
{
    (void)state;
    const char *const matrices[] = { "gauss", "real" }, *const groups[] = { "0", "64" }, *const bits[] = { "2", "3", "4", "8" };
    for (int m = 0; m < 2; m++)
        for (int g = 0; g < 2; g++)
            for (int b = 0; b < 4; b++) check_golden(matrices[m], groups[g], bits[b]);
}

/* Every weight on the grid point nearest to it, and no more grid points than codes. */
static void test_symmetric_is_nearest(void **state)
{
    (void)state;
    enum { COLS = 100, ROWS = 9 };
    float w[ROWS * COLS], out[ROWS * COLS];
    PerturbationError error;
    rng_normals(w, ROWS * COLS, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int bits = 2; bits <= 8; bits++) {
        char text[2] = { (char)('0' + bits), 0 };
        assert_int_equal(quantize(out, &error, "rtn", w, ROWS, COLS, "bits", text, "group", "30", "symmetric", "yes", "scale_bits", "32", NULL), OK);
        assert_true(fabs(error.bits - (bits + 4 * 32 / 100.0)) < 1e-12);
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++) {
                int first = c / 30 * 30, n = COLS - first < 30 ? COLS - first : 30;
                float largest = 0;
                for (int k = 0; k < n; k++) largest = fmaxf(largest, fabsf(w[r * COLS + first + k]));
                double s = (float)(largest / ((1 << (bits - 1)) - 1.0)), x = w[r * COLS + c];
                assert_true(out[r * COLS + c] == (float)(s * nearbyint(x / s)));
            }
    }
}

static void test_bits_per_weight(void **state)
{
    (void)state;
    enum { N = 150 };
    float w[2 * N], out[2 * N];
    PerturbationError error;
    rng_normals(w, 2 * N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    assert_int_equal(quantize(out, &error, "rtn", w, 2, N, "bits", "3", NULL), OK);
    assert_true(fabs(error.bits - (3 + 3 * (16 + 3) / 150.0)) < 1e-12);        /* groups of 64, 64, 22 */
    assert_int_equal(quantize(out, &error, "rtn", w, 2, N, "bits", "4", "group", "0", "scale_bits", "32", NULL), OK);
    assert_true(fabs(error.bits - (4 + (32 + 4) / 150.0)) < 1e-12);
    assert_int_equal(quantize(out, &error, "rtn", w, 2, N, "bits", "4", "group", "1000", NULL), OK);
    assert_true(fabs(error.bits - (4 + (16 + 4) / 150.0)) < 1e-12);

    for (int i = 0; i < 2 * N; i++) w[i] = 10 + 0.1f * (w[i] > 0 ? 1 : -1);     /* z about -50 * 15 */
    assert_int_equal(quantize(out, &error, "rtn", w, 2, N, "bits", "4", "group", "0", "scale_bits", "32", NULL), OK);
    assert_true(fabs(error.bits - (4 + (32 + 16) / 150.0)) < 1e-12);
    assert_true(error.t2 < 1e-6);
}

static void test_degenerate_groups_are_exact(void **state)
{
    (void)state;
    const float constants[] = { 0, -0.1f, 3, 1e-30f, 6e4f, 1e38f };
    const char *const symmetric[] = { "no", "yes" };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        for (int s = 0; s < 2; s++) {
            float w[8], out[8];
            PerturbationError error;
            for (int k = 0; k < 8; k++) w[k] = constants[i];
            assert_int_equal(quantize(out, &error, "rtn", w, 1, 8, "symmetric", symmetric[s], "scale_bits", "64", NULL), OK);
            assert_memory_equal(out, w, sizeof w);
            assert_int_equal(quantize(out, &error, "rtn", w, 2, 4, "symmetric", symmetric[s], "scale_bits", "32", NULL), OK);
            assert_true(error.t2 <= 1e-14);
            if (s == 0) assert_true(error.t2 == 0);
        }
}

static void test_every_half(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++) {             /* all neighbours from 0 to 65504 */
        double low = half_to_float(h), high = half_to_float(h + 1), middle = (low + high) / 2;
        assert_true(scale_stored(low, 16) == low && scale_stored(-high, 16) == -high);
        assert_true(scale_stored(middle, 16) == (h % 2 ? high : low));
        assert_true(scale_stored(nextafter(middle, 0), 16) == low && scale_stored(nextafter(middle, 1e9), 16) == high);
    }
    assert_true(scale_stored(65519.99, 16) == 65504 && isinf(scale_stored(65520, 16)));
    assert_true(scale_stored(0.1, 32) == 0.1f && scale_stored(0.1, 64) == 0.1 && isinf(scale_stored(1e300, 32)));
    assert_true(isnan(scale_stored(NAN, 16)));
}

static void test_scales_beyond_their_format(void **state)
{
    (void)state;
    /* Too narrow for a half: the centre of the group.  Too wide: refused. */
    const float w[4] = { 1, 1 + 0x1p-23f, 1, 1 };
    float out[4];
    PerturbationError error;
    assert_int_equal(quantize(out, &error, "rtn", w, 1, 4, "bits", "8", NULL), OK);
    assert_true(out[0] == 1 && out[1] == 1);
    refuses_wide_and_infinite("rtn");
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    same_in_threads("rtn", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_symmetric_is_nearest),
        cmocka_unit_test(test_bits_per_weight),
        cmocka_unit_test(test_degenerate_groups_are_exact),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_scales_beyond_their_format),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
