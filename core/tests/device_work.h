/*
 * device_work.h - everything that a study measures, on a back end at hand: what two of them are compared by
 */
#ifndef CORE_TESTS_DEVICE_WORK_H
#define CORE_TESTS_DEVICE_WORK_H

#include "core/tests/device.h"
#include "core/tests/tiny_golden.h"

/* More windows than have weights of their own at once; segments of many lengths, some windows of several. */
static inline void work_corpus(Corpus *out, int vocabulary)
{
    enum { WINDOWS = 11, CONTEXT = 40, MOST = 90 };
    static const int length[WINDOWS] = { 3, 41, 90, 2, 17, 40, 30, 33, 25, 5, 12 };
    Cut cut = { 0 };
    for (int w = 0; w < WINDOWS; w++) {
        int32_t ids[MOST];
        for (int t = 0; t < length[w]; t++) ids[t] = (7 * t * t + 13 * w + t) % vocabulary;
        cut_document(&cut, w, ids, length[w], CONTEXT);
    }
    cut_finish(out, &cut, "documents", CONTEXT, false, -1);
}

/* FRESH, SHARED: noise of each window, one for all; ROUNDED: a quantizer; MIXED: these, and layers without; MIRRORED: of another size too. */
enum { FRESH, SHARED, ROUNDED, MIXED, MIRRORED, NULL_RUN, CLEAN, MAPS };
enum { AT_CLEAN, AT_CLEAN_SAMPLED, AT_POINT, AT_SHARED_POINT, GRADIENTS };
typedef struct { Measurement m[MAPS], g[GRADIENTS]; } Work;

typedef struct { Options *fresh, *shared, *rtn; MapEntry entry[64]; } WorkMaps;

static inline WorkMaps work_maps(void)
{
    return (WorkMaps){ options_of(perturbation_find("gaussian"), "t2", "0.03", "group", "16", NULL),
                       options_of(perturbation_find("sign"), "t2", "0.01", "fresh", "shared", "scale", "matrix", NULL),
                       options_of(perturbation_find("rtn"), "bits", "4", "group", "16", NULL), { { 0 } } };
}

static inline void work_maps_free(WorkMaps *maps) { options_free(maps->fresh), options_free(maps->shared), options_free(maps->rtn); }

static inline LayerMap work_map(WorkMaps *maps, int which, const Model *model)
{
    LayerMap map = { .entry = maps->entry, .draw = 3, .null_run = which == NULL_RUN, .label = "work" };
    if (which == MIRRORED) map.mirrored = true, map.scale = .5;
    for (int l = 0; l < model_layer_count(model) && which != NULL_RUN && which != CLEAN; l++) {
        const int kind = which == MIXED ? (l + l / LAYER_TYPES) % 4 : which == MIRRORED ? FRESH : which;
        if (kind == FRESH) maps->entry[map.n++] = (MapEntry){ l, perturbation_find("gaussian"), maps->fresh };
        if (kind == SHARED) maps->entry[map.n++] = (MapEntry){ l, perturbation_find("sign"), maps->shared };
        if (kind == ROUNDED) maps->entry[map.n++] = (MapEntry){ l, perturbation_find("rtn"), maps->rtn };
    }
    return map;
}

/* Forms of all layers: at the clean weights with an error of each kind, or at a perturbed point. */
static inline int work_gradients(Measurement *out, Study *study, WorkMaps *maps, int which)
{
    const Model *model = study_model(study);
    int layer[64];
    for (int l = 0; l < model_layer_count(model); l++) layer[l] = l;
    const LayerMap point = work_map(maps, which == AT_SHARED_POINT ? SHARED : MIXED, model);
    const ErrorForm error[] = { { "fresh", perturbation_find("gaussian"), maps->fresh, 1 }, { "shared", perturbation_find("sign"), maps->shared, 2 },
                                { "rtn", perturbation_find("rtn"), maps->rtn, 0 } };
    GradientRequest request = { .probe = which == AT_CLEAN ? PROBE_SIGNS : which == AT_CLEAN_SAMPLED ? PROBE_SAMPLED : PROBE_KL, .group = 16,
                                .n_layers = model_layer_count(model), .layer = layer, .label = "work" };
    if (which >= AT_POINT) request.point = &point;
    else request.n_errors = 3, request.error = error;
    return measure_gradients(out, study, &request, study_corpus(study)->n_windows, NULL, NULL);
}

/* memory 0: the least that is enough. */
static inline Work work_of(const Kernels *kernels, const Model *model, int64_t memory)
{
    Work work;
    Corpus corpus;
    StudyPlan plan;
    Study *study;
    WorkMaps maps = work_maps();
    work_corpus(&corpus, model_shape(model)->vocabulary);
    WORKS(study_plan(&plan, model_shape(model), &corpus, kernels, (int64_t)1 << 34));
    if (!memory) WORKS(study_plan(&plan, model_shape(model), &corpus, kernels, plan.least));
    WORKS(study_open(&study, model, &corpus, kernels, &plan, 5, NULL));
    for (int i = 0; i < MAPS; i++) {
        const LayerMap map = work_map(&maps, i, model);
        work.m[i] = measured(study, &map);
    }
    for (int i = 0; i < GRADIENTS; i++) WORKS(work_gradients(&work.g[i], study, &maps, i));
    study_close(&study);
    corpus_free(&corpus);
    work_maps_free(&maps);
    return work;
}

static inline void work_free(Work *work)
{
    for (int i = 0; i < MAPS; i++) measurement_free(&work->m[i]);
    for (int i = 0; i < GRADIENTS; i++) measurement_free(&work->g[i]);
}

static inline void assert_same_forms(const Measurement *a, const Measurement *b, const char *what)
{
    assert_int_equal(a->n_forms, b->n_forms);
    const size_t n = (size_t)a->n_forms * (size_t)a->n_layers * (size_t)a->n_windows;
    for (size_t i = 0; i < n; i++)
        if (!(a->form[i] == b->form[i])) fail_msg("%s: form %zu is %.17g and %.17g", what, i, a->form[i], b->form[i]);
    assert_memory_equal(a->nll, b->nll, sizeof(double) * (size_t)a->n_windows);
    assert_memory_equal(a->kl, b->kl, sizeof(double) * (size_t)a->n_windows);
    assert_memory_equal(a->t2, b->t2, sizeof(double) * (size_t)a->n_layers);
}

static inline void assert_same_map(const Work *a, const Work *b, int i, const char *what)
{
    char name[128];
    snprintf(name, sizeof name, "%s, map %d", what, i);
    if (i == CLEAN) assert_memory_equal(a->m[i].nll, b->m[i].nll, sizeof(double) * (size_t)a->m[i].n_windows);
    else assert_same(&a->m[i], &b->m[i], name);
}

/* All but one map, -1: all. */
static inline void assert_same_work(const Work *a, const Work *b, int but, const char *what)
{
    for (int i = 0; i < MAPS; i++)
        if (i != but) assert_same_map(a, b, i, what);
    for (int i = 0; i < GRADIENTS; i++) assert_same_forms(&a->g[i], &b->g[i], what);
}

#endif
