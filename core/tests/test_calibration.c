#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/interrupt.h"
#include "core/measure/gradients.h"
#include "core/tests/tiny_study.h"

/* ---- against the second moments that a backward pass sees ---- */

/* Largest difference of H from 2 S, relative to the diagonals that bound it. */
static double moment_error(const float *hessian, const float *moment, int64_t n)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            const double bound = sqrt((double)moment[i * n + i] * (double)moment[j * n + j]);
            const double error = fabs((double)hessian[i * n + j] - 2 * (double)moment[i * n + j]) / bound;
            if (!(error <= worst)) worst = error;
        }
    return worst;
}

/* S = mean x x' of a layer's inputs at the point (NULL: clean), from the backward pass. */
static float *input_moment(Study *study, int layer, const LayerMap *point)
{
    const Layer *l = model_layer(study_model(study), layer);
    float *input = xmalloc(sizeof *input * (size_t)(l->cols * l->cols)), *gradient = xmalloc(sizeof *gradient * (size_t)(l->rows * l->rows));
    const GradientRequest request = { .probe = PROBE_LABELS, .group = 64, .n_layers = 1, .layer = &layer, .point = point, .label = "moments" };
    kronecker_of(input, gradient, study, &request, layer);
    free(gradient);
    return input;
}

static void check_layer(Calibration *calibration, Study *study, int layer, const LayerMap *point)
{
    const Layer *l = model_layer(study_model(study), layer);
    float *moment = input_moment(study, layer, point);
    Evidence e;
    WORKS(calibration_evidence(&e, calibration, layer));
    assert_true(moment_error(e.hessian, moment, l->cols) <= 1e-5);
    for (int64_t j = 0; j < l->cols; j++)                   /* mean |x| <= rms, and above zero where anything is */
        assert_true(e.input_mean[j] > 0 && e.input_mean[j] <= sqrt((double)moment[j * l->cols + j]) * (1 + 1e-6));
    free(moment);
}

static void hessians_are_second_moments(void **state)
{
    (void)state;
    const char *const names[] = { "llama3-gqa-tied", "qwen2-bias-tied", "qwen3-qknorm" };
    for (int m = 0; m < 3; m++) {
        TinyStudy t;
        tiny_study_open(&t, names[m], 17, "cpu");           /* segments of unequal length */
        Calibration *calibration;
        WORKS(calibration_open(&calibration, t.model, &t.corpus, kernels_cpu(), 1 << 30, false));
        for (int l = 0; l < model_layer_count(t.model); l++) check_layer(calibration, t.study, l, NULL);
        calibration_close(&calibration);
        calibration_close(&calibration);
        tiny_study_close(&t);
    }
}

