#include "core/perturb/scale.h"

#include <assert.h>
#include <math.h>

static double round_to_half(double x)
{
    enum { MANTISSA = 11, LEAST_EXPONENT = -13 };       /* 0x1p-14, as frexp counts, is the least normal number */
    int exponent;
    frexp(x, &exponent);
    double unit = ldexp(1, (exponent > LEAST_EXPONENT ? exponent : LEAST_EXPONENT) - MANTISSA);
    double rounded = nearbyint(x / unit) * unit;
    return fabs(rounded) <= 65504 ? rounded : copysign(INFINITY, x);
}

double scale_stored(double scale, int bits)
{
    assert(bits == 16 || bits == 32 || bits == 64);
    if (!isfinite(scale) || bits == 64) return scale;
    return bits == 16 ? round_to_half(scale) : (double)(float)scale;
}
