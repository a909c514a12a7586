/*
 * dequantize.h - ggml's block formats: their layout and their exact conversion to float32
 *
 * The layouts and the order of the floating-point operations are those of ggml's block_* structs and
 * dequantize_row_* functions, so results are equal bit for bit.  Bit rates follow from sizeof.
 */
#ifndef CORE_MODEL_DEQUANTIZE_H
#define CORE_MODEL_DEQUANTIZE_H

#include <stdint.h>
#include <string.h>

enum { BLOCK_SMALL = 32, BLOCK_LARGE = 256 };

/* 32 weights: half scale d, half minimum m, low bits qs, fifth bits qh. */
typedef struct { uint16_t d; uint8_t qs[16]; } BlockQ4_0;
typedef struct { uint16_t d, m; uint8_t qs[16]; } BlockQ4_1;
typedef struct { uint16_t d; uint8_t qh[4], qs[16]; } BlockQ5_0;
typedef struct { uint16_t d, m; uint8_t qh[4], qs[16]; } BlockQ5_1;
typedef struct { uint16_t d; int8_t qs[32]; } BlockQ8_0;
typedef struct { uint16_t d; uint8_t qs[16]; } BlockIQ4_NL;

/* 256 weights in groups of 16 or 32 whose integer scales (and minima) are packed in `scales`. */
typedef struct { uint8_t scales[16], qs[64]; uint16_t d, dmin; } BlockQ2_K;
typedef struct { uint8_t hmask[32], qs[64], scales[12]; uint16_t d; } BlockQ3_K;
typedef struct { uint16_t d, dmin; uint8_t scales[12], qs[128]; } BlockQ4_K;
typedef struct { uint16_t d, dmin; uint8_t scales[12], qh[32], qs[128]; } BlockQ5_K;
typedef struct { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; } BlockQ6_K;

_Static_assert(sizeof(BlockQ4_0) == 18, "Q4_0");
_Static_assert(sizeof(BlockQ4_1) == 20, "Q4_1");
_Static_assert(sizeof(BlockQ5_0) == 22, "Q5_0");
_Static_assert(sizeof(BlockQ5_1) == 24, "Q5_1");
_Static_assert(sizeof(BlockQ8_0) == 34, "Q8_0");
_Static_assert(sizeof(BlockIQ4_NL) == 18, "IQ4_NL");
_Static_assert(sizeof(BlockQ2_K) == 84, "Q2_K");
_Static_assert(sizeof(BlockQ3_K) == 110, "Q3_K");
_Static_assert(sizeof(BlockQ4_K) == 144, "Q4_K");
_Static_assert(sizeof(BlockQ5_K) == 176, "Q5_K");
_Static_assert(sizeof(BlockQ6_K) == 210, "Q6_K");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little-endian and are read in place");

/* IEEE half to single.  The multiplication re-biases the exponent and normalizes subnormals, exactly. */
static inline float half_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude *= 0x1p112f;
    memcpy(&bits, &magnitude, sizeof bits);
    if ((half & 0x7c00) == 0x7c00) bits |= 0x7f800000;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&magnitude, &bits, sizeof magnitude);
    return magnitude;
}

/* IEEE single to half, half to even; infinite from 65520 on.  Below the least normal half the sum with 1/2, whose unit is that of
 * subnormal halves, does the rounding. */
static inline uint16_t float_to_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (magnitude >= 0x38800000) return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
    memcpy(&x, &magnitude, sizeof x);
    x += 0.5f;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(sign | (bits - 0x3f000000));
}

/* out[n_blocks * weights per block]; the blocks need no alignment. */
void dequantize_q4_0(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q4_1(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q5_0(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q5_1(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q8_0(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_iq4_nl(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q2_k(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q3_k(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q4_k(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q5_k(float *out, const unsigned char *blocks, int64_t n_blocks);
void dequantize_q6_k(float *out, const unsigned char *blocks, int64_t n_blocks);

#endif
