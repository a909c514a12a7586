/*
 * memory.cc - global memory, watched: whose an access is, and whether another block of the launch was there
 *
 * Every pair of bytes remembers the launch and the block that wrote it last.  Two blocks have no order within a launch, so neither
 * may read or write what the other wrote; a block that writes what another one read before it shows in another order of the blocks.
 */
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdlib.h>
#include <time.h>

#include "kernels/cuda/shim/internal.h"

namespace shim {

enum { GUARD_BYTES = 256, GRANULE = 2 };
struct Allocation { size_t bytes; uint64_t *wrote; };   /* wrote: launch << 32 | block, of each granule */
static std::map<uintptr_t, Allocation> allocations;     /* by first byte */
static std::shared_mutex allocations_lock;
static std::atomic<uint64_t> allocations_version;
static std::atomic<int64_t> free_memory = (int64_t)8 << 30;

struct Place { uintptr_t low, bytes; uint64_t *wrote; };

static bool find(uintptr_t p, Place *place)
{
    std::shared_lock<std::shared_mutex> lock(allocations_lock);
    auto after = allocations.upper_bound(p);
    if (after == allocations.begin()) return false;
    --after;
    *place = { after->first, after->second.bytes, after->second.wrote };
    return p - place->low < place->bytes;
}

static constinit thread_local Place last[8];
static constinit thread_local uint64_t version;
static constinit thread_local unsigned next;

static __attribute__((noinline)) const Place *look_up(uintptr_t p, int bytes, const char *what)
{
    Place place;
    if (version != allocations_version) {
        for (Place &l : last) l = { 0, 0, NULL };
        version = allocations_version;
    }
    if (!find(p, &place)) return complain("%s of memory that is not the device's", what), nullptr;
    if (p - place.low + (unsigned)bytes > place.bytes) return complain("%s across the end of an allocation", what), nullptr;
    last[next % 8] = place;
    return &last[next++ % 8];
}

/* Most accesses fall where one of the last few did. */
static inline const Place *place_of(uintptr_t p, int bytes, const char *what)
{
    if (version == allocations_version.load(std::memory_order_relaxed))
        for (const Place &l : last)
            if (p - l.low + (unsigned)bytes <= l.bytes && p >= l.low) return &l;
    return look_up(p, bytes, what);
}

/* Host threads run blocks side by side: each granule is read and written as a whole. */
static inline void watch_blocks(uint64_t *wrote, int granules, Access access)
{
    const uint64_t mine = (uint64_t)block->launch << 32 | block->number;
    uint64_t other = mine;
    for (int i = 0; i < granules; i++) {
        uint64_t before = __atomic_load_n(&wrote[i], __ATOMIC_RELAXED);
        if (before >> 32 == mine >> 32 && before != mine) other = before;
        if (access == WRITE) __atomic_store_n(&wrote[i], mine, __ATOMIC_RELAXED);
    }
    if (other != mine)
        complain("%s of global memory that block number %u wrote in the same launch", access == READ ? "read" : "write", (unsigned)other);
}

bool touch_global(const void *pointer, int bytes, Access access)
{
    const char *what = access == READ ? "read" : "write";
    if (counting && block) count_access(__builtin_return_address(0), pointer, bytes, GLOBAL, access);
    uintptr_t p = (uintptr_t)pointer;
    if (p & (unsigned)(bytes - 1)) return complain("%s of %d bytes at an address that is not a multiple of it", what, bytes), false;
    const Place *place = place_of(p, bytes, what);
    if (!place) return false;
    if (block) watch_blocks(place->wrote + (p - place->low) / GRANULE, (bytes + GRANULE - 1) / GRANULE, access);
    return true;
}

}   // namespace shim

/* ---- the runtime's memory ---- */

cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t)
{
    using namespace shim;
    std::unique_lock<std::shared_mutex> lock(allocations_lock);
    if ((int64_t)bytes > free_memory) return cudaErrorMemoryAllocation;
    size_t whole = (bytes + 255) / 256 * 256;
    unsigned char *p = (unsigned char *)aligned_alloc(256, whole + 2 * GUARD_BYTES);
    if (!p) return cudaErrorMemoryAllocation;
    memset(p, 0xff, whole + 2 * GUARD_BYTES);           /* NaN as float and as double */
    free_memory -= (int64_t)bytes;
    allocations[(uintptr_t)p + GUARD_BYTES] = { bytes, (uint64_t *)calloc(whole / GRANULE, sizeof(uint64_t)) };
    allocations_version++;
    *out = p + GUARD_BYTES;
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t)
{
    using namespace shim;
    std::unique_lock<std::shared_mutex> lock(allocations_lock);
    auto it = allocations.find((uintptr_t)p);
    if (it == allocations.end()) {
        lock.unlock();
        complain("release of memory that was not allocated, or of a part of it");
        return cudaSuccess;
    }
    free_memory += (int64_t)it->second.bytes;
    free(it->second.wrote);
    allocations.erase(it);
    allocations_version++;
    free((unsigned char *)p - GUARD_BYTES);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    *out = malloc(bytes);
    return *out ? cudaSuccess : cudaErrorMemoryAllocation;
}

static void check_range(const char *what, const void *p, size_t bytes)
{
    shim::Place place;
    if (!shim::find((uintptr_t)p, &place) || (uintptr_t)p - place.low + bytes > place.bytes) shim::complain("%s that is not the device's memory", what);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t)
{
    if (kind != cudaMemcpyDeviceToHost) check_range("a copy to memory", to, bytes);
    if (kind != cudaMemcpyHostToDevice) check_range("a copy from memory", from, bytes);
    memmove(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    check_range("a fill of memory", to, bytes);
    memset(to, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *all)
{
    *free_bytes = (size_t)shim::free_memory.load();
    *all = (size_t)8 << 30;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { *event = new double(0); return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    *event = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
    *milliseconds = (float)(1e3 * (*end - *begin));
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t status)
{
    return status == cudaErrorMemoryAllocation ? "out of memory" : status == cudaSuccess ? "no error" : "a failure";
}

extern "C" void shim_set_free_memory(int64_t bytes) { shim::free_memory = bytes; }
