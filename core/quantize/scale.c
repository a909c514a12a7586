#include "core/quantize/scale.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/model/dequantize.h"

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

static uint64_t half_image(double x)
{
    const uint64_t sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x)) return 0x7e00;
    if (isinf(x)) return sign | 0x7c00;
    int exponent;
    frexp(x, &exponent);
    if (x == 0 || exponent < -13) return sign | (uint64_t)(fabs(x) * 0x1p24);           /* zero and subnormal: a count of 2^-24 */
    const uint64_t mantissa = (uint64_t)ldexp(fabs(x), 11 - exponent);                  /* 1024 .. 2047 */
    return sign | ((uint64_t)(exponent + 14) << 10 | (mantissa & 1023));
}

uint64_t real_image(double stored, int bits)
{
    const float single = (float)stored;
    uint32_t image;
    uint64_t wide;
    memcpy(&image, &single, sizeof image);
    memcpy(&wide, &stored, sizeof wide);
    return bits == 16 ? half_image(stored) : bits == 32 ? image : wide;
}

double real_of_image(uint64_t image, int bits)
{
    const uint32_t low = (uint32_t)image;
    float single;
    double wide;
    memcpy(&single, &low, sizeof single);
    memcpy(&wide, &image, sizeof wide);
    return bits == 16 ? half_to_float((uint16_t)image) : bits == 32 ? single : wide;
}
