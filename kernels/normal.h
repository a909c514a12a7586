/*
 * normal.h - the float32 steps from two 32-bit integers to two normal numbers, the same bits wherever they are taken (Box and Muller, 1958)
 *
 *     z_0 = r cos a,  z_1 = r sin a,   r = sqrt(-2 log u),  u = (x_0 + 1/2) 2^-32,   a = 2 pi (x_1 + 1/2) 2^-32
 *
 * Only +, -, *, / and sqrt on float and integers, in this order: every vector width, and every back end that rounds them correctly and
 * contracts nothing (-ffp-contract=off; nvcc -fmad=false, and never fast mathematics), gives the same bits.  For C, and for kernels.
 */
#ifndef KERNELS_NORMAL_H
#define KERNELS_NORMAL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define NORMAL_STEP static __device__ __forceinline__
NORMAL_STEP float float_of_bits(int32_t bits) { return __int_as_float(bits); }
NORMAL_STEP int32_t bits_of_float(float f) { return __float_as_int(f); }
#else
#define NORMAL_STEP static inline __attribute__((always_inline))
NORMAL_STEP float float_of_bits(int32_t bits) { float f; memcpy(&f, &bits, sizeof f); return f; }
NORMAL_STEP int32_t bits_of_float(float f) { int32_t bits; memcpy(&bits, &f, sizeof bits); return bits; }
#endif

/* log(1 + f) = f - f^2/2 + f^3 p(f) for |f| <= 1/3; p is minimax, its relative error 4e-8. */
NORMAL_STEP float log1p_minimax(float f)
{
    float p = 0x1.1b09cep-3f;
    p = p * f - 0x1.35b3c6p-3f;
    p = p * f + 0x1.1f9626p-3f;
    p = p * f - 0x1.515a6ep-3f;
    p = p * f + 0x1.99c31ep-3f;
    p = p * f - 0x1.000b1cp-2f;
    p = p * f + 0x1.555528p-2f;
    return f - f * f * (0.5f - f * p);
}

/*
 * sqrt(-2 log u) for u = (x + 1/2) 2^-32.  w = min(u, 1 - u) keeps its relative accuracy in float
 * where u itself near 1 would not: log u = e log 2 + log(1 + f) with 1 + f in [2/3, 4/3), where f is
 * exact given w on both sides of 1/2.
 */
NORMAL_STEP float normal_radius(uint32_t x)
{
    const float LOG_2 = 0x1.62e43p-1f, third = 0x1.555556p-2f;
    const int32_t two_thirds = 0x3f2aaaab;                          /* as the bits of a float */
    int32_t above = (int32_t)x >> 31;                               /* all ones where u > 1/2 */
    float w = ((float)((int32_t)x ^ above) + 0.5f) * 0x1p-32f;

    int32_t offset = bits_of_float(w) - two_thirds;
    int32_t e_below = offset >> 23;
    float f_below = float_of_bits((offset & 0x7fffff) + two_thirds) - 1.0f;
    int32_t e_above = w < third ? 0 : -1;
    float f_above = w < third ? -w : 1.0f - 2.0f * w;

    float e = (float)(above ? e_above : e_below);
    float f = above ? f_above : f_below;
    return sqrtf(-2.0f * (e * LOG_2 + log1p_minimax(f)));
}

/* cos and sin of 2 pi (x + 1/2) 2^-32.  The nearest quarter turn is taken off in integers, so both
 * keep their relative accuracy near their zeros. */
NORMAL_STEP void normal_direction(float *c, float *s, uint32_t x)
{
    uint32_t quarter = (x + (1u << 29)) >> 30;
    int32_t rest = (int32_t)(x - (quarter << 30));                  /* in [-2^29, 2^29) */
    float a = ((float)rest + 0.5f) * 0x1.921fb6p-30f;               /* |a| <= pi/4 */
    float a2 = a * a;
    float sine = a + a * a2 * ((-0x1.9943e0p-13f * a2 + 0x1.11073ap-7f) * a2 - 0x1.555546p-3f);
    float cosine = 1.0f - a2 * (0.5f - a2 * ((0x1.99eb9cp-16f * a2 - 0x1.6c0c34p-10f) * a2 + 0x1.55554ap-5f));
    bool swap = quarter & 1;
    int32_t sign_c = (int32_t)((quarter + 1) << 30) & INT32_MIN;
    int32_t sign_s = (int32_t)(quarter << 30) & INT32_MIN;
    *c = float_of_bits(bits_of_float(swap ? sine : cosine) ^ sign_c);
    *s = float_of_bits(bits_of_float(swap ? cosine : sine) ^ sign_s);
}

#endif
