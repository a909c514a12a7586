/*
 * additivity_rays.c - noise levels in all layers, choices and the noise that stands for them: made, planned, measured
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/additivity/additivity.h"

const char *const law_name[LAWS] = { "quantizer", "noise" };

/* ---- what is put in ---- */

static void node_init(Node *node, const Additivity *a, double u, double scale, char *label)
{
    const size_t windows = (size_t)a->n_windows, forms = (size_t)a->n_layers * windows;
    *node = (Node){ .u = u, .scale = scale, .label = label, .entry = xcalloc((size_t)a->n_layers, sizeof *node->entry) };
    node->dot = xcalloc(forms, sizeof(double)), node->t2 = xcalloc(forms, sizeof(double));
    double **loss[] = { &node->kl, &node->delta, &node->kl_plus, &node->delta_plus };
    for (int i = 0; i < 4; i++) *loss[i] = xcalloc(windows, sizeof(double));
}

/* t2[i * stride]: of layer i. */
static int fill_noise(Node *node, const Additivity *a, const double *t2, int stride)
{
    const Perturbation *law = noise_law(a->run);
    if (!law) return ERR_ARGUMENT;
    for (int i = 0; i < a->n_layers; i++) {
        Options *options = noise_at(a->run, law, t2[i * stride], NULL, NULL);
        if (!options) return ERR_ARGUMENT;
        node->entry[i] = (MapEntry){ a->run->layer[i], law, options };
    }
    return OK;
}

static void fill_choice(Node *node, const Additivity *a, const Choice *choice)
{
    for (int i = 0; i < a->n_layers; i++) node->entry[i] = (MapEntry){ a->run->layer[i], choice->perturbation, options_copy(choice->options) };
}

static int rising(const void *x, const void *y) { return (*(const double *)x > *(const double *)y) - (*(const double *)x < *(const double *)y); }

/* The values of a list option, rising, with room for one more; the caller frees. */
static double *sorted(int *n, const Run *run, const char *name)
{
    *n = options_count(run->options, name);
    double *value = xmalloc(sizeof *value * (size_t)(*n + 1));
    for (int i = 0; i < *n; i++) value[i] = options_number_at(run->options, name, i);
    qsort(value, (size_t)*n, sizeof *value, rising);
    return value;
}

static int ladder_init(Additivity *a)
{
    int n, status = OK;
    double *level = sorted(&n, a->run, "additivity.t2");
    a->ladder = (Ray){ .n_nodes = n, .n_draws = (int)options_integer(a->run->options, "additivity.draws"), .node = xcalloc((size_t)n, sizeof *a->ladder.node) };
    for (int k = 0; k < n && status == OK; k++) {
        node_init(&a->ladder.node[k], a, level[k], 1, xformat("all layers %s t2=%g", options_text(a->run->options, "noise.law"), level[k]));
        status = fill_noise(&a->ladder.node[k], a, &level[k], 0);
    }
    free(level);
    return status;
}

static int choice_init(Additivity *a, int c, Law law)
{
    int n, status = OK;
    double *u = sorted(&n, a->run, "additivity.nodes");
    u[n++] = 1;
    Ray *ray = &a->choice[c][law];
    *ray = (Ray){ .n_nodes = n, .n_draws = law == LAW_NOISE ? a->ladder.n_draws : 1, .node = xcalloc((size_t)n, sizeof *ray->node) };
    for (int k = 0; k < n && status == OK; k++) {
        char *part = k < n - 1 ? xformat(" x %g", u[k]) : xstrdup("");
        node_init(&ray->node[k], a, u[k], sqrt(u[k]), xformat("all layers %s%s%s", law == LAW_NOISE ? "noise as " : "", additivity_choice(a, c)->name, part));
        free(part);
        if (law == LAW_NOISE) status = fill_noise(&ray->node[k], a, a->t2 + c * a->n_layers, 1);
        else fill_choice(&ray->node[k], a, additivity_choice(a, c));
    }
    free(u);
    return status;
}

int rays_init(Additivity *a)
{
    a->choice = xcalloc((size_t)(a->n_choices ? a->n_choices : 1), sizeof *a->choice);
    TRY(ladder_init(a));
    for (int c = 0; c < a->n_choices; c++)
        for (Law law = 0; law < LAWS; law++) TRY(choice_init(a, c, law));
    return OK;
}

static void ray_free(Ray *ray, int n_layers)
{
    for (int k = 0; k < ray->n_nodes; k++) {
        Node *node = &ray->node[k];
        for (int i = 0; i < n_layers && node->entry; i++)
            if (node->entry[i].options) options_free((Options *)node->entry[i].options);
        void *all[] = { node->entry, node->label, node->dot, node->t2, node->kl, node->delta, node->kl_plus, node->delta_plus };
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) free(all[j]);
    }
    free(ray->node);
}

