/*
 * ggml_blocks.h - float32 weights into ggml's block formats, as `llama-quantize` without an importance matrix stores them
 *
 *     q8_0, q4_0, q5_0:   w^ = d (q - middle)         d = largest |w| / 127, or the weight of largest magnitude / -8 or / -16
 *     q4_1, q5_1:         w^ = d q + m                m = min w, d = (max w - m) / 15 or / 31
 *     iq4_nl:             w^ = d level[q]             16 unequal levels; of 16 trial scales that with the least sum w^2 (w^ - w)^2
 *     q3_k, q6_k:         w^ = d s_g (q - middle)     s_g: integer scale of a group of 16 weights, found by the same criterion
 *     q2_k, q4_k, q5_k:   w^ = d s_g q - dmin m_g     groups of 16 (q2_k) or 32 weights; the searches: block_search.h
 *
 * d, dmin and m are halves.  The definition is ggml's quantize_row_*_ref, and for iq4_nl its quantize_iq4_nl (the _ref of that name
 * searches less).  Every rounding and the order of every sum are theirs, and so are the bytes, as long as ggml's compiler did
 * not fuse multiplications and additions: its library ggml-base is built for plain x86-64, which cannot.  Where it can (arm64;
 * older x86-64 builds for one machine), near-ties between candidates fall otherwise.  With -mfma that was so for this share of
 * the blocks of Gaussian weights, and changed the sum of all squared errors by so much:
 *
 *     q8_0, q4_1, q5_1, q3_k  0          q4_0, q5_0  < 1e-5       iq4_nl  0.2 %, < 1e-7       q2_k  23 %, -8e-3
 *     q4_k  6 %, -3e-4                   q5_k  29 %, +1e-3        q6_k  0.4 %, +8e-6
 *
 * x[n_blocks * weights per block] holds finite numbers.  A scale too large for a half is stored as infinite, as in ggml.  The
 * blocks need no alignment.  Single-threaded; a block depends on its own weights alone.
 */
#ifndef CORE_QUANTIZE_GGML_BLOCKS_H
#define CORE_QUANTIZE_GGML_BLOCKS_H

#include <stdint.h>

void quantize_q8_0(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q4_0(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q4_1(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q5_0(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q5_1(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_iq4_nl(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q2_k(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q3_k(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q4_k(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q5_k(unsigned char *blocks, const float *x, int64_t n_blocks);
void quantize_q6_k(unsigned char *blocks, const float *x, int64_t n_blocks);

#endif
