/* SpQR against a slow program of its definition, its stored form to the last bit, what must not change it, and what it refuses. */
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

static float *spqr_tensor(const char *name, int64_t *rows, int64_t *cols) { return tensor_there("spqr", name, rows, cols); }

static int64_t ceil_of(int64_t n, int64_t by) { return (n + by - 1) / by; }

/* Bits of all, kept [rows][cols] being 1 where a weight is an outlier. */
static int64_t expected_bits(const float *kept, int64_t rows, int64_t cols, int bits, int64_t group, int scale_bits, int zero_bits, int64_t stat_group)
{
    int64_t n = 0, most = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t here = 0;
        for (int64_t j = 0; j < cols; j++) here += kept[r * cols + j] != 0;
        n += here, most = here > most ? here : most;
    }
    int count_bits = 0;
    while (most >> count_bits) count_bits++;
    return rows * cols * bits + rows * ceil_of(cols, group) * (scale_bits + zero_bits) + ceil_of(rows, stat_group) * ceil_of(cols, group) * 64
         + 32 * n + rows * count_bits;
}

/* ---- the definition ---- */

static void check_case(const GoldenCase *c, const char *name, const char *percdamp, const char *threshold, int bits, int group, int scale_bits,
                       int zero_bits, int stat_group)
{
    int64_t rows, cols;
    char kept_name[32], setting[5][8];
    snprintf(kept_name, sizeof kept_name, "%s.kept", name);
    const int of[5] = { bits, group, scale_bits, zero_bits, stat_group };
    for (int i = 0; i < 5; i++) snprintf(setting[i], sizeof setting[i], "%d", of[i]);
    float *expected = spqr_tensor(name, &rows, &cols), *kept = spqr_tensor(kept_name, &rows, &cols), *out = xmalloc(sizeof *out * (size_t)(rows * cols));
    PerturbationError error;
    const Evidence evidence = { .hessian = c->hessian };
    assert_int_equal(quantize_with("spqr", out, &error, c->w, rows, cols, &evidence, "bits", setting[0], "group", setting[1], "scale_bits", setting[2],
                                   "zero_bits", setting[3], "stat_group", setting[4], "percdamp", percdamp,
                                   threshold ? "threshold" : "outliers", threshold ? threshold : "no", NULL), OK);
    assert_same_weights(out, expected, c->w, rows * cols);
    assert_true(error.bits == (double)expected_bits(kept, rows, cols, bits, group, scale_bits, zero_bits, stat_group) / (double)(rows * cols));
    assert_true(error.code_bits == bits);
    free(expected), free(kept), free(out);
}

static void test_definition(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    check_case(&c, "default", "1", "0.2", 3, 16, 3, 3, 16);
    check_case(&c, "none", "1", NULL, 3, 16, 3, 3, 16);
    check_case(&c, "uneven", "0.01", "1", 2, 20, 4, 2, 4);
    check_case(&c, "row", "1", "0.05", 4, 144, 3, 3, 8);
    golden_case_without(&c);
    check_case(&c, "dead", "1", "0.2", 3, 16, 3, 3, 16);
    golden_case_free(&c);
}

/* The defaults are those of the case "default", and group = 0 is the row. */
static void test_defaults(void **state)
{
    (void)state;
    GoldenCase c = golden_case();
    const int64_t n = c.rows * c.cols;
    float *out = xmalloc(sizeof *out * (size_t)n), *expected[2];
    PerturbationError error;
    const Evidence evidence = { .hessian = c.hessian };
    expected[0] = spqr_tensor("default", &c.rows, &c.cols), expected[1] = spqr_tensor("row", &c.rows, &c.cols);
    assert_int_equal(quantize_with("spqr", out, &error, c.w, c.rows, c.cols, &evidence, NULL), OK);
    assert_same_weights(out, expected[0], c.w, n);
    assert_int_equal(quantize_with("spqr", out, &error, c.w, c.rows, c.cols, &evidence, "bits", "4", "group", "0", "stat_group", "8",
                                   "threshold", "0.05", NULL), OK);
    assert_same_weights(out, expected[1], c.w, n);
    free(out), free(expected[0]), free(expected[1]);
    golden_case_free(&c);
}

/* ---- what must not change it ---- */

enum { COLS = 210, ROWS = PARALLEL_WEIGHTS / COLS + 2 };       /* enough for threads */

static PerturbationError quantize_case(const MadeUpCase *c, float *out, const float *w, int64_t rows, const char *outliers)
{
    PerturbationError error;
    assert_int_equal(quantize_with("spqr", out, &error, w, rows, COLS, &c->evidence, "outliers", outliers, NULL), OK);
    return error;
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    same_case_in_threads("spqr", ROWS, COLS, "outliers", "yes", NULL);
}

/* Sixteen rows share their statistics and nothing else: alone, or with others in their place, they become the same. */
static void test_sixteen_rows_stand_alone(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    quantize_case(&c, c.out, c.w, ROWS, "no");
    for (int64_t r = 0; r < ROWS; r += 16) {
        const int64_t rows = ROWS - r < 16 ? ROWS - r : 16;
        quantize_case(&c, c.other, c.w + r * COLS, rows, "no");
        assert_memory_equal(c.other, c.out + r * COLS, sizeof *c.out * (size_t)(rows * COLS));
    }
    made_up_case_free(&c);
}

