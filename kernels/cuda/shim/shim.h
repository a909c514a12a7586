/*
 * shim.h - CUDA as seen by a kernel, on the host: blocks one after another, threads as fibers, every access watched
 *
 * A thread runs until it has to wait (for its block, or for its warp), then another one runs.  The order of threads and
 * blocks can be turned round or drawn (LINEARITY_SHIM_ORDER=forward|reverse|random), so that a result which depends on it
 * shows.  Complaints, each with kernel, block and thread: access outside an allocation or an array, misaligned vectors,
 * shared memory that is read before anything wrote it, two threads at one word of shared memory with no barrier
 * between them, a barrier that not all threads reach.  Counted where shim_count(true) was called: 32-byte sectors of global
 * memory for each access of a warp, and the passes that shared memory takes for it.
 */
#ifndef KERNELS_CUDA_SHIM_SHIM_H
#define KERNELS_CUDA_SHIM_SHIM_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <type_traits>

#include "kernels/cuda/shim/runtime.h"

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __constant__
#define __noinline__ __attribute__((noinline))

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
static inline float2 make_float2(float x, float y) { return { x, y }; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return { x, y, z, w }; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return { x, y }; }

struct bf16 { uint16_t bits; };
static inline float to_float(bf16 x)
{
    uint32_t bits = (uint32_t)x.bits << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline bf16 to_bf16(float x)             /* to the nearest, ties to even; NaN stays NaN */
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return { (uint16_t)(bits >> 16 | 0x40) };
    return { (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16) };
}
static inline unsigned pack_bf16(float low, float high) { return (unsigned)to_bf16(high).bits << 16 | to_bf16(low).bits; }
static inline float2 unpack_bf16(unsigned pair) { return { to_float({ (uint16_t)pair }), to_float({ (uint16_t)(pair >> 16) }) }; }

namespace shim {

struct Thread { dim3 thread, block; };
Thread &self();
extern thread_local dim3 block_dim, grid_dim;

/* Before an access of `bytes` bytes at p; `what` says whose memory it is. */
enum Space { GLOBAL, SHARED_MEMORY };
enum Access { READ, WRITE };
__attribute__((noinline)) void touch_global(const void *p, int bytes, Access access);
__attribute__((noinline)) void touch_shared(const void *p, int bytes, Access access);

/* An element in watched memory: reading and writing it are seen. */
template <class T, Space space> struct Element {
    T *p;
    using Value = std::remove_const_t<T>;
    __attribute__((always_inline)) operator Value() const
    {
        space == GLOBAL ? touch_global(p, sizeof(T), READ) : touch_shared(p, sizeof(T), READ);
        return *p;
    }
    __attribute__((always_inline)) Element &operator=(Value v)
    {
        space == GLOBAL ? touch_global(p, sizeof(T), WRITE) : touch_shared(p, sizeof(T), WRITE);
        *const_cast<Value *>(p) = v;
        return *this;
    }
    __attribute__((always_inline)) Element &operator=(const Element &e) { return *this = (Value)e; }
    Element(T *at) : p(at) {}
    Element(const Element &) = default;
    __attribute__((always_inline)) Element &operator+=(Value v) { return *this = (Value)*this + v; }
    __attribute__((always_inline)) Element &operator*=(Value v) { return *this = (Value)*this * v; }
};

template <class T, Space space> struct Pointer {
    T *p;
    Pointer() = default;
    Pointer(T *at) : p(at) {}
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>> Pointer(const Pointer<U, space> &other) : p(other.p) {}
    Element<T, space> operator[](int64_t i) const { return Element<T, space>(p + i); }
    Element<T, space> operator*() const { return Element<T, space>(p); }
    Pointer operator+(int64_t i) const { return p + i; }
    Pointer operator-(int64_t i) const { return p - i; }
    Pointer &operator+=(int64_t i) { p += i; return *this; }
    explicit operator bool() const { return p != nullptr; }
};

/* Static arrays: one for each host thread, since a host thread runs one block at a time. */
void enter_shared(const void *first, int64_t bytes);
template <class T, int n> struct Array {
    alignas(16) T element[n];
    __attribute__((always_inline)) Element<T, SHARED_MEMORY> operator[](int64_t i) { return Element<T, SHARED_MEMORY>(element + i); }
    operator Pointer<T, SHARED_MEMORY>() { return Pointer<T, SHARED_MEMORY>(element); }
    Pointer<T, SHARED_MEMORY> operator+(int64_t i) { return Pointer<T, SHARED_MEMORY>(element + i); }
};
unsigned char *dynamic_shared();

void launch(const char *name, const char *file, int line, dim3 grid, dim3 block, int64_t shared, const std::function<void()> &thread);
void wait_block();
int  wait_block_or(int predicate);

/* Every lane gives `bytes` bytes and may read what all lanes gave until its next exchange. */
enum { PAYLOAD = 64 };
const unsigned char (*exchange(const void *mine, int bytes))[PAYLOAD];
int lane();

/* Copies that arrive when they are waited for. */
void copy_later(void *to, const void *from, int bytes, bool zeros);
void commit_copies();
void wait_copies(int groups_left);

}   // namespace shim

