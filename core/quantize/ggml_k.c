/* The "K" formats: 256 weights a block in groups whose scales are integers.  A search gives each group a real scale; these are rounded to
 * integers times one half-precision number, and the weights are requantized by what was stored. */
#include <math.h>
#include <string.h>

#include "core/quantize/block_search.h"
#include "core/quantize/ggml_blocks.h"

#define EACH_BLOCK(Block, b)                                                                                \
    for (Block b; n_blocks-- > 0; memcpy(blocks, &b, sizeof b), blocks += sizeof b, x += BLOCK_LARGE)

static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* The first of largest magnitude, with its sign. */
static float extreme_scale(const float scale[16])
{
    float found = 0;
    for (int g = 0; g < 16; g++) found = fabsf(scale[g]) > fabsf(found) ? scale[g] : found;
    return found;
}

static int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

/* Where even the stored scale is 0, the codes of the search remain. */
static void requantize(uint8_t *code, const float *x, int n, float scale, float minimum, int low, int high)
{
    if (scale != 0) requantize_group(code, x, n, scale, minimum, low, high);
}

/* Byte i of each half's 32 holds the two low bits of weights i, i + 32, i + 64, i + 96. */
static void pack_two_bits(uint8_t qs[64], const uint8_t code[BLOCK_LARGE])
{
    for (int i = 0; i < 64; i++) {
        const uint8_t *c = code + 128 * (i / 32) + i % 32;
        qs[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
    }
}

/* Byte i of each 32 holds the four low bits of weights i and i + 32 of a quarter. */
static void pack_four_bits(uint8_t qs[128], const uint8_t code[BLOCK_LARGE])
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *c = code + 64 * (i / 32) + i % 32;
        qs[i] = (uint8_t)((c[0] & 15) | (c[32] & 15) << 4);
    }
}

/* Bit k of byte i is bit `bit` of weight i + 32 k. */
static void pack_one_bit(uint8_t plane[32], const uint8_t code[BLOCK_LARGE], int bit)
{
    memset(plane, 0, 32);
    for (int i = 0; i < BLOCK_LARGE; i++) plane[i % 32] |= (uint8_t)((code[i] >> bit & 1) << i / 32);
}

void quantize_q2_k(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ2_K, b) {
        BlockSearch found;
        search_q2_k(&found, x);
        const float scale = largest(found.scale, 16), minimum = largest(found.minimum, 16);
        b.d = float_to_half(scale / 15);
        b.dmin = float_to_half(minimum / 15);
        for (int g = 0; g < 16; g++) {
            const int s = scale > 0 ? nearest_int(15 / scale * found.scale[g]) : 0;
            const int m = minimum > 0 ? nearest_int(15 / minimum * found.minimum[g]) : 0;
            b.scales[g] = (uint8_t)(s | m * 16);
            requantize(found.code + 16 * g, x + 16 * g, 16, half_to_float(b.d) * (float)(b.scales[g] & 15),
                       half_to_float(b.dmin) * (float)(b.scales[g] >> 4), 0, 3);
        }
        pack_two_bits(b.qs, found.code);
    }
}

/* Sixteen 6-bit scales: 4 low bits in bytes 0-7 (low nibbles first), 2 high bits in bytes 8-11. */
static void pack_q3_k_scales(uint8_t packed[12], const int scale[16])
{
    for (int i = 0; i < 8; i++) packed[i] = (uint8_t)((scale[i] & 15) | (scale[i + 8] & 15) << 4);
    for (int i = 0; i < 4; i++)
        packed[8 + i] = (uint8_t)(scale[i] >> 4 | scale[i + 4] >> 4 << 2 | scale[i + 8] >> 4 << 4 | scale[i + 12] >> 4 << 6);
}

void quantize_q3_k(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ3_K, b) {
        BlockSearch found;
        int scale[16] = { 0 };
        search_q3_k(&found, x);
        const float extreme = extreme_scale(found.scale), inverse = -32 / extreme;
        b.d = float_to_half(extreme != 0 ? 1 / inverse : 0);
        for (int g = 0; g < 16; g++) {
            if (extreme != 0) scale[g] = clamp((int8_t)nearest_int(inverse * found.scale[g]), -32, 31) + 32;
            requantize(found.code + 16 * g, x + 16 * g, 16, half_to_float(b.d) * (float)(scale[g] - 32), 0, -4, 3);
        }
        pack_q3_k_scales(b.scales, scale);
        pack_one_bit(b.hmask, found.code, 2);
        pack_two_bits(b.qs, found.code);
    }
}

