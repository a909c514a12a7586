/*
 * gradient_layer.c - forms of one layer's gradient for the segments that pass together
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/measure/device_noise.h"
#include "core/measure/device_quantize.h"
#include "core/measure/gradient_pass.h"

enum { SIGMA, GROUP, RHO, ERRORS, PER_ERROR = 3 };     /* forms at the clean weights; then square, dot, t2 of each error */
enum { DOT, T2 };                                       /* forms at perturbed weights */

int gradient_form_names(char ***out, const GradientRequest *request)
{
    int n = request->point ? 2 : ERRORS + PER_ERROR * request->n_errors;
    char **name = xmalloc(sizeof *name * (size_t)n);
    static const char *const clean[] = { "sigma", "group", "rho" }, *const perturbed[] = { "dot", "t2" }, *const of_error[] = { "square", "dot", "t2" };
    for (int i = 0; i < n; i++)
        name[i] = request->point ? xstrdup(perturbed[i]) : i < ERRORS ? xstrdup(clean[i])
                : xformat("%s.%s", request->error[(i - ERRORS) / PER_ERROR].name, of_error[(i - ERRORS) % PER_ERROR]);
    *out = name;
    return n;
}

static double *form_of(const GradientPass *p, int form, int place, int window)
{
    return &p->form[((int64_t)form * p->request->n_layers + place) * p->study->corpus->n_windows + window];
}

/* Mean squares of the groups of a layer, for the layer at work; returns ||W||^2. */
static double layer_scales(GradientPass *p, const LayerGradient *g)
{
    const int64_t group = p->request->group < g->cols ? p->request->group : g->cols, groups = (g->cols + group - 1) / group;
    const Kernels *k = p->study->kernels;
    const bool on_device = k->group_scales != NULL;
    p->clean_is_here = !on_device;
    if (!on_device) k->download(p->clean_host, g->clean, g->rows * g->cols);
    if (on_device) return k->group_scales(p->scale, g->clean, g->rows, g->cols, (int)group);
    float *host = xmalloc(sizeof *host * (size_t)(g->rows * groups));
    double *row_norm = xmalloc(sizeof *row_norm * (size_t)g->rows);
#pragma omp parallel for schedule(static) num_threads(kernels_threads())
    for (int64_t r = 0; r < g->rows; r++) {
        row_norm[r] = 0;
        for (int64_t i = 0; i < groups; i++) {
            const int64_t n = group < g->cols - i * group ? group : g->cols - i * group;
            double squares = sum_of_squares(p->clean_host + r * g->cols + i * group, n);
            row_norm[r] += squares;
            host[r * groups + i] = (float)(squares / (double)n);
        }
    }
    double norm2 = 0;
    for (int64_t r = 0; r < g->rows; r++) norm2 += row_norm[r];
    p->study->kernels->upload(p->scale, host, g->rows * groups);
    free(row_norm);
    free(host);
    return norm2;
}

/* Weights with an error in one draw, at `out` in the back end's memory, made there or on the host. */
static int one_error(PerturbationError *got, GradientPass *p, float *out, const MapEntry *entry, Draw draw, const LayerGradient *g)
{
    const LayerWeights weights = { p->clean_host, g->rows, g->cols, g->layer };
    bool made;
    TRY(device_noise(&made, out, got, p->study, entry, g->clean, draw, 1));
    if (made) return OK;
    const LayerWeights there = { g->clean, g->rows, g->cols, g->layer };
    TRY(device_quantize(&made, out, got, p->study->kernels, entry->perturbation, &there, entry->options, draw));
    if (made) return OK;
    if (!p->clean_is_here) p->study->kernels->download(p->clean_host, g->clean, g->rows * g->cols);
    p->clean_is_here = true;
    TRY(evidence_apply(p->error_host, got, p->study->evidence, entry, &weights, draw, NULL));
    p->study->kernels->upload(out, p->error_host, g->rows * g->cols);
    return OK;
}

/* The weights with error j for every segment, and their t2. */
static int error_weights(GradientPass *p, int j, int64_t *stride, double *t2, const LayerGradient *g)
{
    const ErrorForm *error = &p->request->error[j];
    const int64_t floats = g->rows * g->cols;
    const MapEntry entry = { g->layer, error->perturbation, error->options };
    const bool fresh = replacement_per_window(&entry);
    const int *window = p->study->layout.window + g->first_segment;
    *stride = fresh ? floats : 0;
    PerturbationError got = { 0 };
    for (int i = 0; i < g->batch.n; i++) {
        const bool same = i > 0 && (!fresh || window[i] == window[i - 1]);
        float *out = p->error_device[j] + i * *stride;
        if (!same) TRY(one_error(&got, p, out, &entry, (Draw){ p->study->seed, error->draw, fresh ? window[i] : 0 }, g));
        else if (fresh) p->study->kernels->copy(out, out - floats, floats);
        t2[i] = got.t2;
    }
    return OK;
}