static void swap_blocks(float *w)
{
    for (int64_t i = 0; i < 16 * COLS; i++) {
        const float keep = w[i + 16 * COLS];
        w[i + 16 * COLS] = w[i + 80 * COLS], w[i + 80 * COLS] = keep;
    }
}

static void test_order_of_blocks_and_scale_do_not_matter(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    const PerturbationError first = quantize_case(&c, c.out, c.w, ROWS, "yes");
    assert_true(first.bits > 3 + 6 / 16.0 + 64 / 256.0 + 0.1);           /* there are outliers */
    swap_blocks(c.w);
    const PerturbationError second = quantize_case(&c, c.other, c.w, ROWS, "yes");
    swap_blocks(c.other);
    assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
    assert_true(first.bits == second.bits);
    swap_blocks(c.w);
    for (int64_t i = 0; i < ROWS * COLS; i++) c.w[i] *= 8;
    quantize_case(&c, c.other, c.w, ROWS, "yes");
    for (int64_t i = 0; i < ROWS * COLS; i++) assert_true(c.other[i] == 8 * c.out[i]);
    made_up_case_free(&c);
}

/* ---- outliers ---- */

/* A weight far out is kept, as a half, and the others of its group are as well off as if it were not there. */
static void test_outliers_pay(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    c.w[5 * COLS] = 0.7f;
    const double none = (quantize_case(&c, c.other, c.w, ROWS, "no"), output_error(c.other, c.w, ROWS, COLS, c.hessian));
    quantize_case(&c, c.out, c.w, ROWS, "yes");
    assert_true(output_error(c.out, c.w, ROWS, COLS, c.hessian) < 0.7 * none);
    assert_true(c.out[5 * COLS] == (float)scale_stored(0.7f, 16));
    for (int64_t j = 1; j < 16; j++) assert_true(fabsf(c.out[5 * COLS + j] - c.w[5 * COLS + j]) <= 0.1f);
    assert_true(quantize_case(&c, c.out, c.w, 1, "yes").bits == 3 + 14 * (6 + 64) / (double)COLS);      /* one row: T = 0, no outliers */
    made_up_case_free(&c);
}

/* Groups of equal weights are what they are up to the halves of the statistics, and rows of zeros are zeros. */
static void test_equal_weights(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    for (int64_t r = 0; r < 32; r++)
        for (int64_t j = 0; j < COLS; j++) c.w[r * COLS + j] = r < 16 ? 0 : (r % 2 ? 0.3f : -0.3f);
    quantize_case(&c, c.out, c.w, 32, "no");
    for (int64_t i = 0; i < 32 * COLS; i++) assert_true(fabsf(c.out[i] - c.w[i]) <= 0.002f * fabsf(c.w[i]));
    memset(c.w, 0, sizeof *c.w * ROWS * COLS);
    assert_true(quantize_case(&c, c.out, c.w, ROWS, "yes").t2 == 0);
    made_up_case_free(&c);
}

/* Inputs that were never there cost nothing: no outliers, and no part in anyone else's. */
static void test_inputs_never_there(void **state)
{
    (void)state;
    MadeUpCase c = made_up_case(ROWS, COLS);
    for (int64_t i = 0; i < COLS; i++) c.hessian[7 * COLS + i] = c.hessian[i * COLS + 7] = 0;
    const PerturbationError before = quantize_case(&c, c.out, c.w, ROWS, "yes");
    for (int64_t r = 0; r < ROWS; r++) c.w[r * COLS + 7] = r == 40 ? 0.05f : 0;
    const PerturbationError first = quantize_case(&c, c.out, c.w, ROWS, "yes");
    c.w[40 * COLS + 7] = 30;
    const PerturbationError after = quantize_case(&c, c.other, c.w, ROWS, "yes");
    assert_true(c.other[40 * COLS + 7] != 30 && fabs(before.bits - first.bits) < 0.01);
    for (int64_t i = 0; i < ROWS * COLS; i++)
        if (i / COLS / 16 != 40 / 16) assert_true(c.other[i] == c.out[i]);      /* the rows that share its statistics may change */
    assert_true(after.t2 > first.t2);
    memset(c.hessian, 0, sizeof *c.hessian * COLS * COLS);
    assert_true(quantize_case(&c, c.out, c.w, ROWS, "yes").bits == quantize_case(&c, c.other, c.w, ROWS, "no").bits);
    assert_memory_equal(c.out, c.other, sizeof *c.out * ROWS * COLS);
    made_up_case_free(&c);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses_hessians("spqr", "percdamp", "0.01");
    Options *options = options_new(perturbation_find("spqr")->options);
    assert_int_equal(options_set(options, "stat_group", "24", "test"), ERR_ARGUMENT);
    assert_int_equal(options_set(options, "threshold", "0", "test"), ERR_ARGUMENT);
    options_free(options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_sixteen_rows_stand_alone),
        cmocka_unit_test(test_order_of_blocks_and_scale_do_not_matter),
        cmocka_unit_test(test_outliers_pay),
        cmocka_unit_test(test_equal_weights),
        cmocka_unit_test(test_inputs_never_there),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
