/* ggml's block formats against what ggml's library makes of the same weights (core/tests/golden/ggml), byte for byte. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/model/dequantize.h"
#include "core/model/safetensors.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/ggml_blocks.h"

typedef void (*Quantize)(unsigned char *blocks, const float *x, int64_t n_blocks);

static const struct { const char *type; Dtype dtype; Quantize quantize; double bits; } formats[] = {
    { "q8_0",   DTYPE_Q8_0,   quantize_q8_0,   8.5 },
    { "q4_0",   DTYPE_Q4_0,   quantize_q4_0,   4.5 },
    { "q4_1",   DTYPE_Q4_1,   quantize_q4_1,   5 },
    { "q5_0",   DTYPE_Q5_0,   quantize_q5_0,   5.5 },
    { "q5_1",   DTYPE_Q5_1,   quantize_q5_1,   6 },
    { "iq4_nl", DTYPE_IQ4_NL, quantize_iq4_nl, 4.5 },
    { "q2_k",   DTYPE_Q2_K,   quantize_q2_k,   2.625 },
    { "q3_k",   DTYPE_Q3_K,   quantize_q3_k,   3.4375 },
    { "q4_k",   DTYPE_Q4_K,   quantize_q4_k,   4.5 },
    { "q5_k",   DTYPE_Q5_K,   quantize_q5_k,   5.5 },
    { "q6_k",   DTYPE_Q6_K,   quantize_q6_k,   6.5625 },
};
enum { FORMATS = sizeof formats / sizeof *formats };

static int ggml(float *out, PerturbationError *error, const float *w, int64_t rows, int64_t cols, const char *type)
{
    const Perturbation *perturbation = perturbation_find("ggml");
    assert_non_null(perturbation);
    Options *options = options_new(perturbation->options);
    if (type) assert_int_equal(options_set(options, "type", type, "test"), OK);
    const LayerWeights layer = { w, rows, cols, 3 };
    int status = perturbation_apply(out, error, perturbation, &layer, options, NULL, (Draw){ 0 });
    options_free(options);
    return status;
}

/* ---- golden ---- */

typedef struct {
    Safetensors file;
    int64_t rows, cols;
    float *w;
} Golden;

static Golden golden_open(void)
{
    Golden g;
    if (safetensors_open(&g.file, "core/tests/golden/ggml/ggml.safetensors") != OK) fail_msg("%s", err_last());
    const Tensor *weights = tensor_set_find(&g.file.tensors, "weights");
    assert_non_null(weights);
    g.rows = weights->shape[0], g.cols = weights->shape[1];
    g.w = xmalloc(weights->n_bytes);
    memcpy(g.w, weights->data, weights->n_bytes);
    return g;
}

static void golden_close(Golden *g)
{
    free(g->w);
    safetensors_close(&g->file);
}

static const Tensor *part(const Golden *g, Dtype dtype, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%s", dtype_name(dtype), what);
    const Tensor *tensor = tensor_set_find(&g->file.tensors, name);
    if (!tensor) fail_msg("the golden file has no %s", name);
    return tensor;
}

/* Into a place without alignment, between guards. */
static void test_every_byte(void **state)
{
    (void)state;
    Golden g = golden_open();
    for (int f = 0; f < FORMATS; f++) {
        const Tensor *expected = part(&g, formats[f].dtype, "blocks");
        const size_t n_bytes = expected->n_bytes, block = dtype_block_bytes(formats[f].dtype);
        assert_int_equal(n_bytes / block * (size_t)dtype_block_weights(formats[f].dtype), g.rows * g.cols);
        unsigned char *bytes = xmalloc(n_bytes + 2);
        bytes[0] = bytes[n_bytes + 1] = 0xa5;
        formats[f].quantize(bytes + 1, g.w, (int64_t)(n_bytes / block));
        for (size_t i = 0; i < n_bytes; i++)
            if (bytes[1 + i] != expected->data[i]) fail_msg("%s: byte %zu of block %zu", formats[f].type, i % block, i / block);
        assert_true(bytes[0] == 0xa5 && bytes[n_bytes + 1] == 0xa5);
        free(bytes);
    }
    golden_close(&g);
}

