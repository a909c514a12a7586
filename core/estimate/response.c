#include "core/estimate/response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void response_init(LayerResponse *out, int layer, int n_points, int n_windows)
{
    size_t n = (size_t)n_points;
    *out = (LayerResponse){ .layer = layer, .n_points = n_points, .n_windows = n_windows,
                            .t2 = xcalloc(n, sizeof(double)), .t2_asked = xcalloc(n, sizeof(double)), .draw = xcalloc(n, sizeof(int)),
                            .kl = xcalloc(n * (size_t)n_windows, sizeof(double)), .nll = xcalloc(n * (size_t)n_windows, sizeof(double)),
                            .used = xcalloc(n, sizeof(bool)) };
}

void response_set(LayerResponse *r, int point, const Measurement *m, int draw)
{
    size_t bytes = sizeof(double) * (size_t)r->n_windows;
    r->t2[point] = m->t2[0];
    r->t2_asked[point] = m->t2_asked[0];
    r->draw[point] = draw;
    r->used[point] = true;
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
    *r = (LayerResponse){ 0 };
}

int response_levels(const LayerResponse *r)
{
    int levels = 0;
    for (int j = 0; j < r->n_points; j++) {
        bool seen = !r->used[j];
        for (int i = 0; i < j && !seen; i++) seen = r->used[i] && r->t2_asked[i] == r->t2_asked[j];
        levels += !seen;
    }
    return levels;
}

/* The levels are those asked for: what came out differs by chance alone, and two draws of one level
 * must not look like two levels (each response is divided by the t^2 that it really had).  c_j are the
 * intercept's weights, sum c_j = 1 and sum c_j t_j^2 = 0; the mean where there is one level. */
static void intercept_weights(double *c, const LayerResponse *r)
{
    double n = 0, sum = 0, squares = 0;
    for (int j = 0; j < r->n_points; j++) {
        if (!r->used[j]) continue;
        n++, sum += r->t2_asked[j], squares += r->t2_asked[j] * r->t2_asked[j];
    }
    double mean = sum / n, spread = squares - n * mean * mean;
    bool slope = response_levels(r) > 1;
    for (int j = 0; j < r->n_points; j++)
        c[j] = !r->used[j] ? 0 : 1 / n - (slope ? mean * (r->t2_asked[j] - mean) / spread : 0);
}

void response_coefficients(double *out, const LayerResponse *r, const double *clean_nll)
{
    double *c = xmalloc(sizeof *c * (size_t)r->n_points);
    intercept_weights(c, r);
    for (int w = 0; w < r->n_windows; w++) {
        out[w] = response_levels(r) ? 0 : NAN;
        for (int j = 0; j < r->n_points; j++) {
            if (!r->used[j]) continue;
            int64_t at = (int64_t)j * r->n_windows + w;
            out[w] += c[j] * (clean_nll ? r->nll[at] - clean_nll[w] : r->kl[at]) / r->t2[j];
        }
    }
    free(c);
}
