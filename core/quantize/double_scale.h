/*
 * double_scale.h - scales that are quantized themselves: double quantization (QLoRA, arXiv 2305.14314) as bitsandbytes does it
 *
 *     m = mean of all scales,  A_k = max |s_i - m| over the k-th 256 of them,  s^_i = max(m + A_k v[c_i], 0)
 *
 * c_i is the nearest of 256 values v, the signed dynamic map: 0, 1, and +-10^(i-6) times the middles of 2^i equal parts of
 * [0.1, 1], for i = 0 .. 6.  m and the A_k are single precision.  (bitsandbytes lets s^ fall below 0; no scale is.)
 *
 *     bits = 8 n + 32 ceil(n / 256) + 32
 */
#ifndef CORE_QUANTIZE_DOUBLE_SCALE_H
#define CORE_QUANTIZE_DOUBLE_SCALE_H

#include "core/quantize/packed.h"

enum { DOUBLE_SCALE_PLANES = 3 };

/* Adds the planes of n finite scales >= 0 and replaces each by what double_scale_read will give. */
void double_scale_add(Packed *out, double *scale, int64_t n);

/* scale[n] from the planes that begin at `plane`. */
void double_scale_read(double *scale, const Packed *packed, int plane);

#endif
