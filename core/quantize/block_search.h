/*
 * block_search.h - the scale (and minimum) of each group of a block of 256 weights, by the searches of ggml's K formats
 *
 *     least squares:   sum_i weight_i (scale code_i - minimum - x_i)^2
 *
 * Candidate codes come from a ladder of trial scales; the best scale (and minimum >= 0) for each follow in closed form, and the first
 * candidate that none later beats is kept.  Eight groups are worked on side by side, one in each lane, so that every
 * sum keeps ggml's order (float32, i ascending) at the speed of vector units.
 */
#ifndef CORE_QUANTIZE_BLOCK_SEARCH_H
#define CORE_QUANTIZE_BLOCK_SEARCH_H

#include <stdint.h>

#include "core/model/dequantize.h"

/* Groups (of Q6_K, Q3_K, IQ4_NL) without a larger weight are 0. */
#define NEGLIGIBLE 1e-15f

/* round(x), half to even, for |x| < 2^22; for all other x what the same steps on the bits leave, as in ggml. */
static inline int nearest_int(float x)
{
    float shifted = x + 0x1.8p23f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

/* scale, minimum: one for each group, 8 or 16.  code: in the order of x, counted from 0; a group keeps them if its scale is stored as
 * 0, and is requantized otherwise. */
typedef struct {
    float scale[16], minimum[16];
    uint8_t code[BLOCK_LARGE];
} BlockSearch;

/* Q2_K: 16 groups, codes 0..3, weight |x|, absolute instead of squared error. */
void search_q2_k(BlockSearch *out, const float x[BLOCK_LARGE]);

/* Q4_K and Q5_K: 8 groups, codes 0..15 and 0..31, weight rms(x) + |x|. */
void search_q4_k(BlockSearch *out, const float x[BLOCK_LARGE]);
void search_q5_k(BlockSearch *out, const float x[BLOCK_LARGE]);

/* Q6_K: 16 groups, codes -32..31 (stored + 32), weight x^2, no minimum. */
void search_q6_k(BlockSearch *out, const float x[BLOCK_LARGE]);

/* Q3_K: 16 groups, codes -4..3 (stored + 4), weight x^2, no minimum: coordinate descent instead of a ladder. */
void search_q3_k(BlockSearch *out, const float x[BLOCK_LARGE]);

/* code = clamp(round((x + minimum) / scale), low, high) - low, with the scales as they were stored. */
void requantize_group(uint8_t *code, const float *x, int n, float scale, float minimum, int low, int high);

#endif