static void assert_digest(const Golden *g, int format, const char *what, const void *data, size_t n_bytes)
{
    char digest[HASH_TEXT], expected[HASH_TEXT];
    const unsigned char *golden = part(g, formats[format].dtype, what)->data;
    for (int i = 0; i < 32; i++) snprintf(expected + 2 * i, 3, "%02x", golden[i]);
    hash_bytes(digest, data, n_bytes);
    if (strcmp(digest, expected) != 0) fail_msg("%s: other %s", formats[format].type, what);
}

static void test_every_weight(void **state)
{
    (void)state;
    Golden g = golden_open();
    const size_t n_bytes = (size_t)(g.rows * g.cols) * sizeof(float);
    float *out = xmalloc(n_bytes);
    for (int f = 0; f < FORMATS; f++) {
        PerturbationError error;
        assert_int_equal(ggml(out, &error, g.w, g.rows, g.cols, formats[f].type), OK);
        assert_digest(&g, f, "sha256", out, n_bytes);
        assert_true(error.bits == formats[f].bits && error.t2 > 0);
    }
    free(out);
    golden_close(&g);
}

/* Rare ties and near-ties: a million weights, made as the golden file's program makes them. */
enum { MANY = 1 << 20 };

static float many_weight(uint64_t i, bool cubed)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15;                          /* splitmix64 */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    z ^= z >> 31;
    const int64_t sum = (int64_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48));
    const float x = (float)(sum - (1 << 17)) * 0x1p-16f;
    return cubed ? x * x * x : x;
}

static void test_many_weights(void **state)
{
    (void)state;
    Golden g = golden_open();
    float *w = xmalloc(MANY * sizeof *w);
    unsigned char *bytes = xmalloc(2 * MANY);
    for (int i = 0; i < MANY; i++) w[i] = many_weight((uint64_t)i, i / 512 % 2);
    for (int f = 0; f < FORMATS; f++) {
        const int64_t n_blocks = MANY / dtype_block_weights(formats[f].dtype);
        formats[f].quantize(bytes, w, n_blocks);
        assert_digest(&g, f, "many", bytes, (size_t)n_blocks * dtype_block_bytes(formats[f].dtype));
    }
    free(w), free(bytes);
    golden_close(&g);
}

/* ---- shapes ---- */

static float *normal_weights(int64_t n)
{
    float *w = xmalloc((size_t)n * sizeof *w);
    rng_normals(w, n, 5, rng_stream(RNG_TEST, 0, 0, 0), 0);
    return w;
}

static void test_rows_that_are_no_multiple_of_256(void **state)
{
    (void)state;
    static const struct { const char *type, *used; double bits; } cases[] = {
        { "q2_k", "iq4_nl", 4.5 }, { "q3_k", "iq4_nl", 4.5 }, { "q4_k", "q5_0", 5.5 }, { "q5_k", "q5_1", 6 }, { "q6_k", "q8_0", 8.5 },
        { "q4_0", "q4_0", 4.5 }, { "iq4_nl", "iq4_nl", 4.5 }, { NULL, "q5_0", 5.5 },
    };
    enum { ROWS = 3, COLS = 576, BYTES = ROWS * COLS * sizeof(float) };
    float *w = normal_weights(ROWS * COLS), *out = xmalloc(BYTES), *expected = xmalloc(BYTES);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PerturbationError error, same;
        assert_int_equal(ggml(out, &error, w, ROWS, COLS, cases[i].type), OK);
        assert_int_equal(ggml(expected, &same, w, ROWS, COLS, cases[i].used), OK);
        assert_memory_equal(out, expected, BYTES);
        assert_true(error.bits == cases[i].bits && same.bits == cases[i].bits && error.t2 > 0 && error.t2 < 0.02);
    }
    free(w), free(out), free(expected);
}

