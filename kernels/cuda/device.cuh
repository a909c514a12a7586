/*
 * device.cuh - what every .cu file is written with: memory as kernels see it, launches, sequences, reductions
 *
 * The same source is compiled twice: by nvcc for a GPU, and by the host's compiler with the launch shim (shim/shim.h),
 * which runs blocks as fibers and watches every access.  So that it can, kernels name their memory by type:
 *
 *     Global<T>            a pointer to device memory: x[i], x + i;  load4/store4 for 16 bytes at once
 *     SHARED(T, name, n)   an array in shared memory, n a constant
 *     DYNAMIC_SHARED(name) all of the dynamic shared memory of a launch;  shared_at<T>(name, byte) -> Shared<T>
 *
 * An element that is read takes the type it is assigned to: write `float v = x[i]`, never `auto v`.
 */
#ifndef KERNELS_CUDA_DEVICE_CUH
#define KERNELS_CUDA_DEVICE_CUH

#include <stdint.h>

#include "kernels/kernels.h"

#ifdef LINEARITY_SHIM
#include "kernels/cuda/shim/shim.h"
#define UNROLL
#define UNROLL_BY(n)
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>

typedef __nv_bfloat16 bf16;
template <class T> using Global = T *;
template <class T> using Shared = T *;

#define UNROLL _Pragma("unroll")                /* before a loop over an array that has to stay in registers */
#define UNROLL_TEXT(text) _Pragma(#text)
#define UNROLL_BY(n) UNROLL_TEXT(unroll n)
#define SHARED(T, name, n) __shared__ __align__(16) T name[n]
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
template <class T> __device__ __forceinline__ T *shared_at(unsigned char *all, int byte) { return reinterpret_cast<T *>(all + byte); }

/* The device's name for a launch: LAUNCH(kernel, grid, block, bytes of dynamic shared memory, arguments...).  A template
 * with several arguments stands in parentheses. */
#define LAUNCH(kernel, grid, block, shared, ...)                                                              \
    do {                                                                                                      \
        if (device_failed()) break;                                                                           \
        operation_begin(#kernel);                                                                             \
        kernel<<<grid, block, shared, device_stream()>>>(__VA_ARGS__);                                        \
        operation_end();                                                                                      \
        device_check(cudaGetLastError(), "launching " #kernel, __FILE__, __LINE__);                           \
    } while (0)

/* More dynamic shared memory than 48 KiB has to be asked for once. */
#define ALLOW_SHARED(kernel, bytes) \
    device_check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "shared memory for " #kernel, __FILE__, __LINE__)

__device__ __forceinline__ float4 load4(const float *p, int64_t i) { return *reinterpret_cast<const float4 *>(p + i); }
__device__ __forceinline__ void store4(float *p, int64_t i, float4 v) { *reinterpret_cast<float4 *>(p + i) = v; }
__device__ __forceinline__ uint4 load16(const bf16 *p, int64_t i) { return *reinterpret_cast<const uint4 *>(p + i); }       /* eight */
__device__ __forceinline__ void store16(bf16 *p, int64_t i, uint4 v) { *reinterpret_cast<uint4 *>(p + i) = v; }
__device__ __forceinline__ uint2 load8(const bf16 *p, int64_t i) { return *reinterpret_cast<const uint2 *>(p + i); }         /* four */
__device__ __forceinline__ void store8(bf16 *p, int64_t i, uint2 v) { *reinterpret_cast<uint2 *>(p + i) = v; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ bf16 to_bf16(float x) { return __float2bfloat16_rn(x); }
__device__ __forceinline__ float exp2f_approximate(float x)             /* 2 ulp; 0 below the normal numbers */
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
__device__ __forceinline__ unsigned pack_bf16(float low, float high)    /* two in a register, low in the low half */
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<unsigned *>(&pair);
}
__device__ __forceinline__ float2 unpack_bf16(unsigned pair) { return __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&pair)); }
#endif

/* ---- host side: device.cu ---- */

cudaStream_t device_stream();
void device_turn_to(cudaStream_t stream);       /* where everything goes from now on */

/* The first failure stays, as one sentence, and everything after it does nothing. */
bool device_failed();
void device_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void device_check(cudaError_t status, const char *what, const char *file, int line);
#define CHECK(call) device_check(call, #call, __FILE__, __LINE__)

/* profile.cu: what the next launch computes and moves (each input and output once), and when it begins and ends. */
void operation_work(double flops, double bytes);
void operation_begin(const char *name);
void operation_end();

/* Memory that a slot works with: taken anew by every slot (scratch_reset), kept between slots.  256-byte aligned. */
void  scratch_reset();
void *scratch_bytes(int64_t bytes);
template <class T> static inline T *scratch(int64_t n) { return static_cast<T *>(scratch_bytes(n * (int64_t)sizeof(T))); }

/* Host arrays to and from the device, in the order of the stream; device_get waits for what it brings. */
void device_put(void *device, const void *host, int64_t bytes);
void device_get(void *host, const void *device, int64_t bytes);

/* Sequences as kernels take them: by value, so many at a time. */
enum { MOST_SEQUENCES = 64 };
struct Sequences {
    int n, length[MOST_SEQUENCES];
    int64_t first[MOST_SEQUENCES];
    int longest;
};

/* Calls f(sequences, index of the first of them) for all sequences of a batch that are not empty. */
template <class F> static inline void for_sequences(const Ragged *batch, F f)
{
    for (int b = 0; b < batch->n; b += MOST_SEQUENCES) {
        Sequences s = {};
        for (; s.n < MOST_SEQUENCES && b + s.n < batch->n; s.n++) {
            s.length[s.n] = batch->length[b + s.n];
            s.first[s.n] = batch->offset[b + s.n];
            if (s.length[s.n] > s.longest) s.longest = s.length[s.n];
        }
        if (s.longest) f(s, b);
    }
}

static inline unsigned blocks_of(int64_t n, int64_t each) { return (unsigned)((n + each - 1) / each); }
static inline bool aligned16(const void *p) { return (reinterpret_cast<uintptr_t>(p) & 15) == 0; }

/* ---- device side: reductions in a fixed tree, the same whatever else runs ---- */

enum { WARP = 32 };
static const unsigned ALL_LANES = 0xffffffffu;

template <class T> __device__ __forceinline__ T warp_sum(T x)
{
    for (int step = WARP / 2; step > 0; step /= 2) x += __shfl_xor_sync(ALL_LANES, x, step);
    return x;
}

/* The sum over a block of THREADS threads, to all of them. */
template <int THREADS, class T> __device__ __forceinline__ T block_sum(T x)
{
    SHARED(T, part, THREADS / WARP);
    int warp = threadIdx.x / WARP;
    x = warp_sum(x);
    __syncthreads();                        /* the sum before this one has been read */
    if (threadIdx.x % WARP == 0) part[warp] = x;
    __syncthreads();
    T sum = 0;
    for (int w = 0; w < THREADS / WARP; w++) {
        T each = part[w];
        sum += each;
    }
    return sum;
}

/* NaN wins: a silent number would pass for a measurement. */
__device__ __forceinline__ float larger(float a, float b) { return a > b || a != a ? a : b; }

#endif
