/*
 * price.c - how many measurements a run makes, and what they cost in passes, memory and time
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/size.h"
#include "core/measure/gradient_sums.h"
#include "core/network/device.h"
#include "experiments/run/run.h"

static void add_seconds(Price *price, Seconds s, double part) { price->bound += part * s.bound, price->predicted += part * s.predicted; }

static unsigned map_needs(const LayerMap *map)
{
    unsigned needs = 0;
    for (int i = 0; i < map->n; i++) needs |= perturbation_needs(map->entry[i].perturbation, map->entry[i].options);
    return needs;
}

/* Two experiments may ask for the same measurement; it is priced once. */
static int price_map(Price *price, void **seen, const Point *p, Study *study, const LayerMap *map)
{
    char key[HASH_TEXT];
    TRY(measure_key(key, NULL, study, map));
    if (!key_is_new(seen, key)) return OK;
    double work = measure_cost(study, map) * run_passes(&p->run, study);
    bool known = measure_known(study, map);
    price->n++, price->known += known;
    price->work += work, price->left += known ? 0 : work;
    if (!known) price->evidence |= map_needs(map);
    if (p->device && !known) add_seconds(price, device_map(p, study, map), 1);
    return OK;
}

static int price_gradients(Price *price, void **seen, const Point *p, Study *study, const GradientRequest *request)
{
    char *key;
    const int windows = study_corpus(study)->n_windows;
    TRY(gradients_pass_key(&key, study, request));
    const bool is_new = key_is_new(seen, key);
    free(key);
    if (!is_new) return OK;
    double work = gradients_cost(study, request) * run_passes(&p->run, study);
    int known = gradients_known(study, request, windows);
    price->n += windows, price->known += known, price->backward += windows;
    price->work += work, price->left += work * (windows - known) / windows;
    for (int j = 0; j < request->n_errors && known < windows; j++) price->evidence |= perturbation_needs(request->error[j].perturbation, request->error[j].options);
    if (p->device) add_seconds(price, device_gradients(p, study, request), (double)(windows - known) / windows);
    return OK;
}

static int price_experiment(Price *price, void **seen, Point *p, const char *name)
{
    const Experiment *e = NULL;
    TRY(experiment_find(&e, name));
    Plan plan = { .study = p->study };
    int later = 0, status = e->plan(&plan, &later, &p->run);
    for (int m = 0; m < plan.n && status == OK; m++) status = price_map(price, seen, p, plan.map_study[m], &plan.map[m]);
    for (int g = 0; g < plan.n_gradients && status == OK; g++) status = price_gradients(price, seen, p, plan.gradient_study[g], &plan.gradient[g]);
    price->n += later + plan.later_windows, price->later += later, price->later_windows += plan.later_windows;
    price->work += later + plan.later_passes, price->left += later + plan.later_passes;
    if (p->device) add_seconds(price, device_later(p, later, plan.later_passes), 1);
    plan_free(&plan);
    return status;
}

/* Collected once, by one backward pass over the calibration text. */
static void price_evidence(Price *price, const Point *p)
{
    const ModelShape *s = model_shape(p->model);
    if (!(price->evidence & (NEEDS_GRADIENT | NEEDS_FISHER)) || !p->calibration.n_segments) return;
    const double pass = network_flops(s, p->corpus.n_inputs, (double)p->corpus.n_inputs / p->corpus.n_segments, 0, p->corpus.n_scored);
    price->gradients = gradient_sums_flops(s, &p->calibration) / pass;
    price->left += price->gradients;
    if (p->device) add_seconds(price, device_later(p, 0, price->gradients), 1);
}

int price_point(Price *price, Point *p)
{
    void *seen = NULL;
    int status = OK;
    for (int i = 0; i < options_count(p->options, "experiment") && status == OK; i++)
        status = price_experiment(price, &seen, p, options_text_at(p->options, "experiment", i));
    keys_free(&seen);
    price_evidence(price, p);
    if (price->left > 0 && p->device) add_seconds(price, device_later(p, 1, 0), 1);
    if (price->left > 0) price->left++;         /* the clean pass, which every run that measures begins with */
    return status;
}

static double seconds_of(const Kernels *k, float *out, const float *x, const float *w, const Ragged *batch, int C, int N)
{
    float last;
    double start = clock_seconds();
    k->matmul(out, N, x, w, 0, NULL, batch, C, N);
    k->download(&last, out, 1);                 /* which waits for a device */
    return clock_seconds() - start;
}

static float *zeros(const Kernels *k, int64_t n)
{
    float *host = xcalloc((size_t)n, sizeof *host), *device = k->alloc(n);
    k->upload(device, host, n);
    free(host);
    return device;
}