/* The inputs of block 0's attention are the normed embeddings. */
static void mean_magnitudes_by_hand(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-mha-untied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    const ModelShape *shape = model_shape(tiny.model);
    double mean[512] = { 0 }, rows = 0;
    float x[512], gain[512];
    WORKS(model_read(gain, tiny.model, WEIGHT_ATTENTION_NORM, 0, 0, shape->width));
    for (int s = 0; s < corpus.n_segments; s++)
        for (int t = 0; t < corpus.segment[s].length; t++, rows++) {
            double squares = 0;
            WORKS(model_read(x, tiny.model, WEIGHT_EMBEDDING, 0, corpus.segment[s].inputs[t], 1));
            for (int j = 0; j < shape->width; j++) squares += (double)x[j] * x[j];
            for (int j = 0; j < shape->width; j++) mean[j] += fabs((double)gain[j] * x[j]) / sqrt(squares / shape->width + shape->norm_epsilon);
        }
    Calibration *calibration;
    Evidence e;
    WORKS(calibration_open(&calibration, tiny.model, &corpus, kernels_cpu(), 0, false));
    WORKS(calibration_evidence(&e, calibration, model_layer_index(0, WEIGHT_K)));
    for (int j = 0; j < shape->width; j++) assert_true(fabs(e.input_mean[j] - mean[j] / rows) <= 1e-6 * mean[j] / rows);
    calibration_close(&calibration);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- memory and order ---- */

static float *copy_of(Calibration *calibration, const Model *model, int layer)
{
    const Layer *l = model_layer(model, layer);
    Evidence e;
    WORKS(calibration_evidence(&e, calibration, layer));
    float *copy = xmalloc(sizeof *copy * (size_t)(l->cols * l->cols));
    memcpy(copy, e.hessian, sizeof *copy * (size_t)(l->cols * l->cols));
    return copy;
}

static void memory_and_order_change_nothing(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama-sharded");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, 30);
    const int layers = model_layer_count(tiny.model);
    const int64_t all = calibration_evidence_bytes(model_shape(tiny.model));
    const int64_t keep[] = { 0, all / 2, all };
    Calibration *rich;
    WORKS(calibration_open(&rich, tiny.model, &corpus, kernels_cpu(), all, false));
    for (int k = 0; k < 3; k++) {
        Calibration *poor;
        WORKS(calibration_open(&poor, tiny.model, &corpus, kernels_cpu(), keep[k], false));
        for (int i = 0; i < 3 * layers; i++) {
            const int layer = (i * 5 + 3) % layers;
            float *mine = copy_of(poor, tiny.model, layer), *yours = copy_of(rich, tiny.model, layer);
            const int64_t cols = model_layer(tiny.model, layer)->cols;
            assert_memory_equal(mine, yours, sizeof *mine * (size_t)(cols * cols));
            free(mine), free(yours);
        }
        calibration_close(&poor);
    }
    calibration_close(&rich);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

/* ---- inputs of the model quantized so far ---- */

enum { MOST_LAYERS = 64 };

static void sequential_sees_what_is_replaced(void **state)
{
    (void)state;
    TinyStudy t;
    tiny_study_open(&t, "llama-mha-untied", WHOLE, "cpu");
    const Perturbation *rtn = perturbation_find("rtn");
    Options *coarse = options_of(rtn, "bits", "2", "group", "8", NULL);
    MapEntry entry[MOST_LAYERS];
    int n = 0;
    Calibration *calibration;
    WORKS(calibration_open(&calibration, t.model, &t.corpus, kernels_cpu(), 0, true));
    for (int l = 0; l < model_layer_count(t.model); l++) {
        const Layer *layer = model_layer(t.model, l);
        const LayerMap point = { .n = n, .entry = entry };
        check_layer(calibration, t.study, l, n ? &point : NULL);
        if (l % 3 == 1) continue;                           /* some stay as they are */
        float *w = xmalloc(sizeof *w * (size_t)(layer->rows * layer->cols));
        PerturbationError error;
        entry[n] = (MapEntry){ l, rtn, coarse };
        WORKS(study_apply(w, &error, t.study, &entry[n], (Draw){ 0 }));
        assert_true(error.t2 > .02);
        WORKS(calibration_replace(calibration, l, w));
        n++;
        free(w);
    }
    Evidence e;
    assert_int_equal(calibration_evidence(&e, calibration, 0), ERR_UNSUPPORTED);
    assert_non_null(strstr(err_last(), "block 0 is passed"));
    calibration_close(&calibration);
    options_free(coarse);
    tiny_study_close(&t);
}

/* A whole model, sequentially: each layer as if by hand from the inputs that the layers before it leave. */
static void measurements_are_sequential_where_asked(void **state)
{
    (void)state;
    Tiny tiny = tiny_open("llama3-gqa-tied");
    Corpus corpus;
    tiny_corpus(&corpus, &tiny, WHOLE);
    Study *study = study_of(tiny.model, &corpus, "cpu");
    EvidenceSource *evidence;
    WORKS(evidence_open(&evidence, tiny.model, &corpus, kernels_cpu(), &(EvidencePlan){ .expected = NEEDS_INPUTS }));
    study_calibrate(study, evidence);
    const Perturbation *gptq = perturbation_find("gptq");
    Options *clean = options_of(gptq, "bits", "3", "group", "16", NULL), *sequential = options_of(gptq, "bits", "3", "group", "16", "sequential", "yes", NULL);
    MapEntry entry[2][MOST_LAYERS];
    const int n = model_layer_count(tiny.model);
    for (int l = 0; l < n; l++) entry[0][l] = (MapEntry){ l, gptq, clean }, entry[1][l] = (MapEntry){ l, gptq, sequential };
    const LayerMap map[2] = { { .n = n, .entry = entry[0] }, { .n = n, .entry = entry[1] } };
    Measurement once = measured(study, &map[0]), in_turn = measured(study, &map[1]), again = measured(study, &map[1]);
    assert_same(&in_turn, &again, "a second time");

    Calibration *calibration;
    WORKS(calibration_open(&calibration, tiny.model, &corpus, kernels_cpu(), 0, true));
    for (int l = 0; l < n; l++) {
        const Layer *layer = model_layer(tiny.model, l);
        float *w = xmalloc(sizeof *w * (size_t)(layer->rows * layer->cols)), *out = xmalloc(sizeof *out * (size_t)(layer->rows * layer->cols));
        Evidence e;
        PerturbationError error;
        WORKS(model_read(w, tiny.model, layer->type, layer->block, 0, layer->rows));
        WORKS(calibration_evidence(&e, calibration, l));
        WORKS(perturbation_apply(out, &error, gptq, &(LayerWeights){ w, layer->rows, layer->cols, l }, sequential, &e, (Draw){ 0 }));
        WORKS(calibration_replace(calibration, l, out));
        assert_true(in_turn.t2[l] == error.t2);
        assert_true((in_turn.t2[l] == once.t2[l]) == (l < 3));          /* q, k, v of block 0 see the same in both */
        free(w), free(out);
    }
    calibration_close(&calibration);
    measurement_free(&once), measurement_free(&in_turn), measurement_free(&again);
    options_free(clean), options_free(sequential);
    study_close(&study);
    evidence_close(&evidence);
    corpus_free(&corpus);
    tiny_close(&tiny);
}

static void missing_text_is_said(void **state)
{
    (void)state;
    static const Option none[] = { { 0 } };
    const Perturbation curious = { .name = "curious", .summary = "", .version = 1, .options = none, .needs = NEEDS_INPUTS };
    TinyStudy t;
    tiny_study_open(&t, "llama-v8", WHOLE, "cpu");
    Options *options = options_new(none);
    const MapEntry entry = { 0, &curious, options };
    PerturbationError error;
    assert_int_equal(study_apply(NULL, &error, t.study, &entry, (Draw){ 0 }), ERR_ARGUMENT);
    assert_non_null(strstr(err_last(), "calibration.file"));
    options_free(options);
    tiny_study_close(&t);
}

int main(int argc, char **argv)
{
    (void)argc;
    start_with(2, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hessians_are_second_moments),
        cmocka_unit_test(mean_magnitudes_by_hand),
        cmocka_unit_test(memory_and_order_change_nothing),
        cmocka_unit_test(sequential_sees_what_is_replaced),
        cmocka_unit_test(measurements_are_sequential_where_asked),
        cmocka_unit_test(missing_text_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
