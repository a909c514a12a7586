/*
 * rng.c - Philox and Box-Muller (kernels/normal.h) over blocks, so that the compiler's vectors do the work
 */
#include "core/base/rng.h"

#include <assert.h>
#include <string.h>

#include <Random123/philox.h>

#include "kernels/normal.h"

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

/* The normals of BLOCK counters: of the integers a, b, c, d of a counter, (a, b) and (c, d) are pairs. */
VECTORIZED static void normals_block(float *restrict out, uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t x[LANES][BLOCK];
    float z[LANES][BLOCK];
    philox_block(x, seed, stream, block);
    for (int lane = 0; lane < LANES; lane += 2)
        for (int i = 0; i < BLOCK; i++) {
            float c, s, r = normal_radius(x[lane][i]);
            normal_direction(&c, &s, x[lane + 1][i]);
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
