/*
 * codebook_levels.h - running NF and AF in tests, the levels that they round to, and their golden references
 */
#ifndef CORE_TESTS_CODEBOOK_LEVELS_H
#define CORE_TESTS_CODEBOOK_LEVELS_H

#include <jansson.h>

#include "core/quantize/codebook.h"
#include "core/tests/quantizer_calls.h"

static const char *const quantizers[] = { "nf", "af" };

/* The 2^bits levels of a quantizer, from what it makes of weights that go through [-1, 1] in small steps. */
static inline int levels_seen(double level[MOST_LEVELS], const char *quantizer, const char *bits, const char *group, const char *offset)
{
    enum { STEPS = 4096 };
    const int64_t cols = atoi(group), rows = STEPS / (cols - 1) + 1;
    float *w = xmalloc((size_t)(rows * cols) * sizeof *w), *out = xmalloc((size_t)(rows * cols) * sizeof *out);
    PerturbationError error;
    for (int64_t i = 0; i < rows * cols; i++)               /* a 1 in every group, and all steps between them */
        w[i] = i % cols == 0 ? 1 : fminf((float)(i / cols * (cols - 1) + i % cols) / (STEPS / 2) - 1, 1);
    assert_int_equal(quantize(out, &error, quantizer, w, rows, cols, "bits", bits, "group", group, "scale_bits", "64",
                              offset ? "offset" : NULL, offset, NULL), OK);
    int n = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        int k = 0;
        while (k < n && level[k] < out[i]) k++;
        if (k < n && level[k] == out[i]) continue;
        assert_true(n < MOST_LEVELS);
        memmove(level + k + 1, level + k, (size_t)(n - k) * sizeof *level);
        level[k] = out[i];
        n++;
    }
    free(w), free(out);
    return n;
}

static inline json_t *golden_codebook(const char *part)
{
    json_t *root = json_load_file("core/tests/golden/codebook/codebook.json", 0, NULL);
    json_t *found = json_incref(json_object_get(root, part));
    json_decref(root);
    assert_non_null(found);
    return found;
}

static inline int numbers(double *out, int most, const json_t *array)
{
    const int n = (int)json_array_size(array);
    assert_true(n > 0 && n <= most);
    for (int i = 0; i < n; i++) out[i] = json_number_value(json_array_get(array, (size_t)i));
    return n;
}

#endif