/* Seconds of one pass, from the fastest of some products of the shapes at hand: enough for an estimate. */
static double seconds_per_pass(const Point *p)
{
    enum { ROWS = 256, REPEATS = 20 };
    const ModelShape *s = model_shape(p->model);
    int C = s->width, N = s->feed_forward, length[2] = { ROWS, ROWS };
    int64_t offset[2] = { 0, ROWS };
    Ragged batch = { 2, length, offset };
    float *x = zeros(p->kernels, 2 * ROWS * (int64_t)C), *w = zeros(p->kernels, (int64_t)C * N), *out = zeros(p->kernels, 2 * ROWS * (int64_t)N);
    double best = INFINITY;
    kernels_settle(p->kernels, w, (int64_t)C * N);
    for (int i = 0; i < REPEATS; i++) best = fmin(best, seconds_of(p->kernels, out, x, w, &batch, C, N));
    float *all[] = { x, w, out };
    for (int i = 0; i < 3; i++) p->kernels->release(all[i]);
    const double overhead = 1.25;               /* all that is not a matrix product, measured on the default model */
    double rate = 2.0 * 2 * ROWS * C * N / best;
    return overhead * network_flops(s, p->corpus.n_inputs, (double)p->corpus.n_inputs / p->corpus.n_segments, 0, p->corpus.n_scored) / rate;
}

static void say_shortened(const Corpus *text)
{
    if (text->shortened) printf("               (%d windows lose their beginning: longer than %d tokens)\n", text->shortened, text->context);
}

void price_say(const Point *p, const Price *price)
{
    const ModelShape *s = model_shape(p->model);
    double flops = network_flops(s, p->corpus.n_inputs, (double)p->corpus.n_inputs / p->corpus.n_segments, 0, p->corpus.n_scored);
    printf("measurements   %d, of which %d are in the store\n", price->n, price->known);
    if (price->backward) printf("               (%d of them windows of backward passes, each for all layers at once)\n", price->backward);
    printf("text           %s, %d windows, %lld tokens scored\n", p->corpus.protocol, p->corpus.n_windows, (long long)p->corpus.n_scored);
    if (p->corpus.task) printf("               (%d items; format: %s)\n", p->corpus.task->n_items, p->corpus.task->format);
    say_shortened(&p->corpus);
    if (p->others.n_windows) printf("coefficients   from %s, %d windows, %lld tokens scored\n", p->others.protocol, p->others.n_windows, (long long)p->others.n_scored);
    say_shortened(&p->others);
    printf("work left      %.1f passes of the model, %.3g token-forwards, %.3g FLOP\n", price->left, price->left * (double)p->corpus.n_inputs, price->left * flops);
    if (price->later) printf("               (at most %d measurements that follow from the results; some may be in the store)\n", price->later);
    if (price->later_windows) printf("               (%d windows of backward passes for allocations, likewise)\n", price->later_windows);
    char used[SIZE_TEXT], least[SIZE_TEXT];
    if (p->calibration.n_segments)
        printf("calibration    %s, %d windows, %lld tokens; up to %s for what it tells\n", p->calibration.protocol, p->calibration.n_windows,
               (long long)p->calibration.n_inputs, size_text(used, p->calibrating));
    say_shortened(&p->calibration);
    if (price->gradients > 0)
        printf("               (gradients by the weights: %.1f passes of the work left, %s of memory with masks)\n", price->gradients,
               size_text(used, evidence_host_bytes(s, &p->needs)));
    printf("memory         %s beside the mapped file (%s, %s, %s); the least is %s\n", size_text(used, p->plan.bytes + p->coefficient_plan.bytes),
           p->plan.network.resident ? "weights kept as float32" : "weights converted block by block",
           p->plan.keep_logits ? "clean logits kept" : "clean logits computed again",
           p->plan.boundary_stride == 1 ? "every block boundary kept" : p->plan.boundary_stride ? "some block boundaries kept" : "no block boundary kept",
           size_text(least, p->plan.least + p->coefficient_plan.least));
    if (p->device) {
        device_say(p, price);
        return;
    }
    const double seconds = price->left * seconds_per_pass(p);
    int minutes = (int)(seconds / 60);
    printf("time           about ");
    if (minutes >= 60) printf("%d h ", minutes / 60);
    if (p->kernels->free_memory) printf("%d min %02d s on this GPU (a guess from one matrix product)\n", minutes % 60, (int)seconds % 60);
    else printf("%d min %02d s with %d threads of this machine (a guess from one matrix product)\n", minutes % 60, (int)seconds % 60, kernels_threads());
}