void rays_free(Additivity *a)
{
    ray_free(&a->ladder, a->n_layers);
    for (int c = 0; c < a->n_choices && a->choice; c++)
        for (Law law = 0; law < LAWS; law++) ray_free(&a->choice[c][law], a->n_layers);
    free(a->choice);
}

/* ---- measured ---- */

typedef int (*Visit)(void *context, const GradientRequest *request, bool mirrored);

/* Both signs of every draw. */
static int each_point(const Additivity *a, const Ray *ray, const Node *node, Visit visit, void *context)
{
    int status = OK;
    for (int at = 0; at < 2 * ray->n_draws && status == OK; at++) {
        const bool mirrored = at % 2;
        char *label = xformat("%s%s draw %d", node->label, mirrored ? " mirrored" : "", at / 2);
        LayerMap map = { .n = a->n_layers, .entry = node->entry, .draw = at / 2, .mirrored = mirrored, .scale = node->scale == 1 ? 0 : node->scale, .label = label };
        GradientRequest request = { .probe = PROBE_KL, .group = (int)options_integer(a->run->options, "noise.group"), .n_layers = a->n_layers,
                                    .layer = a->run->layer, .point = &map, .label = label };
        status = visit(context, &request, mirrored);
        free(label);
    }
    return status;
}

static int plan_point(void *context, const GradientRequest *request, bool mirrored)
{
    (void)mirrored;
    plan_add_gradients(context, request);
    return OK;
}

typedef struct { Additivity *a; const Ray *ray; Node *node; } Adding;

static void add_windows(double *to, double weight, const double *x, const double *less, int n)
{
    for (int w = 0; w < n; w++) to[w] += weight * (x[w] - (less ? less[w] : 0));
}

static int add_point(void *context, const GradientRequest *request, bool mirrored)
{
    const Adding *to = context;
    const int n = to->a->n_windows, forms = to->a->n_layers * n;
    const double weight = 1. / (2 * to->ray->n_draws);
    Measurement m;
    TRY(run_gradients(&m, to->a->run, request));
    add_windows(to->node->dot, weight, measurement_form(&m, "dot"), NULL, forms);
    add_windows(to->node->t2, weight, measurement_form(&m, "t2"), NULL, forms);
    add_windows(to->node->kl, weight, m.kl, NULL, n);
    add_windows(to->node->delta, weight, m.nll, to->a->clean, n);
    if (!mirrored) add_windows(to->node->kl_plus, 2 * weight, m.kl, NULL, n);
    if (!mirrored) add_windows(to->node->delta_plus, 2 * weight, m.nll, to->a->clean, n);
    measurement_free(&m);
    return OK;
}

static int each_node(Additivity *a, int (*visit)(void *, Additivity *, Ray *, Node *), void *context)
{
    for (int k = 0; k < a->ladder.n_nodes; k++) TRY(visit(context, a, &a->ladder, &a->ladder.node[k]));
    for (int c = 0; c < a->n_choices; c++)
        for (Law law = 0; law < LAWS; law++)
            for (int k = 0; k < a->choice[c][law].n_nodes; k++) TRY(visit(context, a, &a->choice[c][law], &a->choice[c][law].node[k]));
    return OK;
}

static int plan_node(void *context, Additivity *a, Ray *ray, Node *node) { return each_point(a, ray, node, plan_point, context); }

static int measure_node(void *context, Additivity *a, Ray *ray, Node *node)
{
    (void)context;
    Adding adding = { a, ray, node };
    return each_point(a, ray, node, add_point, &adding);
}

void rays_plan(Plan *out, Additivity *a)
{
    estimator_fisher.plan(out, a->run);         /* cannot fail: nothing is read */
    each_node(a, plan_node, out);
}

int rays_measure(Additivity *a) { return each_node(a, measure_node, NULL); }

int fisher_measure(Additivity *a)
{
    Coefficients c;
    Measurement clean;
    TRY(study_clean(&clean, a->run->study));
    memcpy(a->clean, clean.nll, sizeof *a->clean * (size_t)a->n_windows);
    measurement_free(&clean);
    TRY(estimator_fisher.run(&c, a->run));
    memcpy(a->a, c.a, sizeof *a->a * (size_t)a->n_layers * (size_t)a->n_windows);
    const WindowCoefficients fresh = { .n_layers = a->n_layers, .n_windows = a->n_windows, .n_draws = c.n_draws, .a = a->a, .tokens = a->tokens };
    draw_variance(a->v, &fresh);
    coefficients_free(&c);
    return OK;
}
