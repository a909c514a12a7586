/*
 * internal.h - what the files of the shim share
 */
#ifndef KERNELS_CUDA_SHIM_INTERNAL_H
#define KERNELS_CUDA_SHIM_INTERNAL_H

#include <atomic>
#include <vector>

#include "kernels/cuda/shim/shim.h"

namespace shim {

enum { MOST_THREADS = 1024, MOST_SHARED = 232448, STACK = 128 * 1024 };
enum State { READY, WAITS_FOR_WARP, WAITS_FOR_BLOCK, DONE };

struct Pending { void *to; const void *from; int bytes; bool zeros; };

struct Fiber {
    void *stack_pointer;
    char *stack;
    Thread self;
    State state;
    int predicate;
    int exchanges;                          /* so far, for the parity of its warp's payloads */
    std::vector<std::vector<Pending>> groups;   /* copies committed, oldest first; the last one is open */
};

struct Warp {
    unsigned char payload[2][32][PAYLOAD];
    int waiting;
    uint64_t epoch;
};

/* A block at work on a host thread. */
struct Block {
    const char *kernel;
    Fiber fiber[MOST_THREADS];
    Warp warp[MOST_THREADS / 32];
    int threads, waiting, alive, current, any[2];
    uint64_t epoch, first_epoch;            /* barriers passed, never reset: those of a block start at first_epoch */
    void *scheduler;
    const std::function<void()> *entry;
    alignas(16) unsigned char dynamic[MOST_SHARED];
    int64_t dynamic_bytes;
};

extern thread_local Block *block;           /* NULL outside of kernels */

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
void forget_shared();                       /* a new block: nothing is written yet */
void count_access(const void *site, const void *p, int bytes, Space space, Access access);
void count_warp_end();
void traffic_begin(const char *kernel);
extern std::atomic<bool> counting;

}   // namespace shim

#endif
