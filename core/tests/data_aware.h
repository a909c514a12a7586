/*
 * data_aware.h - what the tests of quantizers that look at the layers' inputs share
 */
#ifndef CORE_TESTS_DATA_AWARE_H
#define CORE_TESTS_DATA_AWARE_H

#include <omp.h>

#include "core/tests/quant_golden.h"
#include "core/tests/quantizer_calls.h"

static inline int quantize_with(const char *name, float *out, PerturbationError *error, const float *w, int64_t rows, int64_t cols,
                                const Evidence *evidence, ...)
{
    va_list list;
    va_start(list, evidence);
    int status = quantize_listed(out, error, name, w, rows, cols, evidence, (Draw){ 0 }, list);
    va_end(list);
    return status;
}

/* Weights [4][2] with one that is no number, or whose square is none, are refused and no error is told. */
static inline void refuses_damaged(const char *name, const float *w, const Evidence *evidence)
{
    const float bad[] = { NAN, INFINITY, -INFINITY, 1e30f };
    PerturbationError error = { .t2 = -1 };
    float damaged[8], out[8];
    for (int i = 0; i < 4; i++)
        for (int at = 0; at < 8; at += 3) {
            memcpy(damaged, w, sizeof damaged);
            damaged[at] = bad[i];
            assert_int_equal(quantize_with(name, out, &error, damaged, 4, 2, evidence, NULL), ERR_ARGUMENT);
        }
    assert_true(error.t2 == -1);
}

/* What quantizers that need a Hessian refuse alike: none, and one that is not positive, under a setting (NULL: none). */
static inline void refuses_hessians(const char *name, const char *setting, const char *value)
{
    float w[8] = { 1, 2, -1, 3, 0.5f, 1, 2, 2 }, out[8], h[4] = { 2, 1, 1, 2 };
    PerturbationError error = { .t2 = -1 };
    const Evidence evidence = { .hessian = h }, nothing = { .hessian = NULL };
    char *needs = xformat("%s needs", name), *not_there = xformat("%s: the Hessian of layer 3 was not collected", name);
    assert_int_equal(quantize_with(name, out, &error, w, 4, 2, NULL, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), needs));
    assert_int_equal(quantize_with(name, out, &error, w, 4, 2, &nothing, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), not_there));
    h[1] = 5;
    assert_int_equal(quantize_with(name, out, &error, w, 4, 2, &evidence, setting, value, NULL), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "raise percdamp"));
    h[1] = 1;
    assert_true(error.t2 == -1);
    refuses_damaged(name, w, &evidence);
    assert_int_equal(quantize_with(name, out, &error, w, 4, 2, &evidence, NULL), OK);
    free(needs), free(not_there);
}

/* tr(E H E'), E = out - w. */
static inline double output_error(const float *out, const float *w, int64_t rows, int64_t cols, const float *hessian)
{
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < cols; i++) {
            double product = 0;
            for (int64_t j = 0; j < cols; j++) product += hessian[i * cols + j] * ((double)out[r * cols + j] - w[r * cols + j]);
            sum += product * ((double)out[r * cols + i] - w[r * cols + i]);
        }
    return sum;
}

static inline float *normals(int64_t n, int which)
{
    float *x = xmalloc(sizeof *x * (size_t)n);
    rng_normals(x, n, 11, rng_stream(RNG_TEST, which, 0, 0), 0);
    return x;
}

/* H = 2 X X' / count of correlated inputs, a channel of which has `outlier` times the size; mean[n] = mean |x_j|. */
static inline float *made_up_hessian(double *mean, int64_t n, int64_t count, double outlier)
{
    float *z = normals(n * count, 1), *h = xmalloc(sizeof *h * (size_t)(n * n));
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = 0; k < count; k++) z[i * count + k] += 0.7f * z[(i - 1) * count + k];
    for (int64_t k = 0; k < count; k++) z[n / 3 * count + k] *= (float)outlier;
    for (int64_t i = 0; i < n; i++) {
        mean[i] = 0;
        for (int64_t k = 0; k < count; k++) mean[i] += fabs(z[i * count + k]) / (double)count;
        for (int64_t j = 0; j <= i; j++) {
            double sum = 0;
            for (int64_t k = 0; k < count; k++) sum += (double)z[i * count + k] * z[j * count + k];
            h[i * n + j] = h[j * n + i] = (float)(2 * sum / (double)count);
        }
    }
    free(z);
    return h;
}

