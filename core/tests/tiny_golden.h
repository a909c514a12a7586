/*
 * tiny_golden.h - the tiny checkpoints with their golden losses, and corpora cut from their ids
 */
#ifndef CORE_TESTS_TINY_GOLDEN_H
#define CORE_TESTS_TINY_GOLDEN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/err.h"
#include "core/measure/gradients.h"
#include "core/text/corpus_cut.h"

enum { TINY_MODELS = 6, CUDA = 2, BACK_ENDS };          /* cuda: the launch shim's, or a GPU's in gpu-tests */
static const char *const tiny_names[TINY_MODELS] = { "llama-mha-untied", "llama3-gqa-tied", "qwen2-bias-tied", "qwen3-qknorm",
                                                     "llama-sharded", "llama-v8" };
static const char *const back_ends[BACK_ENDS] = { "ref", "cpu", "cuda" };

#define WORKS(call) do { if ((call) != OK) fail_msg("%s: %s", #call, err_last()); } while (0)

/* Fails with the numbers; a NaN fails too. */
#define NEAR(got, want, bound, ...)                                                                        \
    do {                                                                                                   \
        double got_ = (got), want_ = (want), bound_ = (bound);                                             \
        if (!(fabs(got_ - want_) <= bound_)) {                                                             \
            print_error(__VA_ARGS__);                                                                      \
            fail_msg(": %.17g, expected %.17g, off by %.3g of %.3g", got_, want_, got_ - want_, bound_);   \
        }                                                                                                  \
    } while (0)

typedef struct { Model *model; json_t *json; } Tiny;

static inline Tiny tiny_open(const char *name)
{
    char path[256];
    Tiny tiny = { 0 };
    snprintf(path, sizeof path, "core/tests/golden/tiny/%s", name);
    WORKS(model_open(&tiny.model, path));
    snprintf(path, sizeof path, "core/tests/golden/tiny/%s/golden.json", name);
    tiny.json = json_load_file(path, 0, NULL);
    assert_non_null(tiny.json);
    return tiny;
}

static inline void tiny_close(Tiny *tiny)
{
    model_close(&tiny->model);
    json_decref(tiny->json);
}

static inline double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }
static inline double element(const json_t *array, size_t i) { return json_number_value(json_array_get(array, i)); }

/* *n integers, to be freed. */
static inline int32_t *golden_ids(const json_t *array, int *n)
{
    *n = (int)json_array_size(array);
    int32_t *ids = xmalloc(sizeof *ids * (size_t)*n);
    for (int i = 0; i < *n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    return ids;
}

static inline const json_t *tiny_forward(const Tiny *tiny, int sequence)
{
    return json_array_get(json_object_get(tiny->json, "forward"), (size_t)sequence);
}

/* The two golden sequences, a window each, in segments of `context`. */
static inline void tiny_corpus(Corpus *out, const Tiny *tiny, int context)
{
    Cut cut = { 0 };
    for (int k = 0; k < 2; k++) {
        int n;
        int32_t *ids = golden_ids(json_object_get(tiny_forward(tiny, k), "ids"), &n);
        cut_document(&cut, k, ids, n, context);
        free(ids);
    }
    cut_finish(out, &cut, "golden", context, false, -1);
}

/* Threads that wait by spinning make thousands of small calls slow on a busy machine, and OpenMP reads its environment
 * before main: so the test starts itself again.  0 threads: all cores. */
static inline void start_with(int threads, char **argv)
{
    if (!getenv("OMP_WAIT_POLICY")) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv("/proc/self/exe", argv);
    }
    kernels_set_threads(threads);
}

enum { WHOLE = 512 };               /* no sequence is cut by such a context */

/* A study with plenty of memory. */
static inline Study *study_on(const Model *model, const Corpus *corpus, const Kernels *kernels, uint64_t seed)
{
    Study *study;
    StudyPlan plan;
    WORKS(study_plan(&plan, model_shape(model), corpus, kernels, (int64_t)1 << 34));
    WORKS(study_open(&study, model, corpus, kernels, &plan, seed, NULL));
    return study;
}

static inline Study *study_of(const Model *model, const Corpus *corpus, const char *back_end) { return study_on(model, corpus, kernels_find(back_end), 1); }

/* Name and text in turn, ending with NULL. */
static inline Options *options_of(const Perturbation *perturbation, ...)
{
    Options *options = options_new(perturbation->options);
    va_list settings;
    va_start(settings, perturbation);
    for (const char *name; (name = va_arg(settings, const char *));) WORKS(options_set(options, name, va_arg(settings, const char *), "test"));
    va_end(settings);
    return options;
}

typedef struct { float *input, *gradient; int64_t rows, cols; } KroneckerCopy;

static inline int copy_kronecker(void *context, int layer, const float *input, const float *gradient)
{
    (void)layer;
    const KroneckerCopy *to = context;
    memcpy(to->input, input, sizeof *input * (size_t)(to->cols * to->cols));
    memcpy(to->gradient, gradient, sizeof *gradient * (size_t)(to->rows * to->rows));
    return OK;
}

/* Both factors of one layer. */
static inline void kronecker_of(float *input, float *gradient, Study *study, const GradientRequest *request, int layer)
{
    const Layer *l = model_layer(study_model(study), layer);
    KroneckerCopy copy = { input, gradient, l->rows, l->cols };
    GradientRequest one = *request;
    one.n_layers = 1, one.layer = &layer;
    WORKS(measure_kronecker(study, &one, 0, copy_kronecker, &copy));
}

static inline Measurement measured(Study *study, const LayerMap *map)
{
    Measurement m;
    WORKS(measure(&m, study, map));
    return m;
}

/* Equal to the last bit, errors of the layers included. */
static inline void assert_same(const Measurement *a, const Measurement *b, const char *what)
{
    assert_int_equal(a->n_windows, b->n_windows);
    assert_int_equal(a->n_layers, b->n_layers);
    size_t windows = sizeof(double) * (size_t)a->n_windows, layers = sizeof(double) * (size_t)a->n_layers;
    const double *const mine[] = { a->nll, a->kl, a->same_top, a->t2, a->kappa }, *const yours[] = { b->nll, b->kl, b->same_top, b->t2, b->kappa };
    static const char *const name[] = { "nll", "kl", "same_top", "t2", "kappa" };
    for (int i = 0; i < 5; i++)
        if (memcmp(mine[i], yours[i], i < 3 ? windows : layers)) fail_msg("%s: %s differs", what, name[i]);
}

#endif
