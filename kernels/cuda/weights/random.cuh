/*
 * random.cuh - the numbers of core/base/rng.c on the device, bit for bit
 *
 * The integers are Random123's Philox4x32-10; the float32 steps after them are those of rng.c, in its order.  They are the same bits
 * only where nothing is contracted to a fused multiply-add and square roots are correctly rounded: what includes this is compiled with
 * -fmad=false (the shim: -ffp-contract=off), and never with fast mathematics.
 *
 *   counter = { index/4 low, index/4 high, stream low, stream high },  key = { seed low, seed high }
 */
#ifndef KERNELS_CUDA_RANDOM_CUH
#define KERNELS_CUDA_RANDOM_CUH

#include <Random123/philox.h>

#include "kernels/cuda/device.cuh"

struct Stream { uint64_t seed, stream; };

static __device__ __forceinline__ uint4 philox_integers(Stream s, uint64_t counter)
{
    philox4x32_ctr_t c = {{ (uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)s.stream, (uint32_t)(s.stream >> 32) }};
    philox4x32_key_t key = {{ (uint32_t)s.seed, (uint32_t)(s.seed >> 32) }};
    philox4x32_ctr_t x = philox4x32(c, key);
    return make_uint4(x.v[0], x.v[1], x.v[2], x.v[3]);
}

#ifdef LINEARITY_SHIM
static inline float float_of_bits(int32_t bits) { float f; memcpy(&f, &bits, sizeof f); return f; }
static inline int32_t bits_of_float(float f) { int32_t bits; memcpy(&bits, &f, sizeof bits); return bits; }
#else
static __device__ __forceinline__ float float_of_bits(int32_t bits) { return __int_as_float(bits); }
static __device__ __forceinline__ int32_t bits_of_float(float f) { return __float_as_int(f); }
#endif

/* log(1 + f), |f| <= 1/3. */
static __device__ __forceinline__ float log1p_minimax(float f)
{
    float p = 0x1.1b09cep-3f;
    p = p * f - 0x1.35b3c6p-3f;
    p = p * f + 0x1.1f9626p-3f;
    p = p * f - 0x1.515a6ep-3f;
    p = p * f + 0x1.99c31ep-3f;
    p = p * f - 0x1.000b1cp-2f;
    p = p * f + 0x1.555528p-2f;
    return f - f * f * (0.5f - f * p);
}

/* sqrt(-2 log u), u = (x + 1/2) 2^-32; why it goes by min(u, 1 - u): rng.c. */
static __device__ __forceinline__ float normal_radius(uint32_t x)
{
    const float log_2 = 0x1.62e43p-1f, third = 0x1.555556p-2f;
    const int32_t two_thirds = 0x3f2aaaab;
    int32_t above = (int32_t)x >> 31;
    float w = ((float)((int32_t)x ^ above) + 0.5f) * 0x1p-32f;

    int32_t offset = bits_of_float(w) - two_thirds;
    int32_t e_below = offset >> 23;
    float f_below = float_of_bits((offset & 0x7fffff) + two_thirds) - 1.0f;
    int32_t e_above = w < third ? 0 : -1;
    float f_above = w < third ? -w : 1.0f - 2.0f * w;

    float e = (float)(above ? e_above : e_below);
    float f = above ? f_above : f_below;
    return sqrtf(-2.0f * (e * log_2 + log1p_minimax(f)));
}

/* cos and sin of 2 pi (x + 1/2) 2^-32. */
static __device__ __forceinline__ float2 cosine_and_sine(uint32_t x)
{
    uint32_t quarter = (x + (1u << 29)) >> 30;
    int32_t rest = (int32_t)(x - (quarter << 30));
    float a = ((float)rest + 0.5f) * 0x1.921fb6p-30f;
    float a2 = a * a;
    float sine = a + a * a2 * ((-0x1.9943e0p-13f * a2 + 0x1.11073ap-7f) * a2 - 0x1.555546p-3f);
    float cosine = 1.0f - a2 * (0.5f - a2 * ((0x1.99eb9cp-16f * a2 - 0x1.6c0c34p-10f) * a2 + 0x1.55554ap-5f));
    bool swap = quarter & 1;
    int32_t sign_c = (int32_t)((quarter + 1) << 30) & INT32_MIN;
    int32_t sign_s = (int32_t)(quarter << 30) & INT32_MIN;
    return make_float2(float_of_bits(bits_of_float(swap ? sine : cosine) ^ sign_c),
                       float_of_bits(bits_of_float(swap ? cosine : sine) ^ sign_s));
}

/* The normals at indices 4 counter .. 4 counter + 3: two pairs. */
static __device__ __forceinline__ float4 normals_of(Stream s, uint64_t counter)
{
    uint4 x = philox_integers(s, counter);
    float r = normal_radius(x.x), q = normal_radius(x.z);
    float2 first = cosine_and_sine(x.y), second = cosine_and_sine(x.w);
    return make_float4(r * first.x, r * first.y, q * second.x, q * second.y);
}

/* Signs are the bits of the integers, 128 to a counter: those at 4 quad .. 4 quad + 3. */
static __device__ __forceinline__ float4 signs_of(Stream s, uint64_t quad)
{
    uint4 x = philox_integers(s, quad / 32);
    unsigned lane = (unsigned)(quad / 8 % 4);
    uint32_t bits = ~(lane < 2 ? lane == 0 ? x.x : x.y : lane == 2 ? x.z : x.w) >> (quad % 8 * 4);
    return make_float4(float_of_bits((int32_t)(0x3f800000u | bits << 31)), float_of_bits((int32_t)(0x3f800000u | bits >> 1 << 31)),
                       float_of_bits((int32_t)(0x3f800000u | bits >> 2 << 31)), float_of_bits((int32_t)(0x3f800000u | bits >> 3 << 31)));
}

#endif
