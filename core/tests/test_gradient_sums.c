/* Sums of gradients against those of PyTorch in float64, against one window at a time, and in any number of threads. */
#include "core/tests/golden_gradients.h"
#include "core/tests/tiny_study.h"

#include "core/measure/evidence.h"
#include "core/measure/gradient_sums.h"

static const char *const with_gradients[] = { "llama-mha-untied", "qwen3-qknorm" };

static GradientSums sums_of(const Model *model, const Corpus *corpus, const char *back_end, bool gradient, bool fisher)
{
    GradientSums sums = { 0 };
    WORKS(gradient_sums(&sums, model, corpus, kernels_find(back_end), gradient, fisher));
    return sums;
}

/* Single weights to 5e-5 of the rms of all. */
static void check_layer(const float *gradient, const float *fisher, const Doubles *golden, const Layer *layer, const char *what)
{
    const int64_t n = layer->rows * layer->cols;
    double *g[2] = { golden_gradient(golden, 0, layer), golden_gradient(golden, 1, layer) }, squares = 0;
    for (int64_t i = 0; i < n; i++) squares += g[0][i] * g[0][i] + g[1][i] * g[1][i];
    const double rms = sqrt(squares / (double)n);
    for (int64_t i = 0; i < n; i++) {
        NEAR(gradient[i], fabs(g[0][i]) + fabs(g[1][i]), 5e-5 * rms, "%s, %s", what, layer->name);
        NEAR(fisher[i], g[0][i] * g[0][i] + g[1][i] * g[1][i], 1e-4 * rms * rms + 1e-4 * fisher[i], "%s, squares of %s", what, layer->name);
    }
    free(g[0]), free(g[1]);
}

static void sums_are_those_of_float64(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        Tiny tiny = tiny_open(with_gradients[i]);
        Doubles golden = doubles_open(with_gradients[i]);
        Corpus corpus;
        tiny_corpus(&corpus, &tiny, WHOLE);
        for (int b = 0; b < BACK_ENDS; b++) {
            GradientSums sums = sums_of(tiny.model, &corpus, back_ends[b], true, true);
            assert_int_equal(sums.n_layers, model_layer_count(tiny.model));
            for (int l = 0; l < sums.n_layers; l++) check_layer(sums.gradient[l], sums.fisher[l], &golden, model_layer(tiny.model, l), back_ends[b]);
            gradient_sums_free(&sums);
        }
        corpus_free(&corpus);
        doubles_close(&golden);
        tiny_close(&tiny);
    }
}

/* A window cut into segments is one window: its gradient is the signed sum over them, over all its positions. */
static void windows_of_several_segments(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama3-gqa-tied", 7, "cpu");
    assert_true(t.corpus.n_segments > 2 * t.corpus.n_windows);
    const GradientRequest request = { .probe = PROBE_LABELS, .group = 16, .label = "window" };
    GradientSums sums = sums_of(t.model, &t.corpus, "cpu", true, false);
    assert_null(sums.fisher);
    for (int l = 0; l < sums.n_layers; l++) {
        const Layer *layer = model_layer(t.model, l);
        const int64_t n = layer->rows * layer->cols;
        float *g[2] = { xmalloc(sizeof(float) * (size_t)n), xmalloc(sizeof(float) * (size_t)n) };
        for (int w = 0; w < 2; w++) WORKS(measure_gradient(g[w], t.study, &request, w, l));
        for (int64_t i = 0; i < n; i++) {
            const double want = fabs(g[0][i]) / (double)t.corpus.tokens[0] + fabs(g[1][i]) / (double)t.corpus.tokens[1];
            NEAR(sums.gradient[l][i], want, 1e-6 * want, "%s", layer->name);
        }
        free(g[0]), free(g[1]);
    }
    gradient_sums_free(&sums);
    tiny_study_close(&t);
}

/* 2 x copies windows, which do not all pass together. */
static void many_windows(Corpus *out, const Tiny *tiny, int copies, int context)
{
    Cut cut = { 0 };
    for (int w = 0; w < 2 * copies; w++) {
        int n;
        int32_t *ids = golden_ids(json_object_get(tiny_forward(tiny, w % 2), "ids"), &n);
        cut_document(&cut, w, ids, n, context);
        free(ids);
    }
    cut_finish(out, &cut, "golden", context, false, -1);
}

