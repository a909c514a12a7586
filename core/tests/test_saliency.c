/* Scores of single weights by hand, and what they read. */
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

static const char *const words[] = { "tacq", "qal", "msg", "gradient", "error", "magnitude", "hessian", "fisher", "random" };
enum { WORDS = sizeof words / sizeof *words, ROWS = 2, COLS = 3 };

static const float w[] = { 1, -2, 0.5f, 0, 4, -0.25f }, q[] = { 1.5f, -2, 0, 1, 3, -0.5f }, g[] = { 0.1f, 3, 2, 5, 0.5f, 8 }, f[] = { 1, 9, 4, 25, 2, 64 };
static const double diagonal[] = { 1, 0.5, 2 };

static void formulas(void **state)
{
    (void)state;
    const double expected[][ROWS * COLS] = {
        { 0.05, 0, 0.5, 0, 2, 0.5 }, { 0.05, 0, 1, 5, 0.5, 2 }, { 0.1, 6, 1, 0, 2, 2 }, { 0.1, 3, 2, 5, 0.5, 8 }, { 0.5, 0, 0.5, 1, 1, 0.25 },
        { 1, 2, 0.5, 0, 4, 0.25 }, { 1, 16, 0.0625, 0, 64, 0.015625 }, { 0.25, 0, 1, 25, 2, 4 },
    };
    const SaliencyInput in = { ROWS, COLS, w, q, g, f, diagonal, 1, rng_stream(RNG_MASK, 0, 0, 0) };
    float out[ROWS * COLS];
    for (int s = 0; s < SCORE_RANDOM; s++) {
        saliency(out, score_of(words[s]), &in);
        for (int i = 0; i < ROWS * COLS; i++)
            if (!(fabs(out[i] - expected[s][i]) <= 1e-6 * expected[s][i])) fail_msg("%s of weight %d is %g, not %g", words[s], i, out[i], expected[s][i]);
    }
}

/* What a score does not read may be absent, and changes nothing. */
static void what_is_read(void **state)
{
    (void)state;
    for (int s = 0; s < WORDS; s++) {
        const Score score = score_of(words[s]);
        const SaliencyInput all = { ROWS, COLS, w, q, g, f, diagonal, 1, 2 };
        SaliencyInput in = all;
        if (!score_reads_quantized(score)) in.quantized = NULL;
        if (!score_reads_gradient(score)) in.gradient = NULL;
        if (!score_reads_fisher(score)) in.fisher = NULL;
        if (!score_reads_hessian(score)) in.diagonal = NULL;
        float out[2][ROWS * COLS];
        saliency(out[0], score, &all), saliency(out[1], score, &in);
        assert_memory_equal(out[0], out[1], sizeof out[0]);
    }
}

static void random_scores(void **state)
{
    (void)state;
    enum { SIDE = 300 };
    float *out[3];
    const SaliencyInput in[3] = { { .rows = SIDE, .cols = SIDE, .w = NULL, .seed = 1, .stream = 5 }, { .rows = SIDE, .cols = SIDE, .w = NULL, .seed = 2, .stream = 5 },
                                  { .rows = SIDE, .cols = SIDE, .w = NULL, .seed = 1, .stream = 6 } };
    float *zeros = xcalloc(SIDE * SIDE, sizeof *zeros);
    double mean[3] = { 0 }, product[2] = { 0 };
    for (int k = 0; k < 3; k++) {
        SaliencyInput with = in[k];
        with.w = zeros;
        out[k] = xmalloc(sizeof(float) * SIDE * SIDE);
        saliency(out[k], SCORE_RANDOM, &with);
        for (int i = 0; i < SIDE * SIDE; i++) mean[k] += out[k][i] / (SIDE * SIDE);
        assert_true(fabs(mean[k] - 0.5) <= 5 * sqrt(1.0 / 12) / SIDE);
    }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < SIDE * SIDE; i++) product[k] += (out[0][i] - 0.5) * (out[k + 1][i] - 0.5) * 12 / SIDE;
        assert_true(fabs(product[k]) <= 5);
    }
    for (int k = 0; k < 3; k++) free(out[k]);
    free(zeros);
}

/* Choices declare what their scores read; with nothing kept, nothing more than inputs. */
static void needs_follow_scores(void **state)
{
    (void)state;
    const Perturbation *p = perturbation_find("tacq");
    assert_non_null(p);
    for (int s = 0; s < WORDS; s++) {
        Options *options = options_new(p->options);
        assert_int_equal(options_set(options, "score", words[s], "test"), OK);
        const Score score = score_of(words[s]);
        const unsigned needs = perturbation_needs(p, options);
        assert_true(needs & NEEDS_INPUTS && needs & NEEDS_MASK);
        assert_int_equal(!!(needs & NEEDS_GRADIENT), score <= SCORE_GRADIENT);
        assert_int_equal(!!(needs & NEEDS_FISHER), score == SCORE_FISHER);
        assert_int_equal(options_set(options, "ratio", "0", "test"), OK);
        assert_int_equal(perturbation_needs(p, options), NEEDS_INPUTS | NEEDS_MASK);
        options_free(options);
    }
    assert_string_equal(needs_text(NEEDS_INPUTS | NEEDS_MASK), "the inputs of the layers");
    assert_string_equal(needs_text(NEEDS_INPUTS | NEEDS_MASK | NEEDS_GRADIENT), "the inputs of the layers and the gradients by the weights");
    assert_int_equal(perturbation_needs(perturbation_find("gptq"), NULL), NEEDS_INPUTS);
    assert_int_equal(perturbation_needs(perturbation_find("rtn"), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formulas),
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(random_scores),
        cmocka_unit_test(needs_follow_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
