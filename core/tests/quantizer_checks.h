/* quantizer_checks.h - what tests of quantizers that look at weights alone share: golden results, threads, weights that are refused */
#ifndef CORE_TESTS_QUANTIZER_CHECKS_H
#define CORE_TESTS_QUANTIZER_CHECKS_H

#include <omp.h>

#include "core/quantize/scale.h"
#include "core/tests/quant_golden.h"
#include "core/tests/quantizer_calls.h"

/* Weights of a golden matrix, what quantizer `name` makes of them and at which t^2, and room for a result. */
typedef struct { float *w, *expected, *out; int64_t rows, cols; double t2; } GoldenResult;

static inline GoldenResult golden_result(const char *matrix, const char *name)
{
    GoldenResult g = { .t2 = golden_t2(matrix, name) };
    char file[32];
    int64_t rows, cols;
    snprintf(file, sizeof file, "%s.dequant", matrix);
    g.w = golden_tensor(matrix, "weight", &g.rows, &g.cols);
    g.expected = golden_tensor(file, name, &rows, &cols);
    assert_true(g.w && g.expected && g.rows == rows && g.cols == cols && g.t2 > 0);
    g.out = xmalloc((size_t)(rows * cols) * sizeof *g.out);
    return g;
}

static inline void golden_result_free(GoldenResult *g) { free(g->w), free(g->expected), free(g->out); }

/* With one setting, NULL: none; one thread and three make the same to the last bit. */
static inline void same_in_threads(const char *quantizer, const char *setting, const char *value)
{
    enum { COLS = 130, ROWS = PARALLEL_WEIGHTS / COLS + 1, N = ROWS * COLS };
    static float w[N], one[N], three[N];
    PerturbationError error, again;
    rng_normals(w, N, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    w[N - 1] = 9;
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    assert_int_equal(quantize(one, &error, quantizer, w, ROWS, COLS, setting, value, NULL), OK);
    omp_set_num_threads(3);
    assert_int_equal(quantize(three, &again, quantizer, w, ROWS, COLS, setting, value, NULL), OK);
    omp_set_num_threads(threads);
    assert_memory_equal(one, three, sizeof one);
    assert_memory_equal(&error, &again, sizeof error);
}

/* Scales that are too wide for 16 bits are refused, and weights that are no numbers at any width. */
static inline void refuses_wide_and_infinite(const char *quantizer)
{
    const float wide[4] = { -1e30f, 0, 1, 1e30f }, huge[4] = { 1e6f, 1e6f, 1e6f, 1e6f };
    const float bad[4] = { 1, NAN, 2, 3 }, infinite[4] = { 1, INFINITY, 2, 3 };
    float out[4];
    PerturbationError error;
    assert_int_equal(quantize(out, &error, quantizer, wide, 1, 4, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "layer 3"));
    assert_int_equal(quantize(out, &error, quantizer, huge, 1, 4, NULL), ERR_ARGUMENT);
    assert_int_equal(quantize(out, &error, quantizer, wide, 1, 4, "scale_bits", "32", NULL), OK);
    assert_int_equal(quantize(out, &error, quantizer, bad, 1, 4, "scale_bits", "32", NULL), ERR_ARGUMENT);
    assert_int_equal(quantize(out, &error, quantizer, infinite, 1, 4, "scale_bits", "64", NULL), ERR_ARGUMENT);
}

#endif
