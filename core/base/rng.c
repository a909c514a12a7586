/*
 * rng.c - Philox and Box-Muller over blocks, so that the compiler's vectors do the work
 *
 * The kernels below use +, -, *, / and sqrt on float and integers only, in a fixed order, and the
 * build forbids contraction: every vector width, and any back end that repeats these steps with
 * correctly rounded operations, gives the same bits.
 */
#include "core/base/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include <Random123/philox.h>

/* One body, compiled per instruction set and chosen at run time. */
#if defined(__x86_64__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define VECTORIZED __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef VECTORIZED
#define VECTORIZED
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 4 };                             /* integers of one counter */
enum { BLOCK = 16, BLOCK_INTEGERS = LANES * BLOCK, BLOCK_SIGNS = 32 * BLOCK_INTEGERS };

uint64_t rng_stream(RngPurpose purpose, int layer, int draw, int sequence)
{
    assert((unsigned)purpose < 1u << 8 && (unsigned)layer < 1u << 16);
    assert((unsigned)draw < 1u << 16 && (unsigned)sequence < 1u << 24);
    return (uint64_t)purpose << 56 | (uint64_t)layer << 40 | (uint64_t)draw << 24 | (uint64_t)sequence;
}

INLINE philox4x32_ctr_t philox(uint64_t seed, uint64_t stream, uint64_t block)
{
    philox4x32_ctr_t counter = {{ (uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream, (uint32_t)(stream >> 32) }};
    philox4x32_key_t key = {{ (uint32_t)seed, (uint32_t)(seed >> 32) }};
    return philox4x32(counter, key);
}

uint32_t rng_integer(uint64_t seed, uint64_t stream, uint64_t index)
{
    return philox(seed, stream, index / LANES).v[index % LANES];
}

double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    philox4x32_ctr_t x = philox(seed, stream, index / 2);
    unsigned lane = index % 2 ? 2 : 0;
    uint64_t bits = (uint64_t)x.v[lane] << 32 | x.v[lane + 1];
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;      /* odd multiples of 2^-53: exact, never 0 or 1 */
}

void rng_integers(uint32_t *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first)
{
    for (int64_t i = 0; i < n;) {
        philox4x32_ctr_t x = philox(seed, stream, (first + (uint64_t)i) / LANES);
        for (uint64_t lane = (first + (uint64_t)i) % LANES; lane < LANES && i < n; lane++) out[i++] = x.v[lane];
    }
}

/* Integers of BLOCK counters from `block` on, by lane so that what follows is free of shuffles. */
INLINE void philox_block(uint32_t x[LANES][BLOCK], uint64_t seed, uint64_t stream, uint64_t block)
{
    for (int i = 0; i < BLOCK; i++) {
        philox4x32_ctr_t r = philox(seed, stream, block + (uint64_t)i);
        for (int lane = 0; lane < LANES; lane++) x[lane][i] = r.v[lane];
    }
}

INLINE float float_of_bits(int32_t bits) { float f; memcpy(&f, &bits, sizeof f); return f; }
INLINE int32_t bits_of_float(float f) { int32_t bits; memcpy(&bits, &f, sizeof bits); return bits; }

/* log(1 + f) = f - f^2/2 + f^3 p(f) for |f| <= 1/3; p is minimax, its relative error 4e-8. */
INLINE float log1p_kernel(float f)
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
INLINE float radius(uint32_t x)
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
    return sqrtf(-2.0f * (e * LOG_2 + log1p_kernel(f)));
}

/* cos and sin of 2 pi (x + 1/2) 2^-32.  The nearest quarter turn is taken off in integers, so both
 * keep their relative accuracy near their zeros. */
INLINE void cos_sin(float *c, float *s, uint32_t x)
{
    uint32_t quarter = (x + (1u << 29)) >> 30;
    int32_t rest = (int32_t)(x - (quarter << 30));                  /* in [-2^29, 2^29) */
    float a = ((float)rest + 0.5f) * 0x1.921fb6p-30f;               /* |a| <= pi/4 */
    float a2 = a * a;
    float sine = a + a * a2 * ((-0x1.9943e0p-13f * a2 + 0x1.11073ap-7f) * a2 - 0x1.555546p-3f);
    float cosine = 1.0f - a2 * (0.5f - a2 * ((0x1.99eb9cp-16f * a2 - 0x1.6c0c34p-10f) * a2 + 0x1.55554ap-5f));
    int swap = quarter & 1;
    int32_t sign_c = (int32_t)((quarter + 1) << 30) & INT32_MIN;
    int32_t sign_s = (int32_t)(quarter << 30) & INT32_MIN;
    *c = float_of_bits(bits_of_float(swap ? sine : cosine) ^ sign_c);
    *s = float_of_bits(bits_of_float(swap ? cosine : sine) ^ sign_s);
}

/* The normals of BLOCK counters: of the integers a, b, c, d of a counter, (a, b) and (c, d) are pairs. */
VECTORIZED static void normals_block(float *restrict out, uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t x[LANES][BLOCK];
    float z[LANES][BLOCK];
    philox_block(x, seed, stream, block);
    for (int lane = 0; lane < LANES; lane += 2)
        for (int i = 0; i < BLOCK; i++) {
            float c, s, r = radius(x[lane][i]);
            cos_sin(&c, &s, x[lane + 1][i]);
            z[lane][i] = r * c;
            z[lane + 1][i] = r * s;
        }
    for (int i = 0; i < BLOCK; i++)
        for (int lane = 0; lane < LANES; lane++) out[LANES * i + lane] = z[lane][i];
}

VECTORIZED static void signs_block(float *restrict out, uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t x[LANES][BLOCK];
    philox_block(x, seed, stream, block);
    for (int i = 0; i < BLOCK_INTEGERS; i++)
        for (unsigned bit = 0; bit < 32; bit++) {
            uint32_t one = x[i % LANES][i / LANES] >> bit & 1;
            out[32 * i + (int)bit] = float_of_bits((int32_t)(0x3f800000u | (one ^ 1) << 31));
        }
}

typedef void (*FillBlock)(float *out, uint64_t seed, uint64_t stream, uint64_t block);

/* Blocks start at multiples of their own length wherever the range starts, whole ones go straight to
 * out: what a number is never depends on the split. */
static void fill(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first, FillBlock fill_block, int length)
{
    float part[BLOCK_SIGNS];
    uint64_t per_block = (uint64_t)length;
    for (int64_t done = 0; done < n;) {
        uint64_t index = first + (uint64_t)done, skip = index % per_block;
        int64_t take = length - (int64_t)skip < n - done ? length - (int64_t)skip : n - done;
        uint64_t counter = index / per_block * BLOCK;
        if (take == length) {
            fill_block(out + done, seed, stream, counter);
        } else {
            fill_block(part, seed, stream, counter);
            memcpy(out + done, part + skip, (size_t)take * sizeof *out);
        }
        done += take;
    }
}

void rng_normals(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first)
{
    fill(out, n, seed, stream, first, normals_block, BLOCK_INTEGERS);
}

void rng_signs(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first)
{
    fill(out, n, seed, stream, first, signs_block, BLOCK_SIGNS);
}
