/*
 * test_bf16.c - the cuda back end in bf16: near the goldens, exactly 0 where nothing changed, coefficients as in float32
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/tests/tiny_golden.h"

/* Heads of a multiple of 16 numbers, which tensor cores take. */
static const char *const names[] = { "llama3-gqa-tied", "qwen3-qknorm", "llama-v8" };
enum { MODELS = sizeof names / sizeof *names };

static const Kernels *bf16(void)
{
    const char *why;
    const Kernels *k = kernels_choose("cuda", "bf16", &why);
    assert_non_null(k);
    return k;
}

/* A tiny model in both precisions. */
typedef struct { Tiny tiny; Corpus corpus; Study *rounded, *exact; } Both;

static void both_open(Both *b, int i, int context)
{
    b->tiny = tiny_open(names[i]);
    tiny_corpus(&b->corpus, &b->tiny, context);
    b->rounded = study_on(b->tiny.model, &b->corpus, bf16(), 1);
    b->exact = study_of(b->tiny.model, &b->corpus, "cpu");
}

static void both_close(Both *b)
{
    study_close(&b->rounded);
    study_close(&b->exact);
    corpus_free(&b->corpus);
    tiny_close(&b->tiny);
}

/* Rounding of 2^-9 in every input of a product, some ten products deep: per token a few hundredths of a nat, less in the mean. */
static void losses_are_near(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        Both both;
        both_open(&both, i, WHOLE);
        Measurement a, b;
        WORKS(study_clean(&a, both.rounded));
        WORKS(study_clean(&b, both.exact));
        for (int w = 0; w < a.n_windows; w++) {
            NEAR(a.nll[w], b.nll[w], 5e-3, "%s, window %d", names[i], w);
            assert_true(a.nll[w] != b.nll[w]);          /* it is another precision */
        }
        measurement_free(&a);
        measurement_free(&b);
        both_close(&both);
    }
}

/* KL to the clean model of noise of t^2, shared or each window's own, over all layers; or of a null run. */
static double kl_of(Study *study, const Model *model, const char *t2, bool null_run)
{
    const Perturbation *gaussian = perturbation_find("gaussian");
    Options *shared = options_of(gaussian, "t2", t2, "fresh", "shared", NULL), *own = options_of(gaussian, "t2", t2, NULL);
    MapEntry entry[64];
    LayerMap map = { .entry = entry, .n = null_run ? 0 : model_layer_count(model), .null_run = null_run };
    for (int l = 0; l < map.n; l++) entry[l] = (MapEntry){ l, gaussian, l % 2 ? shared : own };
    Measurement m;
    WORKS(measure(&m, study, &map));
    double kl = 0;
    for (int w = 0; w < m.n_windows; w++) kl += m.kl[w] / m.n_windows;
    measurement_free(&m);
    options_free(shared);
    options_free(own);
    return kl;
}

static void nothing_changed_is_exactly_zero(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        Both both;
        both_open(&both, i, 24);
        const Model *model = both.tiny.model;
        assert_true(kl_of(both.rounded, model, "0", false) == 0);
        const double floor = kl_of(both.rounded, model, "0", true), some = kl_of(both.rounded, model, "0.01", false);
        assert_true(floor > 0 && floor < 1e-4 * some + 2e-5);
        NEAR(some, kl_of(both.exact, model, "0.01", false), .02 * some, "%s: KL under noise", names[i]);
        both_close(&both);
    }
}

static Measurement forms_on(Study *study, const Model *model, const Corpus *corpus)
{
    int layer[64];
    for (int l = 0; l < model_layer_count(model); l++) layer[l] = l;
    const GradientRequest request = { .probe = PROBE_SIGNS, .group = 16, .n_layers = model_layer_count(model), .layer = layer, .label = "test" };
    Measurement m;
    WORKS(measure_gradients(&m, study, &request, corpus->n_windows, NULL, NULL));
    return m;
}

/* One probe of one window: its square moves with the rounding of p and of every gradient. */
static void coefficients_are_near(void **state)
{
    (void)state;
    for (int i = 0; i < MODELS; i++) {
        Both both;
        both_open(&both, i, WHOLE);
        Measurement a = forms_on(both.rounded, both.tiny.model, &both.corpus), b = forms_on(both.exact, both.tiny.model, &both.corpus);
        for (int j = 0; j < 2 * a.n_layers * a.n_windows; j++)      /* sigma and group; rho is a square of a sum that cancels */
            NEAR(a.form[j], b.form[j], .03 * b.form[j], "%s, form %d", names[i], j);
        measurement_free(&a);
        measurement_free(&b);
        both_close(&both);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(0, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_near),
        cmocka_unit_test(nothing_changed_is_exactly_zero),
        cmocka_unit_test(coefficients_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