static void test_refusals(void **state)
{
    (void)state;
    float w[96], out[96];
    PerturbationError error;
    for (int i = 0; i < 96; i++) w[i] = (float)(i - 50);
    assert_int_equal(ggml(out, &error, w, 2, 48, "q8_0"), ERR_ARGUMENT);
    assert_string_equal(err_last(), "ggml: a row of 48 weights is no whole number of blocks of 32");
    assert_int_equal(ggml(out, &error, w, 1, 96, "q8_0"), OK);
    w[40] = 1e9f;
    for (int f = 0; f < 6; f++) {
        assert_int_equal(ggml(out, &error, w, 1, 96, formats[f].type), ERR_ARGUMENT);
        assert_string_equal(err_last(), "ggml: a scale of layer 3 does not fit into a half");
    }
    w[40] = NAN;
    for (int f = 0; f < 6; f++) assert_int_equal(ggml(out, &error, w, 1, 96, formats[f].type), ERR_ARGUMENT);
    Options *options = options_new(perturbation_find("ggml")->options);
    assert_int_equal(options_set(options, "type", "q4_K", "test"), ERR_ARGUMENT);
    options_free(options);
}

/* ---- what holds for any weights ---- */

/* The extreme weights of these formats lie on the grid, which is found again; only the sign of a zero may change, where d vanishes as
 * a half.  The other formats search, and may find another grid. */
static void test_second_time_changes_nothing(void **state)
{
    (void)state;
    static const char *const types[] = { "q8_0", "q4_0", "q5_0", "q4_1", "q5_1" };
    Golden g = golden_open();
    const int64_t n = g.rows * g.cols;
    float *once = xmalloc((size_t)n * sizeof *once), *twice = xmalloc((size_t)n * sizeof *twice);
    for (int t = 0; t < 5; t++) {
        PerturbationError error;
        assert_int_equal(ggml(once, &error, g.w, g.rows, g.cols, types[t]), OK);
        assert_int_equal(ggml(twice, &error, once, g.rows, g.cols, types[t]), OK);
        for (int64_t i = 0; i < n; i++)
            if (!(once[i] == twice[i])) fail_msg("%s: weight %lld was %a, is %a", types[t], (long long)i, (double)once[i], (double)twice[i]);
        assert_true(error.t2 == 0);
    }
    free(once), free(twice);
    golden_close(&g);
}

/* Nothing does better than 4^-bits; these formats stay within 7 times that, and those that search are better than those that do not. */
static void test_error_of_gaussian_weights(void **state)
{
    (void)state;
    enum { ROWS = 40, COLS = 512, Q4_0 = 1, Q5_0 = 3, IQ4_NL = 5, Q4_K = 8, Q5_K = 9 };
    float *w = normal_weights(ROWS * COLS), *out = xmalloc(ROWS * COLS * sizeof *out);
    double t2[FORMATS];
    for (int f = 0; f < FORMATS; f++) {
        PerturbationError error;
        assert_int_equal(ggml(out, &error, w, ROWS, COLS, formats[f].type), OK);
        t2[f] = error.t2;
        assert_true(t2[f] > 2 * pow(4, -error.bits) && t2[f] < 7 * pow(4, -error.bits) && fabs(error.kappa) < t2[f]);
    }
    assert_true(t2[Q4_K] < t2[IQ4_NL] && t2[IQ4_NL] < t2[Q4_0] && t2[Q5_K] < t2[Q5_0]);
    free(w), free(out);
}

static void test_threads_change_nothing(void **state)
{
    (void)state;
    enum { COLS = 256, ROWS = PARALLEL_WEIGHTS / COLS + 1, N = ROWS * COLS };
    static float one[N], three[N];
    float *w = normal_weights(N);
    const int threads = omp_get_max_threads();
    for (int f = 0; f < FORMATS; f++) {
        PerturbationError error, again;
        omp_set_num_threads(1);
        assert_int_equal(ggml(one, &error, w, ROWS, COLS, formats[f].type), OK);
        omp_set_num_threads(3);
        assert_int_equal(ggml(three, &again, w, ROWS, COLS, formats[f].type), OK);
        assert_memory_equal(one, three, sizeof one);
        assert_memory_equal(&error, &again, sizeof error);
    }
    omp_set_num_threads(threads);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_every_weight),
        cmocka_unit_test(test_many_weights),
        cmocka_unit_test(test_rows_that_are_no_multiple_of_256),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_second_time_changes_nothing),
        cmocka_unit_test(test_error_of_gaussian_weights),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
