/*
 * quantizer_calls.h - quantizers by name with settings as name, value, ..., NULL; Gaussian weights
 */
#ifndef CORE_TESTS_QUANTIZER_CALLS_H
#define CORE_TESTS_QUANTIZER_CALLS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/perturb/perturbation.h"

static inline Options *options_from(const char *name, va_list settings)
{
    const Perturbation *perturbation = perturbation_find(name);
    assert_non_null(perturbation);
    Options *options = options_new(perturbation->options);
    for (const char *key; (key = va_arg(settings, const char *));)
        assert_int_equal(options_set(options, key, va_arg(settings, const char *), "test"), OK);
    return options;
}

static inline Options *settings(const char *name, ...)
{
    va_list list;
    va_start(list, name);
    Options *options = options_from(name, list);
    va_end(list);
    return options;
}

/* out = what perturbation `name` makes of w, as layer 3. */
static inline int quantize_listed(float *out, PerturbationError *error, const char *name, const float *w, int64_t rows, int64_t cols,
                                  const Evidence *evidence, Draw draw, va_list settings)
{
    Options *options = options_from(name, settings);
    const LayerWeights layer = { w, rows, cols, 3 };
    int status = perturbation_apply(out, error, perturbation_find(name), &layer, options, evidence, draw);
    options_free(options);
    return status;
}

static inline int quantize(float *out, PerturbationError *error, const char *name, const float *w, int64_t rows, int64_t cols, ...)
{
    va_list list;
    va_start(list, cols);
    int status = quantize_listed(out, error, name, w, rows, cols, NULL, (Draw){ 7, 0, 0 }, list);
    va_end(list);
    return status;
}

/* Gaussian weights, rows of different size. */
static inline float *gaussian(int64_t rows, int64_t cols)
{
    float *w = xmalloc(sizeof *w * (size_t)(rows * cols));
    rng_normals(w, rows * cols, 11, rng_stream(RNG_TEST, 0, 0, 0), 0);
    for (int64_t i = 0; i < rows * cols; i++) w[i] *= (float)(0.01 * (double)(1 + i / cols % 5));
    return w;
}

#endif