template <class T> using Global = shim::Pointer<T, shim::GLOBAL>;
template <class T> using Shared = shim::Pointer<T, shim::SHARED_MEMORY>;

#define threadIdx (shim::self().thread)
#define blockIdx (shim::self().block)
#define blockDim (shim::block_dim)
#define gridDim (shim::grid_dim)

#define SHARED(T, name, n) static thread_local shim::Array<T, n> name; shim::enter_shared(&name, sizeof name)
#define DYNAMIC_SHARED(name) unsigned char *name = shim::dynamic_shared()
template <class T> static inline Shared<T> shared_at(unsigned char *all, int byte) { return Shared<T>(reinterpret_cast<T *>(all + byte)); }

#define LAUNCH(kernel, grid, block, shared, ...)                                                               \
    do {                                                                                                       \
        if (device_failed()) break;                                                                            \
        operation_begin(#kernel);                                                                              \
        shim::launch(#kernel, __FILE__, __LINE__, grid, block, shared, [=]() { kernel(__VA_ARGS__); });        \
        operation_end();                                                                                       \
    } while (0)
#define ALLOW_SHARED(kernel, bytes) ((void)0)

static inline void __syncthreads() { shim::wait_block(); }
static inline int __syncthreads_or(int predicate) { return shim::wait_block_or(predicate); }
static inline void __syncwarp(unsigned = ~0u) { char nothing = 0; shim::exchange(&nothing, 1); }

template <class T> static inline T shim_take(T x, int from)
{
    const unsigned char (*all)[shim::PAYLOAD] = shim::exchange(&x, sizeof x);
    T got;
    memcpy(&got, all[from & 31], sizeof got);
    return got;
}
template <class T> static inline T __shfl_sync(unsigned, T x, int from, int width = 32)
{
    int base = shim::lane() / width * width;
    return shim_take(x, base + from % width);
}
template <class T> static inline T __shfl_xor_sync(unsigned, T x, int mask) { return shim_take(x, shim::lane() ^ mask); }
template <class T> static inline T __shfl_down_sync(unsigned, T x, int step)
{
    int from = shim::lane() + step;
    return shim_take(x, from < 32 ? from : shim::lane());
}
template <class T> static inline T __shfl_up_sync(unsigned, T x, int step)
{
    int from = shim::lane() - step;
    return shim_take(x, from >= 0 ? from : shim::lane());
}
static inline unsigned __ballot_sync(unsigned, int predicate)
{
    const unsigned char (*all)[shim::PAYLOAD] = shim::exchange(&predicate, sizeof predicate);
    unsigned mask = 0;
    for (int i = 0; i < 32; i++) {
        int each;
        memcpy(&each, all[i], sizeof each);
        mask |= (unsigned)(each != 0) << i;
    }
    return mask;
}
static inline int __any_sync(unsigned m, int p) { return __ballot_sync(m, p) != 0; }
static inline int __all_sync(unsigned m, int p) { return __ballot_sync(m, p) == ~0u; }

/* Vectors: aligned, or complained about. */
template <class V, class T> static __attribute__((always_inline)) inline V shim_load(const T *p)
{
    shim::touch_global(p, sizeof(V), shim::READ);
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> static __attribute__((always_inline)) inline void shim_store(T *p, V v)
{
    shim::touch_global(p, sizeof(V), shim::WRITE);
    memcpy((void *)p, &v, sizeof v);
}
template <class V, class T> static __attribute__((always_inline)) inline V shim_load_shared(const T *p)
{
    shim::touch_shared(p, sizeof(V), shim::READ);
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> static __attribute__((always_inline)) inline void shim_store_shared(T *p, V v)
{
    shim::touch_shared(p, sizeof(V), shim::WRITE);
    memcpy((void *)p, &v, sizeof v);
}
__attribute__((always_inline)) static inline float4 load4(Global<const float> p, int64_t i) { return shim_load<float4>(p.p + i); }
__attribute__((always_inline)) static inline void store4(Global<float> p, int64_t i, float4 v) { shim_store(p.p + i, v); }
__attribute__((always_inline)) static inline float4 load4(Shared<float> p, int64_t i) { return shim_load_shared<float4>(p.p + i); }
__attribute__((always_inline)) static inline void store4(Shared<float> p, int64_t i, float4 v) { shim_store_shared(p.p + i, v); }
__attribute__((always_inline)) static inline uint4 load16(Global<const bf16> p, int64_t i) { return shim_load<uint4>(p.p + i); }
__attribute__((always_inline)) static inline void store16(Global<bf16> p, int64_t i, uint4 v) { shim_store(p.p + i, v); }
__attribute__((always_inline)) static inline uint4 load16(Shared<bf16> p, int64_t i) { return shim_load_shared<uint4>(p.p + i); }
__attribute__((always_inline)) static inline void store16(Shared<bf16> p, int64_t i, uint4 v) { shim_store_shared(p.p + i, v); }
__attribute__((always_inline)) static inline uint2 load8(Global<const bf16> p, int64_t i) { return shim_load<uint2>(p.p + i); }
__attribute__((always_inline)) static inline void store8(Global<bf16> p, int64_t i, uint2 v) { shim_store(p.p + i, v); }

static inline float exp2f_approximate(float x) { return exp2f(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }

#endif
