#include "core/estimate/predict.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

/* Cornish-Fisher expansion around the normal quantile (Abramowitz and Stegun 26.7.5); exact for 1 and 2. */
double student_975(int n)
{
    if (n < 1) return NAN;
    if (n == 1) return 12.7062047362;
    if (n == 2) return 4.3026527297;
    const double z = 1.95996398454005, z2 = z * z;
    double g1 = z * (z2 + 1) / 4, g2 = z * ((5 * z2 + 16) * z2 + 3) / 96;
    double g3 = z * (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384, g4 = z * ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92160;
    double m = n;
    return z + g1 / m + g2 / (m * m) + g3 / (m * m * m) + g4 / (m * m * m * m);
}

static double mean_of(const WindowCoefficients *c, int layer)
{
    double mean, se;
    weighted_mean(&mean, &se, c->a + (int64_t)layer * c->n_windows, c->tokens, c->n_windows);
    return mean;
}

/* factor[w] = sum_l a_lw / sum_l a_l: what window w does to all layers alike. */
static void window_factors(double *factor, const WindowCoefficients *c)
{
    double total = 0;
    for (int l = 0; l < c->n_layers; l++) total += mean_of(c, l);
    for (int w = 0; w < c->n_windows; w++) {
        double sum = 0;
        for (int l = 0; l < c->n_layers; l++) sum += c->a[(int64_t)l * c->n_windows + w];
        factor[w] = total > 0 ? sum / total : 1;
    }
}

void draw_variance(double *v, const WindowCoefficients *c)
{
    double *factor = xmalloc(sizeof *factor * (size_t)c->n_windows);
    window_factors(factor, c);
    for (int l = 0; l < c->n_layers; l++) {
        double mean = mean_of(c, l), sum = 0;
        for (int w = 0; w < c->n_windows; w++) {
            double residual = c->a[(int64_t)l * c->n_windows + w] - mean * factor[w];
            sum += residual * residual;
        }
        v[l] = c->n_windows > 1 ? sum / (c->n_windows - 1) : NAN;
    }
    free(factor);
}

Interval predict_loss(const WindowCoefficients *c, const double *t2, const double *v, const double *measured)
{
    double *predicted = xcalloc((size_t)c->n_windows, sizeof *predicted), variance = 0;
    for (int l = 0; l < c->n_layers; l++) {
        for (int w = 0; w < c->n_windows; w++) predicted[w] += c->a[(int64_t)l * c->n_windows + w] * t2[l];
        variance += t2[l] > 0 ? t2[l] * t2[l] * v[l] : 0;
    }
    double value, se, difference;
    weighted_mean(&value, &se, predicted, c->tokens, c->n_windows);
    for (int w = 0; w < c->n_windows; w++) predicted[w] = measured[w] - predicted[w];
    weighted_mean(&difference, &se, predicted, c->tokens, c->n_windows);
    free(predicted);
    double half = c->n_windows > 1 ? student_975(c->n_windows - 1) * sqrt(se * se + variance) : NAN;
    return (Interval){ value, value - half, value + half };
}
