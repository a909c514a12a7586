/*
 * additivity_predict.c - the loss at a node of a ray by three rules, window by window
 *
 * With s(u) = sum_l <G_l, delta_l> / (2 T u) the slope of the loss along the ray [nats/token per unit of u] and
 * s(0) = sum_l a_l t_l^2 / u: the rules of ladder.h over 0 and the nodes up to this one.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/additivity/additivity.h"

const char *const rule_name[RULES] = { "linear", "trapezoid", "ladder" };

Mean mean_over_windows(const Additivity *a, const double *x)
{
    Mean e;
    weighted_mean(&e.value, &e.se, x, a->tokens, a->n_windows);
    return e;
}

/* One coefficient, which stands for the whole model. */
static WindowCoefficients single(const Additivity *a, const double *x)
{
    return (WindowCoefficients){ .n_layers = 1, .n_windows = a->n_windows, .n_draws = 1, .a = x, .tokens = a->tokens };
}

Mean ratio_over_windows(const Additivity *a, const double *x, const double *y)
{
    Mean e;
    e.value = paired_ratio(&e.se, x, y, a->tokens, a->n_windows);
    return e;
}

bool near_floor(const Additivity *a, double kl) { return !(kl >= FLOOR_FACTOR * a->floor_kl); }

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

/*
 * The interval for one error that all windows share: the coefficients stand for its mean over draws (predict.h), so what
 * a draw may differ by is in it, for the share of the prediction that coefficients have.  The slopes are of the error
 * itself; they are one more layer, without draws.
 */
static Interval shared_interval(const Additivity *a, const Node *target, const double *predicted, double share, const double *measured)
{
    const int layers = a->n_layers, windows = a->n_windows;
    const size_t forms = (size_t)layers * (size_t)windows;
    double *all = xmalloc(sizeof *all * (forms + (size_t)windows)), *t2 = xmalloc(sizeof *t2 * (size_t)(layers + 1));
    double *v = xmalloc(sizeof *v * (size_t)(layers + 1)), *rest = all + forms;
    memcpy(all, a->a, sizeof *all * forms);
    memcpy(rest, predicted, sizeof *rest * (size_t)windows);
    memcpy(v, a->v, sizeof *v * (size_t)layers);
    t2[layers] = 1, v[layers] = a->n_windows > 1 ? 0 : NAN;
    for (int i = 0; i < layers; i++) {
        t2[i] = fabs(share) * target->t2[(int64_t)i * windows];
        for (int w = 0; w < windows; w++) rest[w] -= a->a[(int64_t)i * windows + w] * t2[i];
    }
    const WindowCoefficients c = { .n_layers = layers + 1, .n_windows = windows, .n_draws = 1, .a = all, .tokens = a->tokens };
    const Interval interval = predict_loss(&c, t2, v, measured);
    free(all);
    free(t2);
    free(v);
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
        if (one_draw && status == OK) out->rule[r].interval = shared_interval(a, target, predicted, weight[0] / target->u, measured);
    }
    free(u);
    free(weight);
    free(slope);
    return status;
}

void node_prediction_free(NodePrediction *p)
{
    for (int r = 0; r < RULES; r++) free(p->rule[r].window);
}
