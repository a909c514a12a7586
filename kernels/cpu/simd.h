/*
 * simd.h - one source, several instruction sets: the loader picks the best copy at run time
 *
 * A function marked SIMD is compiled for the plain x86-64, AVX2 and AVX-512 and dispatched by the
 * processor's features.  -ffp-contract=off keeps the copies to the same operations in the same order,
 * and reductions go through a fixed number of lanes, so all of them return the same bits.
 */
#ifndef KERNELS_CPU_SIMD_H
#define KERNELS_CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)       /* the sanitizers cannot instrument the dispatcher */
#define SIMD __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SIMD
#endif

enum { LANES = 16 };                /* partial sums of every reduction */

/* 8 floats, of any alignment.  To functions by address: vectors of this width as arguments would tie the ABI to the
 * instruction set. */
typedef float Vector __attribute__((vector_size(32), aligned(4), may_alias));

/* Passes over NaN, which the sum that follows shows; -INFINITY where there is nothing else. */
static inline float largest_of(const float *x, int n)
{
    float lane[LANES], largest = -INFINITY;
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    int whole = n - n % LANES;
    for (int i = 0; i < whole; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (int l = 0; l < LANES; l++) largest = lane[l] > largest ? lane[l] : largest;
    for (int i = whole; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* 2^n for the integer that the rounding trick below left in the low bits of t. */
static inline double power_of_two(double t)
{
    uint64_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* r^2/2! + r^3/3! + ... + r^12/12! for |r| <= ln(2)/2: exp(r) - 1 - r with relative error below 1e-14.
 * Estrin's order: Horner's would wait for itself eleven times. */
static inline double exp_tail(double r)
{
    double r2 = r * r, r4 = r2 * r2;
    double low = (1.0 / 2 + 1.0 / 6 * r) + (1.0 / 24 + 1.0 / 120 * r) * r2;
    double middle = (1.0 / 720 + 1.0 / 5040 * r) + (1.0 / 40320 + 1.0 / 362880 * r) * r2;
    double high = (1.0 / 3628800 + 1.0 / 39916800 * r) + 1.0 / 479001600 * r2;
    return (low + (middle + high * r4) * r4) * r2;
}

#define ROUND_TO_INTEGER 6755399441055744.0         /* 1.5 * 2^52: adding it leaves round(x) in the low bits */
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW  1.90821492927058770002e-10

#define LARGEST_EXPONENT 700.0                      /* so that 2^n stays normal */

/* NaN passes through. */
static inline double clamp_exponent(double x)
{
    x = x < -LARGEST_EXPONENT ? -LARGEST_EXPONENT : x;
    return x > LARGEST_EXPONENT ? LARGEST_EXPONENT : x;
}

static inline double simd_exp(double x)
{
    x = clamp_exponent(x);
    double t = x * 1.44269504088896338700 + ROUND_TO_INTEGER, n = t - ROUND_TO_INTEGER;
    double r = (x - n * LN2_HIGH) - n * LN2_LOW;
    return power_of_two(t) * (1 + (r + exp_tail(r)));
}

/* expm1(x) - x, >= 0, with full relative accuracy near 0 and exactly 0 at 0. */
static inline double simd_expm1_minus(double x)
{
    double y = clamp_exponent(x);
    double t = y * 1.44269504088896338700 + ROUND_TO_INTEGER, n = t - ROUND_TO_INTEGER;
    double r = (y - n * LN2_HIGH) - n * LN2_LOW;
    double scale = power_of_two(t);
    return scale * exp_tail(r) + ((scale * r + (scale - 1)) - x);
}

/* The two sides of float32 exponentials: exp(x) = 2^n (1 + small), |x| <= 88. */
typedef struct { float scale, small; } SplitExp;

static inline SplitExp split_expf(float x)
{
    float t = x * 1.44269504f + 12582912.0f, n = t - 12582912.0f;       /* 1.5 * 2^23 */
    float r = (x - n * 0.693145751953125f) - n * 1.428606765330187e-06f;
    float r2 = r * r;
    float tail = (1.0f / 2 + 1.0f / 6 * r) + ((1.0f / 24 + 1.0f / 120 * r) + (1.0f / 720 + 1.0f / 5040 * r) * r2) * r2;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return (SplitExp){ scale, r + tail * r2 };
}

/* float32: relative error below 2e-7 for x in [-87, 0] and beyond; the softmax and SiLU range. */
static inline float simd_expf(float x)
{
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    SplitExp e = split_expf(x);
    return e.scale * (1.0f + e.small);
}

/* 1 - exp(x) for x <= 0: relative error below 4e-7 near 0 too, and exactly 0 at 0. */
static inline float simd_one_minus_expf(float x)
{
    x = x < -87.0f ? -87.0f : x;
    SplitExp e = split_expf(x);
    return (1.0f - e.scale) - e.scale * e.small;
}

#endif