/* A tensor of core/tests/golden/NAME/NAME.safetensors, which must be there. */
static inline float *tensor_there(const char *folder, const char *name, int64_t *rows, int64_t *cols)
{
    char file[64];
    snprintf(file, sizeof file, "../%s/%s", folder, folder);
    float *data = golden_tensor(file, name, rows, cols);
    assert_non_null(data);
    return data;
}

static inline float *gptq_tensor(const char *name, int64_t *rows, int64_t *cols) { return tensor_there("gptq", name, rows, cols); }

typedef struct { float *w, *hessian; double *mean; int64_t rows, cols; } GoldenCase;

static inline GoldenCase golden_case(void)
{
    GoldenCase c;
    int64_t one, n;
    c.w = gptq_tensor("weight", &c.rows, &c.cols);
    c.hessian = gptq_tensor("hessian", &n, &n);
    float *mean = gptq_tensor("mean", &one, &n);
    c.mean = xmalloc(sizeof *c.mean * (size_t)n);
    for (int64_t j = 0; j < n; j++) c.mean[j] = mean[j];
    free(mean);
    return c;
}

/* The case of the "dead" results: inputs that were never there. */
static const int64_t dead_inputs[] = { 5, 77, 143 };
enum { DEAD_INPUTS = sizeof dead_inputs / sizeof *dead_inputs };

static inline void golden_case_without(GoldenCase *c)
{
    for (int k = 0; k < DEAD_INPUTS; k++) {
        const int64_t dead = dead_inputs[k];
        for (int64_t j = 0; j < c->cols; j++) c->hessian[dead * c->cols + j] = c->hessian[j * c->cols + dead] = 0;
        c->mean[dead] = 0;
    }
}

static inline void golden_case_free(GoldenCase *c) { free(c->w), free(c->hessian), free(c->mean); }

/* Far within a step of any grid, so that codes are equal too. */
static inline void assert_same_weights(const float *out, const float *expected, const float *w, int64_t n)
{
    float largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmaxf(largest, fabsf(w[i]));
    for (int64_t i = 0; i < n; i++) assert_true(fabs(out[i] - expected[i]) <= 0x1p-22 * fabs(expected[i]) + 1e-7 * largest);
}

/* Weights [rows][cols], every 97th of them large, with the Hessian of correlated inputs; room for two results. */
typedef struct { float *w, *hessian, *out, *other; Evidence evidence; } MadeUpCase;

static inline MadeUpCase made_up_case(int64_t rows, int64_t cols)
{
    const size_t bytes = sizeof(float) * (size_t)(rows * cols);
    double *mean = xmalloc(sizeof *mean * (size_t)cols);
    MadeUpCase c = { normals(rows * cols, 2), made_up_hessian(mean, cols, cols, 3), xmalloc(bytes), xmalloc(bytes), { 0 } };
    for (int64_t i = 0; i < rows * cols; i++) c.w[i] *= i % 97 == 0 ? 0.09f : 0.02f;
    c.evidence.hessian = c.hessian;
    free(mean);
    return c;
}

static inline void made_up_case_free(MadeUpCase *c) { free(c->w), free(c->hessian), free(c->out), free(c->other); }

/* A case with settings name, value, ..., NULL: one thread, three and five make the same to the last bit. */
static inline void same_case_in_threads(const char *name, int64_t rows, int64_t cols, ...)
{
    MadeUpCase c = made_up_case(rows, cols);
    PerturbationError error;
    const int before = omp_get_max_threads();
    for (int threads = 1; threads <= 5; threads += 2) {
        va_list list;
        va_start(list, cols);
        omp_set_num_threads(threads);
        assert_int_equal(quantize_listed(threads == 1 ? c.other : c.out, &error, name, c.w, rows, cols, &c.evidence, (Draw){ 0 }, list), OK);
        va_end(list);
        if (threads > 1) assert_memory_equal(c.out, c.other, sizeof *c.out * (size_t)(rows * cols));
    }
    omp_set_num_threads(before);
    made_up_case_free(&c);
}

#endif
