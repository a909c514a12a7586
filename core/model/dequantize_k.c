/* The "K" formats: blocks of 256 weights. */
#include "core/model/dequantize.h"

#define EACH_BLOCK(Block, b)                                                                     \
    for (Block b; n_blocks-- > 0 && memcpy(&b, blocks, sizeof b); blocks += sizeof b, out += BLOCK_LARGE)

/* In Q2_K and Q3_K byte i of each half's 32 holds the two bits of weights i, i + 32, i + 64, i + 96:
 * group g of 16 starts at byte 32 (g/8) + 16 (g%2), shifted by 2 ((g/2)%4). */
static const uint8_t *group_bytes(const uint8_t qs[64], int g) { return qs + 32 * (g / 8) + 16 * (g % 2); }
static int group_shift(int g) { return 2 * (g / 2 % 4); }

void dequantize_q2_k(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ2_K, b) {
        float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
        for (int g = 0; g < 16; g++) {
            float scale = d * (float)(b.scales[g] & 15), minimum = dmin * (float)(b.scales[g] >> 4);
            const uint8_t *q = group_bytes(b.qs, g);
            for (int i = 0; i < 16; i++) out[16 * g + i] = scale * (float)(q[i] >> group_shift(g) & 3) - minimum;
        }
    }
}

/* Sixteen 6-bit scales: 4 low bits in bytes 0-7 (low nibbles first), 2 high bits in bytes 8-11. */
static int q3_k_scale(const uint8_t s[12], int g)
{
    int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4;
    int high = s[8 + g % 4] >> 2 * (g / 4) & 3;
    return (low | high << 4) - 32;
}

void dequantize_q3_k(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ3_K, b) {
        float d = half_to_float(b.d);
        for (int g = 0; g < 16; g++) {
            float scale = d * (float)q3_k_scale(b.scales, g);
            const uint8_t *q = group_bytes(b.qs, g), *mask = b.hmask + 16 * (g % 2);
            for (int i = 0; i < 16; i++) {
                int offset = mask[i] >> g / 2 & 1 ? 0 : 4;          /* the high bit is stored inverted */
                out[16 * g + i] = scale * (float)((q[i] >> group_shift(g) & 3) - offset);
            }
        }
    }
}

/* Eight 6-bit scales and minima of Q4_K and Q5_K. */
static void scale_and_minimum(int *scale, int *minimum, const uint8_t s[12], int g)
{
    if (g < 4) {
        *scale = s[g] & 63;
        *minimum = s[g + 4] & 63;
    } else {
        *scale = (s[g + 4] & 15) | s[g - 4] >> 6 << 4;
        *minimum = s[g + 4] >> 4 | s[g] >> 6 << 4;
    }
}

void dequantize_q4_k(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_K, b) {
        float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
        for (int g = 0; g < 8; g++) {
            int scale, minimum, shift = 4 * (g % 2);
            scale_and_minimum(&scale, &minimum, b.scales, g);
            float group_d = d * (float)scale, group_min = dmin * (float)minimum;
            const uint8_t *q = b.qs + 32 * (g / 2);
            for (int i = 0; i < 32; i++) out[32 * g + i] = group_d * (float)(q[i] >> shift & 15) - group_min;
        }
    }
}

void dequantize_q5_k(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_K, b) {
        float d = half_to_float(b.d), dmin = half_to_float(b.dmin);
        for (int g = 0; g < 8; g++) {
            int scale, minimum, shift = 4 * (g % 2);
            scale_and_minimum(&scale, &minimum, b.scales, g);
            float group_d = d * (float)scale, group_min = dmin * (float)minimum;
            const uint8_t *q = b.qs + 32 * (g / 2);
            for (int i = 0; i < 32; i++) {
                int code = (q[i] >> shift & 15) | (b.qh[i] >> g & 1) << 4;
                out[32 * g + i] = group_d * (float)code - group_min;
            }
        }
    }
}

void dequantize_q6_k(float *out, const unsigned char *blocks, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ6_K, b) {
        float d = half_to_float(b.d);
        for (int g = 0; g < 16; g++) {
            float scale = d * (float)b.scales[g];
            int half = g / 8, quarter = g / 2 % 4, first = 16 * (g % 2);    /* 32 weights a quarter of a half */
            const uint8_t *low = b.ql + 64 * half + 32 * (quarter % 2) + first, *high = b.qh + 32 * half + first;
            for (int i = 0; i < 16; i++) {
                int code = (low[i] >> 4 * (quarter / 2) & 15) | (high[i] >> 2 * quarter & 3) << 4;
                out[16 * g + i] = scale * (float)(code - 32);
            }
        }
    }
}
