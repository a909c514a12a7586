/*
 * rng.h - counter-based random numbers (Philox4x32-10, Random123)
 *
 * A number is a pure function of (seed, stream, index): the same on every back end, in any order,
 * for any split of a range over threads or ranks, and nothing is stored.  A stream is made from what
 * the number is for: purpose, layer, draw, sequence.
 *
 *   counter = { index/4 low, index/4 high, stream low, stream high },  key = { seed low, seed high }
 *   uniform = (integer + 0.5) 2^-32 in (0, 1);  normal = Box-Muller of two of them, in float32
 */
#ifndef CORE_BASE_RNG_H
#define CORE_BASE_RNG_H

#include <stdint.h>

typedef enum { RNG_NOISE = 1, RNG_SIGN, RNG_SAMPLE, RNG_BOOTSTRAP, RNG_TEXT, RNG_PROBE, RNG_TEST, RNG_HALVES, RNG_ROTATION, RNG_ORDER, RNG_MASK,
               RNG_CENTROIDS, RNG_GRID = 64 } RngPurpose;

/* 8 bits purpose, 16 bits layer, 16 bits draw, 24 bits sequence: distinct arguments, distinct streams. */
uint64_t rng_stream(RngPurpose purpose, int layer, int draw, int sequence);

uint32_t rng_integer(uint64_t seed, uint64_t stream, uint64_t index);
void     rng_integers(uint32_t *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first);     /* those at first .. first + n */
double   rng_uniform(uint64_t seed, uint64_t stream, uint64_t index);               /* (0, 1), 53 bits from integers 2 index, 2 index + 1 */

/* out[i] = the number at index first + i, for 0 <= i < n.  Bit-equal for any split of the range. */
void rng_normals(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first);
void rng_signs(float *out, int64_t n, uint64_t seed, uint64_t stream, uint64_t first);      /* +1 or -1: bit index%32 of integer index/32 */

#endif
