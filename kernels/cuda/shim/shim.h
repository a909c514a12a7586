/*
 * shim.h - CUDA as seen by a kernel, on the host: blocks one after another, threads as fibers, every access watched
 *
 * A thread runs until it has to wait (for its block, or for its warp), then another one runs.  The order of threads and
 * blocks can be turned round or drawn (LINEARITY_SHIM_ORDER=forward|reverse|random), so that a result which depends on it
 * shows.  Complaints, each with kernel, block and thread: access outside an allocation or an array, misaligned vectors,
 * shared memory that is read before anything wrote it, two threads at one place of shared memory with no barrier between
 * them that orders memory (shuffles and votes do not), an access to what an asynchronous copy is bringing, two blocks at one place
 * of global memory in a launch, a barrier or an exchange of a warp that not all threads reach.  Counted where shim_count(true)
 * was called: 32-byte sectors of global memory for each access of a warp, and the passes that shared memory takes for it.
 *
 * Not seen: races of two threads of a block in global memory; that one part of DYNAMIC_SHARED is left for the next;
 * what only the hardware or nvcc does (registers, rounding of fast instructions, tensor cores' order of sums); time.
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
struct Extent { unsigned x, y, z; };
extern constinit thread_local Thread *current;
extern constinit thread_local Extent block_dim, grid_dim;

/* Before an access of `bytes` bytes at p; false: it was complained about and must not happen. */
enum Space { GLOBAL, SHARED_MEMORY };
enum Access { READ, WRITE };
__attribute__((noinline)) bool touch_global(const void *p, int bytes, Access access);
__attribute__((noinline)) bool touch_shared(const void *p, int bytes, Access access);
template <Space space> __attribute__((always_inline)) inline bool touch(const void *p, int bytes, Access access)
{
    return space == GLOBAL ? touch_global(p, bytes, access) : touch_shared(p, bytes, access);
}

/* An element in watched memory: reading and writing it are seen. */
template <class T, Space space> struct Element {
    T *p;
    using Value = std::remove_const_t<T>;
    __attribute__((always_inline)) operator Value() const { return touch<space>(p, sizeof(T), READ) ? *p : Value(); }
    __attribute__((always_inline)) Element &operator=(Value v)
    {
        if (touch<space>(p, sizeof(T), WRITE)) *const_cast<Value *>(p) = v;
        return *this;
    }
    __attribute__((always_inline)) Element &operator=(const Element &e) { return *this = (Value)e; }
    Element(T *at) : p(at) {}
    Element(const Element &) = default;
    __attribute__((always_inline)) Element &operator+=(Value v) { return *this = (Value)*this + v; }
    __attribute__((always_inline)) Element &operator-=(Value v) { return *this = (Value)*this - v; }
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

/* Static arrays: one for each host thread, since a host thread runs one block at a time.  What lies between two of them is nobody's. */
void enter_shared(const void *first, int64_t bytes);
template <class T, int n> struct Array {
    alignas(128) T element[n];
    unsigned char between[128];
    __attribute__((always_inline)) Element<T, SHARED_MEMORY> operator[](int64_t i) { return Element<T, SHARED_MEMORY>((T *)element + i); }
    operator Pointer<T, SHARED_MEMORY>() { return Pointer<T, SHARED_MEMORY>(element); }
    Pointer<T, SHARED_MEMORY> operator+(int64_t i) { return Pointer<T, SHARED_MEMORY>((T *)element + i); }
};
unsigned char *dynamic_shared();

/* name: as the program spells it; kernel: what that is. */
void launch(const char *name, const void *kernel, const char *file, int line, dim3 grid, dim3 block, int64_t shared, const std::function<void()> &thread);
int  wait_block(int predicate, int line);

/* Every lane gives `bytes` bytes and may read what all lanes gave until its next exchange.  Only SYNCHRONIZE orders memory. */
enum { PAYLOAD = 64 };
enum Meeting { SYNCHRONIZE, SHUFFLE, VOTE };
struct Given { const unsigned char (*lane)[PAYLOAD]; unsigned present; };
Given exchange(unsigned mask, const void *mine, int bytes, int meeting);
void missing_lane(int from);
static inline const unsigned char (*exchange(const void *mine, int bytes))[PAYLOAD]         /* of a whole warp */
{
    Given given = exchange(~0u, mine, bytes, SHUFFLE);
    if (given.present != ~0u) missing_lane(__builtin_ctz(~given.present));
    return given.lane;
}
int lane();

/* Copies that arrive when they are waited for. */
void copy_later(void *to, const void *from, int bytes, bool zeros);
void commit_copies();
void wait_copies(int groups_left);

}   // namespace shim

