/* The formats of 32 weights a block. */
#include <math.h>
#include <string.h>

#include "core/model/dequantize.h"
#include "core/quantize/ggml_blocks.h"

/* Byte j of qs holds weight j in its low and weight j + 16 in its high nibble. */
enum { HALF_BLOCK = BLOCK_SMALL / 2 };

#define EACH_BLOCK(Block, b)                                                                                \
    for (Block b; n_blocks-- > 0; memcpy(blocks, &b, sizeof b), blocks += sizeof b, x += BLOCK_SMALL)

/* Toward zero.  0 where 1 / d overflowed because d is subnormal: what the conversion leaves in the low byte on x86. */
static int truncate_to_int(float x) { return x > -0x1p31f && x < 0x1p31f ? (int)x : 0; }

/* Half away from zero, for |x| < 2^22: the greatest float below 1/2 lifts to the next integer what is no less than 1/2 from it. */
static int round_to_int(float x) { return truncate_to_int(x + copysignf(0x1.fffffep-2f, x)); }

static int at_most(int x, int limit) { return x < limit ? x : limit; }

static float reciprocal(float d) { return d != 0 ? 1.0f / d : 0.0f; }

/* The first weight of largest magnitude, with its sign; 0 where all are 0. */
static float extreme(const float *x)
{
    float magnitude = 0, found = 0;
    for (int i = 0; i < BLOCK_SMALL; i++)
        if (fabsf(x[i]) > magnitude) magnitude = fabsf(x[i]), found = x[i];
    return found;
}

typedef struct { float low, high; } Range;

static Range range(const float *x)
{
    Range r = { x[0], x[0] };
    for (int i = 1; i < BLOCK_SMALL; i++) {
        r.low = x[i] < r.low ? x[i] : r.low;
        r.high = x[i] > r.high ? x[i] : r.high;
    }
    return r;
}

static void pack_nibbles(uint8_t qs[16], const int code[BLOCK_SMALL])
{
    for (int j = 0; j < HALF_BLOCK; j++) qs[j] = (uint8_t)((code[j] & 15) | (code[j + HALF_BLOCK] & 15) << 4);
}

static void pack_fifth_bits(uint8_t qh[4], const int code[BLOCK_SMALL])
{
    memset(qh, 0, 4);
    for (int j = 0; j < BLOCK_SMALL; j++) qh[j / 8] |= (uint8_t)((code[j] >> 4 & 1) << j % 8);
}

void quantize_q8_0(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ8_0, b) {
        float d = fabsf(extreme(x)) / 127, inverse = reciprocal(d);
        b.d = float_to_half(d);
        for (int j = 0; j < BLOCK_SMALL; j++) b.qs[j] = (int8_t)round_to_int(x[j] * inverse);
    }
}

/* code = trunc(x / d + middle + 1/2) with d = extreme / -middle: the extreme weight gets code 0, its opposite the top. */
static float symmetric_codes(int code[BLOCK_SMALL], const float *x, int middle)
{
    float d = extreme(x) / (float)-middle, inverse = reciprocal(d);
    for (int j = 0; j < BLOCK_SMALL; j++) code[j] = at_most(truncate_to_int(x[j] * inverse + ((float)middle + 0.5f)), 2 * middle - 1);
    return d;
}

void quantize_q4_0(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_0, b) {
        int code[BLOCK_SMALL];
        b.d = float_to_half(symmetric_codes(code, x, 8));
        pack_nibbles(b.qs, code);
    }
}

void quantize_q5_0(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_0, b) {
        int code[BLOCK_SMALL];
        b.d = float_to_half(symmetric_codes(code, x, 16));
        pack_nibbles(b.qs, code);
        pack_fifth_bits(b.qh, code);
    }
}

/* code = trunc((x - min) / d + 1/2) */
static float affine_codes(int code[BLOCK_SMALL], const float *x, Range r, int top)
{
    float d = (r.high - r.low) / (float)top, inverse = reciprocal(d);
    for (int j = 0; j < BLOCK_SMALL; j++) code[j] = at_most(truncate_to_int((x[j] - r.low) * inverse + 0.5f), top);
    return d;
}

void quantize_q4_1(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_1, b) {
        int code[BLOCK_SMALL];
        Range r = range(x);
        b.d = float_to_half(affine_codes(code, x, r, 15));
        b.m = float_to_half(r.low);
        pack_nibbles(b.qs, code);
    }
}

void quantize_q5_1(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_1, b) {
        int code[BLOCK_SMALL];
        Range r = range(x);
        b.d = float_to_half(affine_codes(code, x, r, 31));
        b.m = float_to_half(r.low);
        pack_nibbles(b.qs, code);
        pack_fifth_bits(b.qh, code);
    }
}
