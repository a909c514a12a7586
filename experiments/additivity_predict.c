/*
 * additivity_predict.c - the loss at a node of a ray by three rules, window by window
 *
 * With s(u) = sum_l <G_l, delta_l> / (2 T u) the slope of the loss along the ray [nats/token per unit of u] and
 * s(0) = sum_l a_l t_l^2 / u: the rules of ladder.h over 0 and the nodes up to this one.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/additivity.h"

const char *const rule_name[RULES] = { "linear", "trapezoid", "ladder" };

Estimate mean_over_windows(const Additivity *a, const double *x)
{
    Estimate e;
    weighted_mean(&e.value, &e.se, x, a->tokens, a->n_windows);
    return e;
}

/* One coefficient, which stands for the whole model. */
static WindowCoefficients single(const Additivity *a, const double *x)
{
    return (WindowCoefficients){ .n_layers = 1, .n_windows = a->n_windows, .n_draws = 1, .a = x, .tokens = a->tokens };
}

Estimate ratio_over_windows(const Additivity *a, const double *x, const double *y)
{
    const double one = 1;
    const WindowCoefficients c = single(a, y);
    Estimate e;
    e.value = predict_ratio(&e.se, &c, &one, x);
    return e;
}

bool near_floor(const Additivity *a, double kl) { return !(kl >= NEAR_FLOOR * a->floor_kl); }

/* Slope along the ray at node k; k = -1: without noise, for the errors that `target` has. */
static void slope_windows(double *out, const Additivity *a, const Ray *ray, int k, const Node *target)
{
    for (int w = 0; w < a->n_windows; w++) {
        out[w] = 0;
        for (int i = 0; i < a->n_layers; i++) {
            const int64_t at = (int64_t)i * a->n_windows + w;
            out[w] += k < 0 ? a->a[at] * target->t2[at] / target->u : ray->node[k].dot[at] / (2 * ray->node[k].u);
        }
    }
}

/* The interval of the linear law for one error that all windows share holds the draw that this error is (predict.h). */
static Interval linear_interval(const Additivity *a, const Node *target, const double *measured)
{
    double *t2 = xmalloc(sizeof *t2 * (size_t)a->n_layers);
    for (int i = 0; i < a->n_layers; i++) t2[i] = target->t2[(int64_t)i * a->n_windows];
    const WindowCoefficients c = { .n_layers = a->n_layers, .n_windows = a->n_windows, .n_draws = 1, .a = a->a, .tokens = a->tokens };
    const Interval interval = predict_loss(&c, t2, a->v, measured);
    free(t2);
    return interval;
}

static void fill_rule(RulePrediction *out, const Additivity *a, double *window, const double *measured)
{
    const double one = 1, none = 0;
    const WindowCoefficients c = single(a, window);
    *out = (RulePrediction){ window, predict_loss(&c, &one, &none, measured), ratio_over_windows(a, measured, window) };
}

int node_predict(NodePrediction *out, const Additivity *a, const Ray *ray, int node, const double *measured, bool one_draw)
{
    const int n = node + 2, windows = a->n_windows;
    const Node *target = &ray->node[node];
    double *u = xcalloc((size_t)n, sizeof *u), *weight = xmalloc(sizeof *weight * (size_t)n), *slope = xmalloc(sizeof *slope * (size_t)(n * windows));
    for (int k = 0; k < n; k++) {
        u[k] = k ? ray->node[k - 1].u : 0;
        slope_windows(slope + (int64_t)k * windows, a, ray, k - 1, target);
    }
    int status = OK;
    *out = (NodePrediction){ .slope_ratio = ratio_over_windows(a, slope + (int64_t)(n - 1) * windows, slope) };
    for (int r = 0; r < RULES; r++) {
        double *predicted = xcalloc((size_t)windows, sizeof *predicted);
        if (status == OK) status = ladder_weights(weight, u, n, (LadderRule)r);
        for (int k = 0; k < n && status == OK; k++)
            for (int w = 0; w < windows; w++) predicted[w] += weight[k] * slope[(int64_t)k * windows + w];
        fill_rule(&out->rule[r], a, predicted, measured);
    }
    if (one_draw) out->rule[LADDER_LINEAR].interval = linear_interval(a, target, measured);
    free(u);
    free(weight);
    free(slope);
    return status;
}

void node_prediction_free(NodePrediction *p)
{
    for (int r = 0; r < RULES; r++) free(p->rule[r].window);
}