template <class T> using Global = shim::Pointer<T, shim::GLOBAL>;
template <class T> using Shared = shim::Pointer<T, shim::SHARED_MEMORY>;

#define threadIdx (shim::current->thread)
#define blockIdx (shim::current->block)
#define blockDim (shim::block_dim)
#define gridDim (shim::grid_dim)

#define SHARED(T, name, n) static thread_local shim::Array<T, n> name; shim::enter_shared(name.element, sizeof name.element)
#define DYNAMIC_SHARED(name) unsigned char *name = shim::dynamic_shared()
template <class T> static inline Shared<T> shared_at(unsigned char *all, int byte) { return Shared<T>(reinterpret_cast<T *>(all + byte)); }

#define LAUNCH(kernel, grid, block, shared, ...)                                                               \
    do {                                                                                                       \
        if (device_failed()) break;                                                                            \
        operation_begin(#kernel);                                                                              \
        shim::launch(#kernel, (const void *)(kernel), __FILE__, __LINE__, grid, block, shared, [=]() { kernel(__VA_ARGS__); }); \
        operation_end();                                                                                       \
    } while (0)
#define ALLOW_SHARED(kernel, bytes) ((void)0)

static inline void __syncthreads(int line = __builtin_LINE()) { shim::wait_block(0, line); }
static inline int __syncthreads_or(int predicate, int line = __builtin_LINE()) { return shim::wait_block(predicate, line) != 0; }
static inline int __syncthreads_and(int predicate, int line = __builtin_LINE()) { return shim::wait_block(!predicate, line) == 0; }
static inline int __syncthreads_count(int predicate, int line = __builtin_LINE()) { return shim::wait_block(predicate, line); }
static inline void __syncwarp(unsigned mask = ~0u) { shim::exchange(mask, "", 1, shim::SYNCHRONIZE); }

template <class T> static inline T shim_take(unsigned mask, T x, int from)
{
    shim::Given given = shim::exchange(mask, &x, sizeof x, shim::SHUFFLE);
    T got = x;
    if (!(given.present >> from & 1)) shim::missing_lane(from);
    else memcpy(&got, given.lane[from], sizeof got);
    return got;
}
/* Beyond the end of its segment of `width` lanes, or before its beginning, a lane gets its own value. */
template <class T> static inline T __shfl_sync(unsigned mask, T x, int from, int width = 32)
{
    return shim_take(mask, x, (shim::lane() & -width) + (from & (width - 1)));
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32)
{
    int from = shim::lane() ^ bits;
    return shim_take(mask, x, from <= (shim::lane() | (width - 1)) ? from : shim::lane());
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T x, int step, int width = 32)
{
    int from = shim::lane() + step;
    return shim_take(mask, x, from <= (shim::lane() | (width - 1)) ? from : shim::lane());
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T x, int step, int width = 32)
{
    int from = shim::lane() - step;
    return shim_take(mask, x, from >= (shim::lane() & -width) ? from : shim::lane());
}
static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    shim::Given given = shim::exchange(mask, &predicate, sizeof predicate, shim::VOTE);
    unsigned votes = 0;
    for (int i = 0; i < 32; i++) {
        int each;
        memcpy(&each, given.lane[i], sizeof each);
        votes |= (unsigned)(given.present >> i & 1 && each) << i;
    }
    return votes;
}
static inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
static inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

/* Vectors: aligned, or complained about. */
template <class V, class T> static __attribute__((always_inline)) inline V shim_load(const T *p)
{
    V v = {};
    if (shim::touch_global(p, sizeof(V), shim::READ)) memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> static __attribute__((always_inline)) inline void shim_store(T *p, V v)
{
    if (shim::touch_global(p, sizeof(V), shim::WRITE)) memcpy((void *)p, &v, sizeof v);
}
template <class V, class T> static __attribute__((always_inline)) inline V shim_load_shared(const T *p)
{
    V v = {};
    if (shim::touch_shared(p, sizeof(V), shim::READ)) memcpy(&v, p, sizeof v);
    return v;
}
template <class V, class T> static __attribute__((always_inline)) inline void shim_store_shared(T *p, V v)
{
    if (shim::touch_shared(p, sizeof(V), shim::WRITE)) memcpy((void *)p, &v, sizeof v);
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
