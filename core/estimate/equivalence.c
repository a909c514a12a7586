#include "core/estimate/equivalence.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/estimate/between.h"
#include "core/estimate/distribution.h"

static const double ROUNDING = 1e-24;           /* relative variance that equal predictions can have by rounding */

typedef struct {
    const double *y, *x, *s;        /* x: NULL for a mean alone */
    int n;
} Pairs;

typedef struct { double total, x, y, slope, sxx; } Line;        /* sum of weights, weighted means, sum of weights (x - mean)^2 */

static bool usable(const Pairs *p)
{
    for (int i = 0; i < p->n; i++)
        if (!(isfinite(p->y[i]) && p->s[i] >= 0 && isfinite(p->s[i]) && (!p->x || isfinite(p->x[i])))) return false;
    return true;
}

static Line fit_line(const Pairs *p, double variance)
{
    Line out = { 0 };
    double sxy = 0;
    for (int i = 0; i < p->n; i++) {
        const double weight = between_weight(p->s[i], variance);
        out.total += weight;
        out.y += weight * p->y[i];
        out.x += p->x ? weight * p->x[i] : 0;
    }
    out.x /= out.total;
    out.y /= out.total;
    for (int i = 0; i < p->n && p->x; i++) {
        const double weighted = between_weight(p->s[i], variance) * (p->x[i] - out.x);
        out.sxx += weighted * (p->x[i] - out.x);
        sxy += weighted * (p->y[i] - out.y);
    }
    out.slope = p->x ? sxy / out.sxx : 0;
    return out;
}

static double squares(double variance, const void *pairs)
{
    const Pairs *p = pairs;
    const Line line = fit_line(p, variance);
    double sum = 0;
    for (int i = 0; i < p->n; i++) {
        const double residual = p->y[i] - line.y - (p->x ? line.slope * (p->x[i] - line.x) : 0);
        sum += between_weight(p->s[i], variance) * residual * residual;
    }
    return sum;
}

/* P(T > t), by bisection in the level of which t is the quantile. */
static double student_above(double t, int freedom)
{
    double low = 0, high = 1;
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        if (student_quantile(middle, freedom) < fabs(t)) low = middle; else high = middle;
    }
    return t > 0 ? (1 - low) / 2 : (1 + low) / 2;
}

Equivalence equivalence_test(const double *log_ratio, const double *s, int n, double margin)
{
    assert(margin > 1);
    const Pairs pairs = { log_ratio, NULL, s, n };
    Equivalence out = { NAN, NAN, NAN, NAN };
    if (n < 1 || !usable(&pairs)) return out;
    const double variance = between_variance(squares, &pairs, n - 1);
    const Line line = fit_line(&pairs, n > 1 ? variance : 0);
    out.mean = line.y;
    if (n < 2) return out;
    out.se = 1 / sqrt(line.total);
    out.between = sqrt(variance);
    out.p = student_above((log(margin) - fabs(out.mean)) / out.se, n - 1);     /* the nearer end: the larger level */
    return out;
}

LogRegression equivalence_regression(const double *log_measured, const double *log_predicted, const double *s, int n)
{
    const Pairs pairs = { log_measured, log_predicted, s, n };
    LogRegression out = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
    if (n < 3 || !usable(&pairs)) return out;
    const double variance = between_variance(squares, &pairs, n - 2);
    const Line line = fit_line(&pairs, variance);
    if (!(line.sxx > ROUNDING * line.total * line.x * line.x)) return out;
    out.slope = line.slope;
    out.slope_se = 1 / sqrt(line.sxx);
    out.intercept = line.y - line.slope * line.x;
    out.intercept_se = sqrt(1 / line.total + line.x * line.x / line.sxx);
    out.centre = line.x;
    out.offset = line.y - line.x;
    out.offset_se = 1 / sqrt(line.total);
    out.sd = sqrt(squares(variance, &pairs) * n / line.total / (n - 2));
    out.sd_se = out.sd / sqrt(2.0 * (n - 2));
    out.between = sqrt(variance);
    return out;
}

double equivalence_share(const double *log_ratio, const double *s, int n, int n_windows)
{
    const double z = student_quantile(0.95, n_windows - 1);
    int agree = 0;
    for (int i = 0; i < n; i++) agree += fabs(log_ratio[i]) <= z * s[i] && isfinite(s[i]);
    return n > 0 ? (double)agree / n : NAN;
}
