#include "core/model/tensor.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/model/dequantize.h"

static void copy_f32(float *out, const unsigned char *data, int64_t n)
{
    memcpy(out, data, (size_t)n * sizeof *out);
}

static void convert_f16(float *out, const unsigned char *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        out[i] = half_to_float(half);
    }
}

static void convert_bf16(float *out, const unsigned char *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t high;
        memcpy(&high, data + 2 * i, sizeof high);
        uint32_t bits = (uint32_t)high << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

static const struct {
    const char *name;
    int weights;
    size_t bytes;
    void (*convert)(float *out, const unsigned char *blocks, int64_t n_blocks);
} formats[DTYPE_COUNT] = {
    [DTYPE_F32]    = { "F32",    1, 4, copy_f32 },
    [DTYPE_F16]    = { "F16",    1, 2, convert_f16 },
    [DTYPE_BF16]   = { "BF16",   1, 2, convert_bf16 },
    [DTYPE_Q4_0]   = { "Q4_0",   BLOCK_SMALL, sizeof(BlockQ4_0), dequantize_q4_0 },
    [DTYPE_Q4_1]   = { "Q4_1",   BLOCK_SMALL, sizeof(BlockQ4_1), dequantize_q4_1 },
    [DTYPE_Q5_0]   = { "Q5_0",   BLOCK_SMALL, sizeof(BlockQ5_0), dequantize_q5_0 },
    [DTYPE_Q5_1]   = { "Q5_1",   BLOCK_SMALL, sizeof(BlockQ5_1), dequantize_q5_1 },
    [DTYPE_Q8_0]   = { "Q8_0",   BLOCK_SMALL, sizeof(BlockQ8_0), dequantize_q8_0 },
    [DTYPE_IQ4_NL] = { "IQ4_NL", BLOCK_SMALL, sizeof(BlockIQ4_NL), dequantize_iq4_nl },
    [DTYPE_Q2_K]   = { "Q2_K",   BLOCK_LARGE, sizeof(BlockQ2_K), dequantize_q2_k },
    [DTYPE_Q3_K]   = { "Q3_K",   BLOCK_LARGE, sizeof(BlockQ3_K), dequantize_q3_k },
    [DTYPE_Q4_K]   = { "Q4_K",   BLOCK_LARGE, sizeof(BlockQ4_K), dequantize_q4_k },
    [DTYPE_Q5_K]   = { "Q5_K",   BLOCK_LARGE, sizeof(BlockQ5_K), dequantize_q5_k },
    [DTYPE_Q6_K]   = { "Q6_K",   BLOCK_LARGE, sizeof(BlockQ6_K), dequantize_q6_k },
};

const char *dtype_name(Dtype dtype) { return formats[dtype].name; }
int dtype_block_weights(Dtype dtype) { return formats[dtype].weights; }
size_t dtype_block_bytes(Dtype dtype) { return formats[dtype].bytes; }

void dtype_to_float(float *out, const unsigned char *data, int64_t n, Dtype dtype)
{
    assert(n % formats[dtype].weights == 0);
    formats[dtype].convert(out, data, n / formats[dtype].weights);
}

/* ---- the way back ---- */

enum { SIGN = 0x8000, INFINITE_F16 = 0x7c00, INFINITE_BF16 = 0x7f80 };

/* The upper bits of a magnitude, rounded half to even: the carry runs into the exponent, as it should. */
static uint32_t round_off(uint32_t magnitude, int bits)
{
    return (magnitude + (1u << (bits - 1)) - 1 + (magnitude >> bits & 1)) >> bits;
}

static uint16_t to_bf16(uint32_t sign, uint32_t magnitude)
{
    const uint32_t infinite = 255u << 23;
    return (uint16_t)(sign | (magnitude < infinite ? round_off(magnitude, 16) : INFINITE_BF16));
}

static uint16_t to_f16(uint32_t sign, uint32_t magnitude)
{
    const uint32_t least_normal = 113u << 23, too_large = 143u << 23;           /* 2^-14 and 2^16 as float32 */
    if (magnitude >= too_large) return (uint16_t)(sign | INFINITE_F16);
    if (magnitude >= least_normal) return (uint16_t)(sign | round_off(magnitude - (112u << 23), 13));
    float x;
    memcpy(&x, &magnitude, sizeof x);
    return (uint16_t)(sign | (uint32_t)nearbyintf(x * 0x1p24f));                /* below: a count of 2^-24 */
}

static bool narrow(unsigned char *out, const float *values, int64_t n, uint16_t (*convert)(uint32_t, uint32_t), uint16_t infinite)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        uint16_t image = convert(bits >> 16 & SIGN, bits & 0x7fffffff);
        finite &= (image & infinite) != infinite;
        memcpy(out + 2 * i, &image, sizeof image);
    }
    return finite;
}

bool dtype_from_float(unsigned char *out, const float *values, int64_t n, Dtype dtype)
{
    assert(dtype == DTYPE_F32 || dtype == DTYPE_F16 || dtype == DTYPE_BF16);
    if (dtype == DTYPE_F16) return narrow(out, values, n, to_f16, INFINITE_F16);
    if (dtype == DTYPE_BF16) return narrow(out, values, n, to_bf16, INFINITE_BF16);
    bool finite = true;
    for (int64_t i = 0; i < n; i++) finite &= isfinite(values[i]) != 0;
    memcpy(out, values, (size_t)n * sizeof *values);
    return finite;
}
