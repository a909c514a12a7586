#include "core/model/dequantize.h"

/* Byte j of qs holds weight j in its low and weight j + 16 in its high nibble. */
enum { HALF_BLOCK = BLOCK_SMALL / 2 };

#define EACH_BLOCK(Block, b)                                                                     \
    for (Block b; n_blocks-- > 0 && memcpy(&b, blocks, sizeof b); blocks += sizeof b, out += BLOCK_SMALL)

void dequantize_q4_0(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_0, b) {
        float d = half_to_float(b.d);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = (float)((b.qs[j] & 15) - 8) * d;
            out[j + HALF_BLOCK] = (float)((b.qs[j] >> 4) - 8) * d;
        }
    }
}

void dequantize_q4_1(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_1, b) {
        float d = half_to_float(b.d), m = half_to_float(b.m);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = (float)(b.qs[j] & 15) * d + m;
            out[j + HALF_BLOCK] = (float)(b.qs[j] >> 4) * d + m;
        }
    }
}

/* The fifth bit of weight j, in place. */
static int fifth_bit(const uint8_t qh[4], int j) { return (qh[j / 8] >> (j % 8) & 1) << 4; }

void dequantize_q5_0(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_0, b) {
        float d = half_to_float(b.d);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = (float)(((b.qs[j] & 15) | fifth_bit(b.qh, j)) - 16) * d;
            out[j + HALF_BLOCK] = (float)((b.qs[j] >> 4 | fifth_bit(b.qh, j + HALF_BLOCK)) - 16) * d;
        }
    }
}

void dequantize_q5_1(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_1, b) {
        float d = half_to_float(b.d), m = half_to_float(b.m);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = (float)((b.qs[j] & 15) | fifth_bit(b.qh, j)) * d + m;
            out[j + HALF_BLOCK] = (float)(b.qs[j] >> 4 | fifth_bit(b.qh, j + HALF_BLOCK)) * d + m;
        }
    }
}

void dequantize_q8_0(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ8_0, b) {
        float d = half_to_float(b.d);
        for (int j = 0; j < BLOCK_SMALL; j++) out[j] = (float)b.qs[j] * d;
    }
}

void dequantize_iq4_nl(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    static const int8_t grid[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
    EACH_BLOCK(BlockIQ4_NL, b) {
        float d = half_to_float(b.d);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = d * (float)grid[b.qs[j] & 15];
            out[j + HALF_BLOCK] = d * (float)grid[b.qs[j] >> 4];
        }
    }
}
