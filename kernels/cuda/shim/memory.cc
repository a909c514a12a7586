/*
 * memory.cc - whose memory an access falls into, and whether it may
 *
 * Shared memory is watched word by word: who wrote it last and who read it last, at which barrier of the block and of the warp.
 * Two threads meet at a word without a barrier between them where neither count has moved on.
 */
#include <map>
#include <mutex>
#include <shared_mutex>
#include <stdlib.h>
#include <time.h>

#include "kernels/cuda/shim/internal.h"

namespace shim {

/* ---- global memory ---- */

enum { GUARD_BYTES = 256 };
static std::map<uintptr_t, size_t> allocations;         /* first byte -> bytes */
static std::shared_mutex allocations_lock;
static std::atomic<uint64_t> allocations_version;
static int64_t free_memory = (int64_t)8 << 30;

static bool find(uintptr_t p, uintptr_t *low, uintptr_t *high)
{
    std::shared_lock<std::shared_mutex> lock(allocations_lock);
    auto after = allocations.upper_bound(p);
    if (after == allocations.begin()) return false;
    --after;
    *low = after->first;
    *high = after->first + after->second;
    return p < *high;
}

/* Most accesses fall where one of the last few did. */
void touch_global(const void *pointer, int bytes, Access access)
{
    enum { REMEMBERED = 8 };
    static thread_local struct { uintptr_t low, high; } last[REMEMBERED];
    static thread_local uint64_t version;
    static thread_local int next;
    if (counting && block) count_access(__builtin_return_address(0), pointer, bytes, GLOBAL, access);      /* the library touches memory too */
    uintptr_t p = (uintptr_t)pointer;
    if (p % (unsigned)bytes) complain("%s of %d bytes at an address that is not a multiple of it", access == READ ? "read" : "write", bytes);
    if (version != allocations_version) {
        for (auto &l : last) l = { 0, 0 };
        version = allocations_version;
    }
    for (const auto &l : last)
        if (p >= l.low && p + (unsigned)bytes <= l.high) return;
    uintptr_t low, high;
    if (!find(p, &low, &high)) return complain("%s of memory that is not the device's", access == READ ? "read" : "write");
    if (p + (unsigned)bytes > high) return complain("%s across the end of an allocation", access == READ ? "read" : "write");
    last[next++ % REMEMBERED] = { low, high };
}

/* ---- shared memory ---- */

struct Word {
    uint64_t written, written_warp, read, read_warp;    /* epochs; written < first_epoch of the block: not yet */
    uint16_t writer, reader;
    bool readers;                                       /* of more than one warp since then */
};

struct Area { const unsigned char *first; int64_t bytes; std::vector<Word> word; };
static thread_local std::vector<Area> areas;
static thread_local uint64_t last_area;

void forget_shared()
{
    for (Area &a : areas)
        if (a.first == block->dynamic) {
            a.bytes = block->dynamic_bytes;
            if ((int64_t)a.word.size() * 4 < a.bytes) a.word.resize((size_t)(a.bytes + 3) / 4);
        }
}

static Area *area_of(const unsigned char *p)
{
    if (last_area < areas.size() && p >= areas[last_area].first && p < areas[last_area].first + areas[last_area].bytes) return &areas[last_area];
    for (size_t i = 0; i < areas.size(); i++)
        if (p >= areas[i].first && p < areas[i].first + areas[i].bytes) {
            last_area = i;
            return &areas[i];
        }
    return NULL;
}

void enter_shared(const void *first, int64_t bytes)
{
    const unsigned char *p = (const unsigned char *)first;
    Area *a = area_of(p);
    if (a && a->first == p) return;
    areas.push_back({ p, bytes, std::vector<Word>((size_t)(bytes + 3) / 4) });
}

static void meet(const char *what, int other, uint64_t epoch, uint64_t warp_epoch)
{
    int me = block->current;
    if (other == me || epoch < block->epoch) return;
    if (other / 32 == me / 32 && warp_epoch < block->warp[me / 32].epoch) return;
    complain("%s of thread %d at the same word of shared memory, with no barrier between", what, other);
}

void touch_shared(const void *pointer, int bytes, Access access)
{
    const unsigned char *p = (const unsigned char *)pointer;
    if (counting) count_access(__builtin_return_address(0), pointer, bytes, SHARED_MEMORY, access);
    if (p >= block->dynamic && p < block->dynamic + MOST_SHARED) enter_shared(block->dynamic, block->dynamic_bytes);
    if ((uintptr_t)p % (unsigned)bytes) complain("%d bytes of shared memory at an address that is not a multiple of it", bytes);
    Area *a = area_of(p);
    if (!a || p + bytes > a->first + a->bytes) return complain("%s outside of an array in shared memory", access == READ ? "read" : "write");
    const bool part = bytes < 4;            /* half words: neighbours may belong to two threads */
    const int me = block->current;
    const uint64_t warp_epoch = block->warp[me / 32].epoch;
    for (int64_t i = (p - a->first) / 4; i <= (p - a->first + bytes - 1) / 4; i++) {
        Word *w = &a->word[(size_t)i];
        const bool written = w->written >= block->first_epoch, read = w->read >= block->first_epoch;
        if (access == READ) {
            if (!written) complain("read of shared memory that nothing wrote");
            else if (!part) meet("a write", w->writer, w->written, w->written_warp);
            if (!read || w->read < block->epoch) w->readers = false;
            else if (w->reader / 32 != me / 32) w->readers = true;
            w->reader = (uint16_t)me, w->read = block->epoch, w->read_warp = warp_epoch;
        } else {
            if (written && !part) meet("a write", w->writer, w->written, w->written_warp);
            if (read && !part) {
                if (w->readers && w->read >= block->epoch) complain("reads of several warps at the same word of shared memory, with no barrier between");
                else meet("a read", w->reader, w->read, w->read_warp);
            }
            w->writer = (uint16_t)me, w->written = block->epoch, w->written_warp = warp_epoch;
        }
    }
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
    allocations[(uintptr_t)p + GUARD_BYTES] = bytes;
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
    free_memory += (int64_t)it->second;
    allocations.erase(it);
    allocations_version++;
    free((unsigned char *)p - GUARD_BYTES);
    return cudaSuccess;
}

static void check_range(const char *what, const void *p, size_t bytes)
{
    uintptr_t low, high;
    if (!shim::find((uintptr_t)p, &low, &high) || (uintptr_t)p + bytes > high) shim::complain("%s that is not the device's memory", what);
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
    *free_bytes = (size_t)shim::free_memory;
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
