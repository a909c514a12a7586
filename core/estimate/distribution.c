#include "core/estimate/distribution.h"

#include <math.h>
#include <stdbool.h>

enum { AS_NORMAL = 1000 };          /* degrees of freedom from which on t is z to 1 in 1000 */

double normal_below(double z) { return 0.5 * erfc(-z * M_SQRT1_2); }

/* P(|T| < t) for whole degrees of freedom: the finite sums of Abramowitz and Stegun 26.7.3-4. */
static double student_within(double t, int freedom)
{
    const bool odd = freedom % 2;
    const double cos2 = freedom / (freedom + t * t), sine = t / sqrt(freedom + t * t);
    double term = odd ? sqrt(cos2) : 1, sum = 0;
    for (int j = odd ? 3 : 2; j <= freedom; j += 2) {
        sum += term;
        term *= cos2 * (j - 1) / j;
    }
    return odd ? M_2_PI * (asin(sine) + sine * sum) : sine * sum;
}

static double below(double z, int unused) { (void)unused; return normal_below(z); }

/* By bisection: a few calls per interval, and nothing to get wrong. */
static double solve(double (*increasing)(double, int), int parameter, double value, double low, double high)
{
    for (int i = 0; i < 64; i++) {
        double middle = (low + high) / 2;
        if (increasing(middle, parameter) < value) low = middle; else high = middle;
    }
    return (low + high) / 2;
}

double normal_quantile(double p) { return solve(below, 0, p, -40, 40); }

double student_quantile(double level, int freedom)
{
    if (freedom < 1) return NAN;
    return freedom > AS_NORMAL ? normal_quantile((1 + level) / 2) : solve(student_within, freedom, level, 0, 1e4);
}

double student_half_width(double level, double variance, double squares)
{
    if (!(variance >= 0 && squares >= 0)) return NAN;
    if (variance == 0) return 0;
    double freedom = fmin(fmax(variance * variance / squares * (1 + 1e-9), 1), AS_NORMAL + 1);
    return student_quantile(level, (int)freedom) * sqrt(variance);
}
