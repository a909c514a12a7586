/*
 * lsaq_compare.c - how alike rules order the blocks: rank correlations, with intervals over the windows of the text that they looked at
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/bootstrap.h"
#include "core/estimate/spearman.h"
#include "experiments/lsaq/lsaq.h"

/* Ranks of the blocks by one order, windows counted count[w] times; a rule without windows always has its own. */
static void ranks_of(double *rank, const Importance *i, const int *count)
{
    double *value = xmalloc(sizeof *value * (size_t)i->n_blocks);
    for (int b = 0; b < i->n_blocks; b++) {
        value[b] = i->n_windows ? 0 : i->value[b];
        for (int w = 0; w < i->n_windows; w++) value[b] += count[w] * i->by_window[(int64_t)b * i->n_windows + w];
    }
    mid_ranks(rank, value, i->n_blocks);
    free(value);
}

/* rank[n_orders][n][n_blocks] for n ways of counting windows: resamples, or each window left out once. */
static double *all_ranks(const Lsaq *l, int n, bool leave_out)
{
    const int windows = l->d.n_windows;
    const int64_t blocks = l->n_blocks;
    double *rank = xmalloc(sizeof *rank * (size_t)((int64_t)l->n_orders * n * blocks));
    int *count = xmalloc(sizeof *count * (size_t)windows);
    for (int i = 0; i < n; i++) {
        if (leave_out) for (int w = 0; w < windows; w++) count[w] = w != i;
        else bootstrap_counts(count, windows, i, study_seed(l->run->study));
        for (int o = 0; o < l->n_orders; o++) ranks_of(rank + ((int64_t)o * n + i) * blocks, &l->order[o].importance, count);
    }
    free(count);
    return rank;
}

static void correlate(double *rho, const double *rank, const Lsaq *l, int a, int b, int n)
{
    const int64_t blocks = l->n_blocks;
    for (int64_t i = 0; i < n; i++) rho[i] = correlation(rank + ((int64_t)a * n + i) * blocks, rank + ((int64_t)b * n + i) * blocks, l->n_blocks);
}

typedef struct { int n_resamples; double *resampled, *left_out; } Ranks;     /* ranks of all orders */

static Interval interval_of(const Lsaq *l, const Ranks *r, int a, int b)
{
    const Importance *x = &l->order[a].importance, *y = &l->order[b].importance;
    const int windows = l->d.n_windows;
    Interval rho = { spearman(x->value, y->value, l->n_blocks), NAN, NAN };
    if (windows < 2 || (!x->n_windows && !y->n_windows)) return rho;
    double *replicate = xmalloc(sizeof *replicate * (size_t)(r->n_resamples + windows)), *jackknife = replicate + r->n_resamples;
    correlate(replicate, r->resampled, l, a, b, r->n_resamples);
    correlate(jackknife, r->left_out, l, a, b, windows);
    bootstrap_interval(&rho.low, &rho.high, replicate, r->n_resamples, rho.value, jackknife, windows, bootstrap_expanded_level(.95, windows));
    free(replicate);
    return rho;
}

Correlation *correlations(const Lsaq *l, int *n)
{
    const int resamples = (int)options_integer(l->run->options, "bootstrap");
    const Ranks ranks = { resamples, all_ranks(l, resamples, false), all_ranks(l, l->d.n_windows, true) };
    Correlation *out = xmalloc(sizeof *out * (size_t)(l->n_orders * (l->n_orders - 1) / 2 + 1));
    *n = 0;
    for (int a = 0; a < l->n_orders; a++)
        for (int b = a + 1; b < l->n_orders; b++) out[(*n)++] = (Correlation){ a, b, interval_of(l, &ranks, a, b) };
    free(ranks.resampled);
    free(ranks.left_out);
    return out;
}
