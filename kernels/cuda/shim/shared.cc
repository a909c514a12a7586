/*
 * shared.cc - shared memory, watched: who may meet whom at a place of it
 *
 * Time counts the barriers of a block and of its warps.  An access is ordered before another one by another thread where the block
 * passed a barrier in between, or where both are of one warp and that warp passed a __syncwarp.  It is enough to remember the last
 * write and the reads since the last barrier: a write that another one covered was ordered before it, or complained about.
 * Of reads one thread is remembered, or that several lanes of a warp, or several warps, read.  What happens first on the host
 * does not matter, so a missing barrier shows in every order of the threads.
 */
#include "kernels/cuda/shim/internal.h"

namespace shim {

static const unsigned SEVERAL = 0x8000, SEVERAL_WARPS = 0xffff, UNDER_WAY = 0x4000;      /* beside a thread's number */

static thread_local std::vector<Area *> areas;
static constinit thread_local Area *last[4];
static constinit thread_local unsigned next;

/* Granules start as words and become as small as the smallest access, so that neighbours in a word may belong to two threads. */
static void refine(Area *a, int shift)
{
    std::vector<Cell> fine((size_t)((a->bytes + (1 << shift) - 1) >> shift));
    for (size_t i = 0; i < fine.size(); i++) fine[i] = a->cell[i >> (a->shift - shift)];
    a->cell.swap(fine);
    a->shift = shift;
}

static void prepare(Area *a)
{
    a->shift = 2;
    a->cell.assign((size_t)(a->bytes + 3) / 4, Cell{ 0, 0, 0, 0 });
}

void begin_shared(int64_t bytes)
{
    Area *a = &block->dynamic_area;
    if (a->bytes == bytes) return;
    a->bytes = bytes;
    prepare(a);
}

void enter_shared(const void *first, int64_t bytes)
{
    for (Area *a : last)
        if (a && a->first == first) return;
    for (Area *a : areas)
        if (a->first == first) {
            last[next++ % 4] = a;
            return;
        }
    Area *a = new Area{ (const unsigned char *)first, bytes, 2, {} };
    prepare(a);
    areas.push_back(a);
    last[next++ % 4] = a;
}

static inline bool holds(const Area *a, const unsigned char *p) { return (uint64_t)(p - a->first) < (uint64_t)a->bytes; }

static Area *area_of(const unsigned char *p)
{
    if (holds(&block->dynamic_area, p)) return &block->dynamic_area;
    for (Area *a : last)
        if (a && holds(a, p)) return a;
    for (Area *a : areas)
        if (holds(a, p)) return last[next++ % 4] = a;
    return NULL;
}

/* The granules [from, to) of an access, or false with a complaint. */
struct Range { Cell *from, *to; };
static inline bool locate(Range *r, const unsigned char *p, int bytes, const char *what)
{
    Area *a = area_of(p);
    if (!a || p + bytes > a->first + a->bytes) return complain("%s outside of an array in shared memory", what), false;
    if ((uintptr_t)p & (unsigned)(bytes - 1)) return complain("%s of %d bytes of shared memory at an address that is not a multiple of it", what, bytes), false;
    if (bytes < 1 << a->shift) refine(a, bytes == 2 ? 1 : 0);
    r->from = &a->cell[(size_t)((p - a->first) >> a->shift)];
    r->to = r->from + (bytes >> a->shift);
    return true;
}

struct Me { unsigned thread, warp; uint32_t block_time, warp_time, now; };
static inline Me who()
{
    unsigned thread = (unsigned)running()->index;
    return { thread, thread / LANES, block->synchronized, block->warp[thread / LANES].synchronized, block->time };
}

/* Whether what `who` did at `time` is neither mine nor ordered before what I do now. */
static inline bool meets(const Me &me, uint32_t time, unsigned other)
{
    if (time < me.block_time || other == me.thread) return false;
    if (other == SEVERAL_WARPS) return true;
    return (other & (MOST_THREADS - 1)) / LANES != me.warp || time >= me.warp_time;
}

static void complain_of(const char *what, const char *first, unsigned other)
{
    if (other & SEVERAL) complain("%s of shared memory after a %s of other threads, with no barrier between", what, first);
    else complain("%s of shared memory after a %s of thread %u, with no barrier between", what, first, other & (MOST_THREADS - 1));
}

static inline void remember_read(Cell *c, const Me &me)
{
    unsigned reader = c->reader;
    if (!meets(me, c->read, reader)) reader = me.thread;
    else if (reader != SEVERAL_WARPS) reader = (reader & (MOST_THREADS - 1)) / LANES == me.warp ? SEVERAL | me.warp * LANES : SEVERAL_WARPS;
    c->reader = (uint16_t)reader;
    c->read = me.now;
}

static inline void watch_read(Cell *c, const Me &me)
{
    if (c->written >= block->began && c->writer & UNDER_WAY) complain("read of what an asynchronous copy is bringing");
    else if (c->written < block->began) complain("read of shared memory that nothing wrote");
    else if (meets(me, c->written, c->writer)) complain_of("read", "write", c->writer);
    remember_read(c, me);
}

static inline void watch_write(Cell *c, const Me &me, unsigned under_way)
{
    if (c->written >= block->began) {
        if (c->writer & UNDER_WAY) complain("write to what an asynchronous copy is bringing");
        else if (meets(me, c->written, c->writer)) complain_of("write", "write", c->writer);
    }
    if (meets(me, c->read, c->reader)) complain_of("write", "read", c->reader);
    c->writer = (uint16_t)(me.thread | under_way);
    c->written = me.now;
}

bool touch_shared(const void *pointer, int bytes, Access access)
{
    if (counting) count_access(__builtin_return_address(0), pointer, bytes, SHARED_MEMORY, access);
    Range r;
    if (!locate(&r, (const unsigned char *)pointer, bytes, access == READ ? "read" : "write")) return false;
    const Me me = who();
    if (access == READ) for (Cell *c = r.from; c < r.to; c++) watch_read(c, me);
    else for (Cell *c = r.from; c < r.to; c++) watch_write(c, me, 0);
    return true;
}

void copy_begins(const void *p, int bytes)
{
    Range r;
    if (counting) count_access(__builtin_return_address(0), p, bytes, SHARED_MEMORY, WRITE);
    if (!locate(&r, (const unsigned char *)p, bytes, "copy")) return;
    const Me me = who();
    for (Cell *c = r.from; c < r.to; c++) watch_write(c, me, UNDER_WAY);
}

/* The copy is this thread's write, seen by it alone until the next barrier. */
bool copy_arrives(const void *p, int bytes)
{
    Area *a = area_of((const unsigned char *)p);
    if (!a || (const unsigned char *)p + bytes > a->first + a->bytes) return false;
    const Me me = who();
    for (int64_t i = ((const unsigned char *)p - a->first) >> a->shift, end = i + (bytes >> a->shift); i < end; i++)
        a->cell[(size_t)i] = { me.now, a->cell[(size_t)i].read, (uint16_t)me.thread, a->cell[(size_t)i].reader };
    return true;
}

}   // namespace shim
