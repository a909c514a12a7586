/*
 * internal.h - what the files of the shim share
 */
#ifndef KERNELS_CUDA_SHIM_INTERNAL_H
#define KERNELS_CUDA_SHIM_INTERNAL_H

#include <atomic>
#include <vector>

#include "kernels/cuda/shim/shim.h"

namespace shim {

enum { LANES = 32, MOST_THREADS = 1024, MOST_SHARED = 232448, STACK = 128 * 1024 };
enum State { READY, WAITS_FOR_WARP, WAITS_FOR_BLOCK, DONE };

struct Pending { void *to; const void *from; int bytes; bool zeros; };

struct Fiber {
    Thread self;                            /* first: shim::current points to it */
    int index;
    State state;
    int exchanges;                          /* so far, for the parity of its warp's payloads */
    void *stack_pointer;
    char *stack;
    std::vector<Pending> pending;           /* copies on their way, oldest first */
    std::vector<size_t> group_end;          /* in pending, of every committed group; those before `arrived` are there */
    size_t arrived;
};

struct Warp {
    unsigned char payload[2][LANES][PAYLOAD];
    unsigned present[2];                    /* lanes that gave something */
    int waiting, alive, meeting;            /* lanes; what the ones that wait are waiting for */
    uint32_t synchronized;                  /* time of its last __syncwarp */
};

/* What is known of a granule of shared memory: when it was last written and read, and by whom. */
struct Cell { uint32_t written, read; uint16_t writer, reader; };
struct Area {
    const unsigned char *first;
    int64_t bytes;
    int shift;                              /* granules of 1 << shift bytes */
    std::vector<Cell> cell;
};

/* A block at work on a host thread.  `time` counts barriers of the block and of its warps and is never reset: what happened
 * before `began` was another block's. */
struct Block {
    const char *kernel;
    Fiber fiber[MOST_THREADS];
    Warp warp[MOST_THREADS / LANES];
    int threads, waiting, alive, predicates, outcome, line;
    uint32_t number, launch, time, began, synchronized;
    void *scheduler;
    const std::function<void()> *entry;
    alignas(128) unsigned char dynamic[MOST_SHARED];
    Area dynamic_area;
};

extern constinit thread_local Block *block;         /* NULL outside of kernels */
static inline Fiber *running() { return (Fiber *)current; }
static inline int running_lane() { return running()->index % LANES; }
static inline Warp *running_warp() { return &block->warp[running()->index / LANES]; }

void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* stacks.cc: entry runs on the fiber's stack when it is next turned to; the scheduler turns to a fiber of its block, a fiber back */
void start_fiber(Fiber *f, void (*entry)());
void to_fiber(Fiber *f);
void to_scheduler(Fiber *f);

/* shared.cc: a new block has `bytes` of dynamic shared memory, and nothing is written yet */
void begin_shared(int64_t bytes);
void copy_begins(const void *p, int bytes);         /* from here on nobody may touch it ... */
bool copy_arrives(const void *p, int bytes);        /* ... until here; false: there is no such place */

/* traffic.cc */
extern std::atomic<bool> counting;
void count_access(const void *site, const void *p, int bytes, Space space, Access access);
void count_block_end();
void count_launch(const char *name, const void *kernel, int threads, int64_t shared);
void count_launch_end();

}   // namespace shim

#endif
