/*
 * estimators_compare.c - one estimator of the coefficients beside another, window by window
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/crossed.h"
#include "core/estimate/distribution.h"
#include "core/estimate/equivalence.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"
#include "experiments/estimators/estimators.h"

static bool counts_perplexity(const Coefficients *c) { return !strcmp(c->estimator->metric, "PPL"); }

/* The reference in the estimator's own terms: one sigma per matrix where it has one; [windows]. */
static const double *reference_windows(const Comparisons *all, const Coefficients *c, int place)
{
    const Coefficients *r = all->reference;
    const int at = coefficients_place(r, c->layer[place]);
    const double *rows = !strcmp(c->scale, "matrix") && r->sigma ? r->sigma : r->a;
    return at < 0 ? NULL : rows + (int64_t)at * r->n_windows;
}

/* Variance that draws shared by all windows add to what these show. */
static double draw_variance_of(const Coefficients *c, int place) { return c->draws ? c->draws[place] : 0; }

static int compare_layer(LayerEstimate *out, const Comparisons *all, const Coefficients *c, int place)
{
    Estimate e;
    TRY(coefficient_estimate(&e, c, c->a, place, all->run));
    *out = (LayerEstimate){ e.value, e.se, e.low, e.high, NAN, NAN };
    const double unit = counts_perplexity(c) ? all->clean_ppl : 1, *reference = reference_windows(all, c, place);
    if (!reference) return OK;
    double *a = xmalloc(sizeof *a * (size_t)c->n_windows), mean, se;
    for (int w = 0; w < c->n_windows; w++) a[w] = c->a[(int64_t)place * c->n_windows + w] / unit;
    weighted_mean(&mean, &se, reference, c->tokens, c->n_windows);
    out->ratio = paired_ratio(&se, a, reference, c->tokens, c->n_windows);
    out->ratio_se = crossed_se(se * se, draw_variance_of(c, place) / pow(unit * mean, 2));
    free(a);
    return OK;
}

static void compare_sums(Compared *out, const Comparisons *all)
{
    const Coefficients *c = &out->coefficients;
    const double unit = counts_perplexity(c) ? all->clean_ppl : 1;
    double *a = xcalloc((size_t)c->n_windows, sizeof *a), *b = xcalloc((size_t)c->n_windows, sizeof *b), draws = 0, mean, se;
    for (int i = 0; i < c->n_layers; i++) {
        const double *reference = reference_windows(all, c, i);
        for (int w = 0; reference && w < c->n_windows; w++) {
            a[w] += c->a[(int64_t)i * c->n_windows + w] / unit;
            b[w] += reference[w];
        }
        draws += draw_variance_of(c, i) / (unit * unit);
    }
    weighted_mean(&mean, &se, b, c->tokens, c->n_windows);
    out->sum_ratio = paired_ratio(&se, a, b, c->tokens, c->n_windows);
    out->sum_ratio_se = crossed_se(se * se, draws / (mean * mean));
    free(a);
    free(b);
}

static void compare_ratios(Compared *out)
{
    const int n = out->coefficients.n_layers;
    double *log_ratio = xmalloc(sizeof *log_ratio * (size_t)n), *se = xmalloc(sizeof *se * (size_t)n);
    out->n_ratios = 0;
    for (int i = 0; i < n; i++) {
        const LayerEstimate *l = &out->layer[i];
        if (!(l->ratio > 0) || !isfinite(l->ratio_se)) continue;
        log_ratio[out->n_ratios] = log(l->ratio);
        se[out->n_ratios++] = l->ratio_se / l->ratio;
    }
    Equivalence e = { NAN, NAN, NAN, NAN };
    if (out->n_ratios > 1) e = equivalence_test(log_ratio, se, out->n_ratios, 1.1);
    out->ratio = exp(e.mean), out->ratio_se = exp(e.mean) * e.se, out->spread = e.between;
    out->agree = out->n_ratios ? equivalence_share(log_ratio, se, out->n_ratios, out->coefficients.n_windows) : NAN;
    free(log_ratio);
    free(se);
}

static double relative_error(const LayerEstimate *l) { return l->se / fabs(l->alpha); }

static void compare_errors(Compared *out, const Comparisons *all)
{
    const Coefficients *c = &out->coefficients;
    const double inputs = (double)study_corpus(all->run->study)->n_inputs, target = 0.05;
    double *relative = xmalloc(sizeof *relative * (size_t)c->n_layers);
    int n = 0;
    for (int i = 0; i < c->n_layers; i++)
        if (isfinite(relative_error(&out->layer[i]))) relative[n++] = relative_error(&out->layer[i]);
    out->relative_median = n ? quantile(relative, n, 0.5) : NAN;
    out->relative_worst = n ? quantile(relative, n, 1) : NAN;
    out->five_median = inputs * c->passes_all * pow(out->relative_median / target, 2);
    out->five_worst = inputs * c->passes_all * pow(out->relative_worst / target, 2);
    free(relative);
}

int compare_estimator(Compared *out, const Comparisons *all)
{
    const Coefficients *c = &out->coefficients;
    out->layer = xcalloc((size_t)c->n_layers, sizeof *out->layer);
    for (int i = 0; i < c->n_layers; i++) TRY(compare_layer(&out->layer[i], all, c, i));
    compare_errors(out, all);
    compare_ratios(out);
    compare_sums(out, all);
    return OK;
}

int compare_costs(double *ratio, double *low, double *high, const Compared *estimator, const Compared *other)
{
    const Coefficients *a = &estimator->coefficients, *b = &other->coefficients;
    double *log_cost = xmalloc(sizeof *log_cost * (size_t)a->n_layers), mean = 0, squares = 0;
    int n = 0;
    for (int i = 0; i < a->n_layers; i++) {
        const int at = coefficients_place(b, a->layer[i]);
        if (at < 0) continue;
        double mine = relative_error(&estimator->layer[i]), theirs = relative_error(&other->layer[at]);
        double cost = a->passes_all * mine * mine / (b->passes_all * theirs * theirs);
        if (isfinite(log(cost))) log_cost[n++] = log(cost);
    }
    for (int i = 0; i < n; i++) mean += log_cost[i] / n;
    for (int i = 0; i < n; i++) squares += (log_cost[i] - mean) * (log_cost[i] - mean);
    free(log_cost);
    const double half = n > 1 ? student_quantile(0.95, n - 1) * sqrt(squares / (n - 1) / n) : NAN;
    *ratio = n ? exp(mean) : NAN, *low = exp(mean - half), *high = exp(mean + half);
    return n;
}