/* Floats of the largest layer asked for, and of the groups of the one that has most of them. */
static void largest_layer(int64_t *floats, int64_t *groups, const GradientPass *p)
{
    *floats = *groups = 0;
    for (int i = 0; i < p->request->n_layers; i++) {
        const Layer *layer = model_layer(p->study->model, p->request->layer[i]);
        const int64_t n = layer->rows * layer->cols, g = layer->rows * ((layer->cols + p->request->group - 1) / p->request->group);
        *floats = n > *floats ? n : *floats;
        *groups = g > *groups ? g : *groups;
    }
}

/* The most segments that pass together. */
static int most_segments(const GradientPass *p)
{
    int most = 1;
    for (int s = 0; s < p->study->layout.n; s++) {
        int n = backward_segments(&p->study->layout, s, &p->study->plan.backward);
        most = n > most ? n : most;
    }
    return most;
}

static void make_room(GradientPass *p)
{
    if (p->clean_host) return;
    int64_t largest, groups;
    largest_layer(&largest, &groups, p);
    float *zeros = xcalloc((size_t)groups, sizeof *zeros);      /* what a perturbed point, which has no use for scales, works with */
    p->scale = p->study->kernels->alloc(groups);
    p->study->kernels->upload(p->scale, zeros, groups);
    free(zeros);
    p->clean_host = xmalloc(sizeof(float) * (size_t)largest);
    if (p->request->n_errors) p->error_host = xmalloc(sizeof(float) * (size_t)largest);
    for (int j = 0; j < p->request->n_errors; j++) {
        const MapEntry entry = { 0, p->request->error[j].perturbation, p->request->error[j].options };
        p->error_device[j] = p->study->kernels->alloc(largest * (replacement_per_window(&entry) ? most_segments(p) : 1));
    }
}

/* Adds the forms of each segment to its window; dot[i] of segment b at dot[b * n + i]: W (or delta's pair) first, then the errors. */
static void add_clean(GradientPass *p, int place, const LayerGradient *g, const double *energy, const double *group, const double *dot, const double *t2, double norm2)
{
    const int n_errors = p->request->n_errors, n = 1 + n_errors;
    for (int b = 0; b < g->batch.n; b++) {
        const int w = p->study->layout.window[g->first_segment + b];
        const double T = (double)p->study->corpus->tokens[w], along = dot[b * n];
        *form_of(p, SIGMA, place, w) += energy[b] * norm2 / (2 * (double)(g->rows * g->cols) * T);
        *form_of(p, GROUP, place, w) += group[b] / (2 * T);
        *form_of(p, RHO, place, w) += along * along / (2 * T);
        for (int j = 0; j < n_errors; j++) {
            const double d = dot[b * n + 1 + j] - along;
            const int form = ERRORS + PER_ERROR * j;
            *form_of(p, form, place, w) += d * d / (2 * T);
            *form_of(p, form + 1, place, w) += d / T;
            *form_of(p, form + 2, place, w) = t2[j * g->batch.n + b];
        }
    }
}

static void add_perturbed(GradientPass *p, int place, const LayerGradient *g, const double *dot)
{
    int entry = 0;
    while (entry < p->point->map->n && p->point->map->entry[entry].layer != g->layer) entry++;
    for (int b = 0; b < g->batch.n; b++) {
        const int w = p->study->layout.window[g->first_segment + b];
        *form_of(p, DOT, place, w) += (dot[2 * b + 1] - dot[2 * b]) / (double)p->study->corpus->tokens[w];
        *form_of(p, T2, place, w) = entry < p->point->map->n ? replacement_error(p->point, entry, w)->t2 : 0;
    }
}

/* <G, W + e> - <G, W> stands for <G, e>: what rounding does to either is far below <G, e>'s own spread. */
int gradient_pass_layer(void *context, const LayerGradient *g)
{
    GradientPass *p = context;
    const int place = p->index_of[g->layer], n = p->point ? 2 : 1 + p->request->n_errors, segments = g->batch.n;
    if (place < 0) return OK;
    make_room(p);
    const double norm2 = p->point ? NAN : layer_scales(p, g);       /* forms at perturbed weights need neither */
    const float *matrix[1 + MOST_ERRORS] = { g->clean, g->w };
    int64_t stride[1 + MOST_ERRORS] = { 0, g->w_stride };
    double *energy = xmalloc(sizeof *energy * (size_t)segments), *group = xmalloc(sizeof *group * (size_t)segments);
    double *dot = xmalloc(sizeof *dot * (size_t)(segments * n)), *t2 = xcalloc((size_t)(segments * n), sizeof *t2);
    int status = OK;
    for (int j = 0; j < p->request->n_errors && status == OK; j++) {
        status = error_weights(p, j, &stride[1 + j], t2 + (int64_t)j * segments, g);
        matrix[1 + j] = p->error_device[j];
    }
    if (status == OK) {
        FormInput input = { p->request->group < g->cols ? p->request->group : (int)g->cols, p->scale, n, matrix, stride };
        p->study->kernels->gradient_forms(energy, group, dot, g->dy, g->x, &g->batch, (int)g->cols, (int)g->rows, &input);
        if (p->point) add_perturbed(p, place, g, dot);
        else add_clean(p, place, g, energy, group, dot, t2, norm2);
    }
    free(energy);
    free(group);
    free(dot);
    free(t2);
    return status;
}
