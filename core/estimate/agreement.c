#include "core/estimate/agreement.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

/* Sums over the layers that count. */
typedef struct { int n; double weight, a, b, x, y, xx, yy, xy, eta, eta2, inverse, error, weighted_error; } Sums;

static void add_layer(Sums *s, double a, double a_se, double b, double b_se, double weight)
{
    const double x = log(a), y = log(b), eta = x - y, error = pow(a_se / a, 2) + pow(b_se / b, 2);
    s->n++;
    s->weight += weight;
    s->a += a, s->b += b;
    s->x += x, s->y += y, s->xx += x * x, s->yy += y * y, s->xy += x * y;
    s->eta += weight * eta, s->inverse += weight * exp(-eta);
    s->eta2 += eta * eta;
    s->error += error, s->weighted_error += weight * error;
}

Agreement agreement_of(const double *a, const double *a_se, const double *b, const double *b_se, const int64_t *weights, int n)
{
    Sums s = { 0 };
    for (int i = 0; i < n; i++)
        if (a[i] > 0 && b[i] > 0) add_layer(&s, a[i], a_se[i], b[i], b_se[i], (double)weights[i]);
    if (s.n < 2) return (Agreement){ s.n, NAN, NAN, NAN, NAN, NAN, NAN };
    const double m = s.n, mean = (s.x - s.y) / m, cov = s.xy - s.x * s.y / m;
    Agreement out = { .n = s.n, .scale = s.a / s.b };
    out.correlation = cov / sqrt((s.xx - s.x * s.x / m) * (s.yy - s.y * s.y / m));
    out.spread = sqrt(fmax(s.eta2 - m * mean * mean, 0) / (m - 1));
    const double rest = out.spread * out.spread - s.error / m;
    out.beyond = isnan(rest) ? NAN : sqrt(fmax(rest, 0));
    out.regret = s.inverse / s.weight * exp(s.eta / s.weight) - 1;
    out.noise = s.weighted_error / s.weight / 2;
    return out;
}
