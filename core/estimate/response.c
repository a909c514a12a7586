#include "core/estimate/response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "core/estimate/levels.h"

void response_init(LayerResponse *out, int layer, int n_points, int n_windows)
{
    size_t n = (size_t)n_points;
    *out = (LayerResponse){ .layer = layer, .n_points = n_points, .n_windows = n_windows,
                            .t2 = xcalloc(n, sizeof(double)), .t2_asked = xcalloc(n, sizeof(double)), .draw = xcalloc(n, sizeof(int)),
                            .kl = xcalloc(n * (size_t)n_windows, sizeof(double)), .nll = xcalloc(n * (size_t)n_windows, sizeof(double)),
                            .used = xcalloc(n, sizeof(bool)), .common = xcalloc(n, sizeof(bool)) };
}

void response_set(LayerResponse *r, int point, const Measurement *m, int draw)
{
    size_t bytes = sizeof(double) * (size_t)r->n_windows;
    r->t2[point] = m->t2[0];
    r->t2_asked[point] = m->t2_asked[0];
    r->draw[point] = draw;
    r->used[point] = r->common[point] = true;
    memcpy(r->kl + (int64_t)point * r->n_windows, m->kl, bytes);
    memcpy(r->nll + (int64_t)point * r->n_windows, m->nll, bytes);
}

void response_free(LayerResponse *r)
{
    free(r->t2);
    free(r->t2_asked);
    free(r->draw);
    free(r->kl);
    free(r->nll);
    free(r->used);
    free(r->common);
    *r = (LayerResponse){ 0 };
}

void response_use_above(LayerResponse *r, double least_kl, const int64_t *tokens)
{
    int *level = xmalloc(sizeof *level * (size_t)r->n_points), n = levels_group(level, r->t2_asked, r->n_points);
    double *sum = xcalloc((size_t)n, sizeof *sum), *draws = xcalloc((size_t)n, sizeof *draws);
    for (int j = 0; j < r->n_points; j++) {
        double mean, se;
        weighted_mean(&mean, &se, r->kl + (int64_t)j * r->n_windows, tokens, r->n_windows);
        sum[level[j]] += mean;
        draws[level[j]]++;
    }
    for (int j = 0; j < r->n_points; j++) r->used[j] = sum[level[j]] / draws[level[j]] >= least_kl;
    free(level);
    free(sum);
    free(draws);
}

/* c[n_points], 0 where not taken; returns the number of levels. */
static int intercept_weights(double *c, const LayerResponse *r, const bool *take)
{
    size_t bytes = sizeof(double) * (size_t)r->n_points;
    double *t2 = xmalloc(bytes), *for_a = xmalloc(bytes), *for_b = xmalloc(bytes);
    int n = 0;
    for (int j = 0; j < r->n_points; j++)
        if (take[j]) t2[n++] = r->t2_asked[j];
    const int levels = n ? levels_weights(for_a, for_b, t2, n) : 0;
    for (int j = 0, i = 0; j < r->n_points; j++) c[j] = take[j] ? for_a[i++] : 0;
    free(t2);
    free(for_a);
    free(for_b);
    return levels;
}

int response_levels(const LayerResponse *r, const bool *take)
{
    double *c = xmalloc(sizeof *c * (size_t)r->n_points);
    int levels = intercept_weights(c, r, take);
    free(c);
    return levels;
}

void response_coefficients(double *out, const LayerResponse *r, const bool *take, const double *clean_nll)
{
    double *c = xmalloc(sizeof *c * (size_t)r->n_points), empty = intercept_weights(c, r, take) ? 0 : NAN;
    for (int w = 0; w < r->n_windows; w++) {
        out[w] = empty;
        for (int j = 0; j < r->n_points; j++) {
            if (!take[j] || r->t2[j] == 0) continue;        /* a matrix of zeros cannot be disturbed: its coefficient is 0 */
            int64_t at = (int64_t)j * r->n_windows + w;
            out[w] += c[j] * ((clean_nll ? r->nll[at] - clean_nll[w] : r->kl[at]) / r->t2[j]);
        }
    }
    free(c);
}

void response_by_draw(double *out, int n_draws, const LayerResponse *r, const bool *take, const double *clean_nll, const int64_t *tokens)
{
    double *a = xmalloc(sizeof *a * (size_t)r->n_windows), se;
    bool *of_draw = xmalloc(sizeof *of_draw * (size_t)r->n_points);
    for (int d = 0; d < n_draws; d++) {
        for (int j = 0; j < r->n_points; j++) of_draw[j] = take[j] && r->draw[j] == d;
        response_coefficients(a, r, of_draw, clean_nll);
        weighted_mean(&out[d], &se, a, tokens, r->n_windows);
    }
    free(a);
    free(of_draw);
}

double response_noise_level(const LayerResponse *r, const bool *take)
{
    double *c = xmalloc(sizeof *c * (size_t)r->n_points), sum = 0;
    int levels = intercept_weights(c, r, take);
    for (int j = 0; j < r->n_points; j++) sum += take[j] ? c[j] / sqrt(r->t2_asked[j]) : 0;
    free(c);
    return levels ? 1 / (sum * sum) : NAN;
}