/* Eight 6-bit scales and minima: those of groups 0-3 whole in bytes 0-7, whose top bits take the high bits of groups 4-7. */
static void pack_scales_and_minima(uint8_t packed[12], const int scale[8], const int minimum[8])
{
    for (int i = 0; i < 4; i++) {
        packed[i] = (uint8_t)(scale[i] | scale[i + 4] >> 4 << 6);
        packed[i + 4] = (uint8_t)(minimum[i] | minimum[i + 4] >> 4 << 6);
        packed[i + 8] = (uint8_t)((scale[i + 4] & 15) | (minimum[i + 4] & 15) << 4);
    }
}

/* What Q4_K and Q5_K share: scales, minima and codes 0..top. */
static void store_with_minima(uint16_t *d, uint16_t *dmin, uint8_t packed[12], BlockSearch *found, const float *x, int top)
{
    int scale[8], minimum[8];
    const float most = largest(found->scale, 8), deepest = largest(found->minimum, 8);
    const float inverse = most > 0 ? 63 / most : 0, inverse_minimum = deepest > 0 ? 63 / deepest : 0;
    *d = float_to_half(most / 63);
    *dmin = float_to_half(deepest / 63);
    for (int g = 0; g < 8; g++) {
        scale[g] = clamp(nearest_int(inverse * found->scale[g]), 0, 63);
        minimum[g] = clamp(nearest_int(inverse_minimum * found->minimum[g]), 0, 63);
        requantize(found->code + 32 * g, x + 32 * g, 32, half_to_float(*d) * (float)scale[g],
                   half_to_float(*dmin) * (float)minimum[g], 0, top);
    }
    pack_scales_and_minima(packed, scale, minimum);
}

void quantize_q4_k(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ4_K, b) {
        BlockSearch found;
        search_q4_k(&found, x);
        store_with_minima(&b.d, &b.dmin, b.scales, &found, x, 15);
        pack_four_bits(b.qs, found.code);
    }
}

void quantize_q5_k(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ5_K, b) {
        BlockSearch found;
        search_q5_k(&found, x);
        store_with_minima(&b.d, &b.dmin, b.scales, &found, x, 31);
        pack_four_bits(b.qs, found.code);
        pack_one_bit(b.qh, found.code, 4);
    }
}

/* Four low bits: of each half's first 64 weights in the low, of its last 64 in the high nibbles of 64 bytes. */
static void pack_q6_k_low(uint8_t ql[128], const uint8_t code[BLOCK_LARGE])
{
    for (int i = 0; i < 128; i++) {
        const uint8_t *c = code + 128 * (i / 64) + i % 64;
        ql[i] = (uint8_t)((c[0] & 15) | (c[64] & 15) << 4);
    }
}

void quantize_q6_k(unsigned char *blocks, const float *x, int64_t n_blocks)
{
    EACH_BLOCK(BlockQ6_K, b) {
        BlockSearch found;
        uint8_t high[BLOCK_LARGE];
        search_q6_k(&found, x);
        const float extreme = extreme_scale(found.scale), inverse = -128 / extreme;
        memset(&b, 0, sizeof b);
        if (fabsf(extreme) < NEGLIGIBLE) continue;
        b.d = float_to_half(1 / inverse);
        for (int g = 0; g < 16; g++) {
            const int scale = nearest_int(inverse * found.scale[g]);
            b.scales[g] = (int8_t)(scale > 127 ? 127 : scale);
            requantize(found.code + 16 * g, x + 16 * g, 16, half_to_float(b.d) * (float)b.scales[g], 0, -32, 31);
        }
        pack_q6_k_low(b.ql, found.code);
        for (int i = 0; i < BLOCK_LARGE; i++) high[i] = found.code[i] >> 4;
        pack_two_bits(b.qh, high);
    }
}