static void check_groups(int context)
{
    enum { COPIES = 60 };
    Tiny tiny = tiny_open("llama-v8");
    Corpus one, many;
    many_windows(&one, &tiny, 1, context), many_windows(&many, &tiny, COPIES, context);
    assert_true(many.n_inputs > 2048);
    GradientSums single = sums_of(tiny.model, &one, "cpu", true, true), sum = sums_of(tiny.model, &many, "cpu", true, true);
    kernels_set_threads(3);
    GradientSums again = sums_of(tiny.model, &many, "cpu", true, true);
    kernels_set_threads(1);
    for (int l = 0; l < sum.n_layers; l++) {
        const Layer *layer = model_layer(tiny.model, l);
        const int64_t n = layer->rows * layer->cols;
        assert_memory_equal(sum.gradient[l], again.gradient[l], sizeof(float) * (size_t)n);
        assert_memory_equal(sum.fisher[l], again.fisher[l], sizeof(float) * (size_t)n);
        for (int64_t i = 0; i < n; i++) {
            NEAR(sum.gradient[l][i], COPIES * (double)single.gradient[l][i], 1e-5 * sum.gradient[l][i], "%s", layer->name);
            NEAR(sum.fisher[l][i], COPIES * (double)single.fisher[l][i], 1e-5 * sum.fisher[l][i], "squares of %s", layer->name);
        }
    }
    gradient_sums_free(&single), gradient_sums_free(&sum), gradient_sums_free(&again);
    corpus_free(&one), corpus_free(&many);
    tiny_close(&tiny);
}

/* Also where windows have several segments, which are never torn apart. */
static void groups_and_threads_change_nothing(void **state)
{
    (void)state;
    check_groups(WHOLE);
    check_groups(3);
}

/* ---- as evidence ---- */

static const Option none[] = { { 0 } };

static void evidence_is_what_is_needed(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-v8");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    GradientSums want = sums_of(tiny.model, &corpus, "cpu", true, true);
    for (unsigned needs = 1; needs < NEEDS_MASK; needs++) {
        const Perturbation curious = { .name = "curious", .summary = "", .version = 1, .options = none, .needs = needs };
        EvidenceSource *source;
        const Evidence *e;
        Evidence room;
        WORKS(evidence_open(&source, tiny.model, &corpus, kernels_cpu(), &(EvidencePlan){ .expected = needs & 2 }));
        for (int l = 0; l < 7; l += 3) {
            const Layer *layer = model_layer(tiny.model, l);
            WORKS(evidence_for(&e, &room, source, &(MapEntry){ l, &curious, NULL }, NULL));
            assert_true(!!e->hessian == !!(needs & NEEDS_INPUTS) && !!e->gradient == !!(needs & NEEDS_GRADIENT) && !!e->fisher == !!(needs & NEEDS_FISHER) && !e->kept);
            const size_t bytes = sizeof(float) * (size_t)(layer->rows * layer->cols);
            if (e->gradient) assert_memory_equal(e->gradient, want.gradient[l], bytes);
            if (e->fisher) assert_memory_equal(e->fisher, want.fisher[l], bytes);
        }
        evidence_close(&source);
    }
    gradient_sums_free(&want);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static int unused(float *out, const LayerWeights *weights, const Options *options, Draw draw)
{
    (void)out, (void)weights, (void)options, (void)draw;
    fail_msg("nothing may be perturbed without its evidence");
    return OK;
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    static const struct { unsigned needs; const char *alone, *beside; } row[] = {
        { NEEDS_INPUTS, "curious needs the inputs of the layers: say which", "the Hessian of layer 3 was not collected" },
        { NEEDS_GRADIENT, "curious needs the gradients by the weights: say which", "the sum of gradients of layer 3 was not collected" },
        { NEEDS_FISHER, "curious needs the gradients by the weights: say which", "the sum of squared gradients of layer 3 was not collected" },
        { NEEDS_INPUTS | NEEDS_FISHER, "curious needs the inputs of the layers and the gradients by the weights: say which", "the Hessian of layer 3" },
        { NEEDS_MASK, "curious needs the gradients by the weights", "the mask of kept weights of layer 3 was not collected" },
    };
    const float w[2] = { 1, 2 };
    float out[2];
    PerturbationError error;
    const Evidence nothing = { 0 };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const Perturbation curious = { .name = "curious", .summary = "", .version = 1, .options = none, .needs = row[i].needs, .apply = unused };
        const LayerWeights layer = { w, 1, 2, 3 };
        assert_int_equal(perturbation_apply(out, &error, &curious, &layer, NULL, NULL, (Draw){ 0 }), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), row[i].alone));
        assert_int_equal(perturbation_apply(out, &error, &curious, &layer, NULL, &nothing, (Draw){ 0 }), ERR_ARGUMENT);
        assert_non_null(strstr(err_last(), row[i].beside));
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(1, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_float64),
        cmocka_unit_test(windows_of_several_segments),
        cmocka_unit_test(groups_and_threads_change_nothing),
        cmocka_unit_test(evidence_is_what_is_needed),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
