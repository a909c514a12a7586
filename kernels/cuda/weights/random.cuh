/*
 * random.cuh - the numbers of core/base/rng.c on the device, bit for bit
 *
 * The integers are Random123's Philox4x32-10, the float32 steps after them kernels/normal.h: what includes this is compiled with -fmad=false
 * (the shim: -ffp-contract=off).
 *
 *   counter = { index/4 low, index/4 high, stream low, stream high },  key = { seed low, seed high }
 */
#ifndef KERNELS_CUDA_RANDOM_CUH
#define KERNELS_CUDA_RANDOM_CUH

#include <Random123/philox.h>

#include "kernels/cuda/device.cuh"
#include "kernels/normal.h"

struct Stream { uint64_t seed, stream; };

static __device__ __forceinline__ uint4 philox_integers(Stream s, uint64_t counter)
{
    philox4x32_ctr_t c = {{ (uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)s.stream, (uint32_t)(s.stream >> 32) }};
    philox4x32_key_t key = {{ (uint32_t)s.seed, (uint32_t)(s.seed >> 32) }};
    philox4x32_ctr_t x = philox4x32(c, key);
    return make_uint4(x.v[0], x.v[1], x.v[2], x.v[3]);
}

/* The normals at indices 4 counter .. 4 counter + 3: two pairs. */
static __device__ __forceinline__ float4 normals_of(Stream stream, uint64_t counter)
{
    uint4 x = philox_integers(stream, counter);
    float r = normal_radius(x.x), q = normal_radius(x.z), c, s, d, t;
    normal_direction(&c, &s, x.y);
    normal_direction(&d, &t, x.w);
    return make_float4(r * c, r * s, q * d, q * t);
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
