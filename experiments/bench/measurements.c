/*
 * measurements.c - the two things a study is made of: one layer's KL under noise, and a Fisher pass
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/measure/gradients.h"
#include "experiments/bench/bench.h"

enum { LEVELS = 3, GROUP = 64 };

typedef struct {
    Bench *bench;
    Study *study;
    Options *noise;
    MapEntry entry;
    int *layer;
} Pair;

static int one_kl(void *context)
{
    Pair *p = context;
    Measurement m;
    const LayerMap map = { .n = 1, .entry = &p->entry, .label = "bench" };
    TRY(measure(&m, p->study, &map));
    measurement_free(&m);
    return OK;
}

static int one_fisher(void *context)
{
    Pair *p = context;
    Measurement m;
    const GradientRequest request = { .probe = PROBE_SIGNS, .group = GROUP, .n_layers = model_layer_count(p->bench->model), .layer = p->layer, .label = "bench" };
    TRY(measure_gradients(&m, p->study, &request, p->bench->corpus->n_windows, NULL, NULL));
    measurement_free(&m);
    return OK;
}

/* Every layer at some levels, each from its own block on. */
static void price_sweep(Pair *p)
{
    Bench *b = p->bench;
    MapEntry entry = p->entry;
    const LayerMap map = { .n = 1, .entry = &entry };
    for (int l = 0; l < model_layer_count(b->model); l++) {
        entry.layer = l;
        b->sweep_passes += LEVELS * measure_cost(p->study, &map);
    }
    b->sweep_measurements = LEVELS * model_layer_count(b->model);
    b->kl_cost = measure_cost(p->study, &(LayerMap){ .n = 1, .entry = &p->entry });
}

int bench_measurements(Bench *b)
{
    StudyPlan plan;
    TRY(study_plan(&plan, model_shape(b->model), b->corpus, b->kernels, b->memory));
    const int layers = model_layer_count(b->model);
    Pair p = { .bench = b, .layer = xmalloc(sizeof(int) * (size_t)layers) };
    for (int l = 0; l < layers; l++) p.layer[l] = l;
    const Perturbation *gaussian = perturbation_find("gaussian");
    p.noise = options_new(gaussian->options);
    int status = options_set(p.noise, "t2", "0.01", "bench");
    p.entry = (MapEntry){ model_layer_index(model_shape(b->model)->n_blocks / 2, WEIGHT_GATE), gaussian, p.noise };
    if (status == OK) status = study_open(&p.study, b->model, b->corpus, b->kernels, &plan, 1, NULL);
    if (status == OK) price_sweep(&p);
    if (status == OK) status = bench_time(&b->kl, b->repeats, one_kl, &p);
    if (status == OK) status = bench_time(&b->fisher, b->repeats > 3 ? 3 : b->repeats, one_fisher, &p);
    if (status == OK && b->kernels->profile) {
        b->kernels->profile(1);
        status = one_fisher(&p);
        b->kernels->profile(0);
        b->n_fisher_operations = b->kernels->profiled(b->fisher_operation, MOST_OPERATIONS);
    }
    study_close(&p.study);
    options_free(p.noise);
    free(p.layer);
    return status;
}
