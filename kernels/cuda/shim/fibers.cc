/*
 * fibers.cc - blocks of threads on the host: who runs, who waits, and in which order
 */
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <random>

#include "kernels/cuda/shim/internal.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

void device_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

namespace shim {

constinit thread_local Block *block;
constinit thread_local Thread *current;
constinit thread_local Extent block_dim, grid_dim;
static std::atomic<int> complaints;
static std::atomic<bool> quiet;
static std::atomic<uint32_t> launches;
static int order = -1;

void complain(const char *format, ...)
{
    int before = complaints++;
    if (quiet) return;
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!block) {
        if (before < 10) fprintf(stderr, "shim: %s\n", text);
        return device_fail("the launch shim complains: %s", text);
    }
    const Thread &t = *current;
    if (before < 10)
        fprintf(stderr, "shim: %s, block (%u, %u, %u), thread (%u, %u, %u): %s\n", block->kernel, t.block.x, t.block.y, t.block.z,
                t.thread.x, t.thread.y, t.thread.z, text);
    device_fail("the launch shim complains of %s: %s", block->kernel, text);
}

unsigned char *dynamic_shared() { return block->dynamic; }
int lane() { return running_lane(); }

/* ---- threads ---- */

static void release_warp(Warp *w, int first);

static void run_thread()
{
    Fiber *f = running();
    (*block->entry)();
    f->state = DONE;
    block->alive--;
    Warp *w = running_warp();
    w->alive--;
    if (w->waiting > 0 && w->waiting == w->alive) release_warp(w, f->index / LANES * LANES);
    to_scheduler(f);
}

/* ---- waiting: threads that have ended are not waited for, as on a GPU since Volta ---- */

static void release_block(int n)
{
    block->waiting = 0;
    block->synchronized = ++block->time;
    block->outcome = block->predicates;
    for (int t = 0; t < n; t++)
        if (block->fiber[t].state == WAITS_FOR_BLOCK) block->fiber[t].state = READY;
}

/* Returns how many threads gave a predicate that is not 0. */
int wait_block(int predicate, int line)
{
    Fiber *f = running();
    if (block->waiting++ == 0) block->predicates = 0, block->line = line;
    else if (block->line != line) complain("waits at the barrier of line %d while others wait at that of line %d", line, block->line);
    block->predicates += predicate != 0;
    f->state = WAITS_FOR_BLOCK;
    to_scheduler(f);
    return block->outcome;
}

static void release_warp(Warp *w, int first)
{
    w->waiting = 0;
    if (w->meeting == SYNCHRONIZE) w->synchronized = ++block->time;
    for (int t = first; t < first + LANES; t++)
        if (block->fiber[t].state == WAITS_FOR_WARP) block->fiber[t].state = READY;
}

Given exchange(unsigned mask, const void *mine, int bytes, int meeting)
{
    Fiber *f = running();
    Warp *w = running_warp();
    int parity = f->exchanges++ & 1;
    if (mask != ~0u) complain("an exchange of a part of a warp, which the shim does not know");
    if (w->waiting == 0) w->present[parity] = 0, w->meeting = meeting;
    else if (w->meeting != meeting) complain("lanes of a warp meet at different exchanges");
    memcpy(w->payload[parity][running_lane()], mine, (size_t)bytes);
    w->present[parity] |= 1u << running_lane();
    if (++w->waiting < w->alive) {
        f->state = WAITS_FOR_WARP;
        to_scheduler(f);
    } else
        release_warp(w, f->index / LANES * LANES);
    return { w->payload[parity], w->present[parity] };
}

void missing_lane(int from) { complain("takes what lane %d of its warp has, which does not take part", from); }

/* ---- a block ---- */

static int chosen_order()
{
    if (order < 0) {
        const char *name = getenv("LINEARITY_SHIM_ORDER");
        order = !name ? 0 : !strcmp(name, "reverse") ? 1 : !strcmp(name, "random") ? 2 : 0;
    }
    return order;
}

static void arrange(int *at, int n, uint32_t seed)
{
    int how = chosen_order();
    for (int i = 0; i < n; i++) at[i] = how == 1 ? n - 1 - i : i;
    if (how != 2) return;
    std::minstd_rand draw(seed + 1);
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(draw() % (unsigned)(i + 1)), t = at[i];
        at[i] = at[j];
        at[j] = t;
    }
}

/* A prime step runs through all blocks once unless their number is a multiple of it. */
static int64_t turn_of(int64_t i, int64_t blocks)
{
    enum { STEP = 7919 };
    int how = chosen_order();
    return how == 1 ? blocks - 1 - i : how == 2 && blocks % STEP ? i * STEP % blocks : i;
}

static void stuck(int n)
{
    for (int t = 0; t < n; t++)
        if (block->fiber[t].state == WAITS_FOR_WARP || block->fiber[t].state == WAITS_FOR_BLOCK) {
            current = &block->fiber[t].self;
            complain("waits for threads of its %s that never come", block->fiber[t].state == WAITS_FOR_WARP ? "warp" : "block");
            break;
        }
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(block->fiber[0].stack, (size_t)MOST_THREADS * STACK);     /* frames that nobody returns from */
#endif
}

static void begin_threads(dim3 at, int n)
{
    dim3 thread(0, 0, 0);
    for (int t = 0; t < n; t++) {
        Fiber *f = &block->fiber[t];
        f->self = { thread, at };
        if (++thread.x == block_dim.x) {
            thread.x = 0;
            if (++thread.y == block_dim.y) thread.y = 0, thread.z++;
        }
        f->state = READY;
        f->exchanges = 0;
        f->pending.clear();
        f->group_end.clear();
        f->arrived = 0;
        start_fiber(f, run_thread);
    }
    for (int t = n; t % LANES; t++) block->fiber[t].state = DONE;
    for (int w = 0; w * LANES < n; w++) {
        Warp *warp = &block->warp[w];
        warp->waiting = 0;
        warp->alive = n - w * LANES < LANES ? n - w * LANES : LANES;
        warp->synchronized = block->time;
    }
}

static void run_block(const std::function<void()> &entry, dim3 at, int n, int64_t shared)
{
    static thread_local int turn[MOST_THREADS];
    block->threads = block->alive = n;
    block->waiting = 0;
    block->began = block->synchronized = ++block->time;
    block->entry = &entry;
    begin_shared(shared);
    arrange(turn, n, block->number);
    begin_threads(at, n);
    while (block->alive > 0) {
        bool ran = false;
        for (int i = 0; i < n; i++) {
            Fiber *f = &block->fiber[turn[i]];
            if (f->state != READY) continue;
            ran = true;
            current = &f->self;
            to_fiber(f);
        }
        if (block->waiting > 0 && block->waiting == block->alive) release_block(n);
        else if (!ran && block->alive > 0) {
            stuck(n);
            break;
        }
    }
    if (counting) count_block_end();
}

static Block *make_block()
{
    Block *b = (Block *)mmap(NULL, sizeof(Block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *stacks = (char *)mmap(NULL, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b == MAP_FAILED || stacks == MAP_FAILED) abort();
    new (b) Block();
    for (int t = 0; t < MOST_THREADS; t++) b->fiber[t].index = t, b->fiber[t].stack = stacks + (size_t)t * STACK;
    b->dynamic_area.first = b->dynamic;
    return b;
}

void launch(const char *name, const void *kernel, const char *file, int line, dim3 grid, dim3 threads, int64_t shared,
            const std::function<void()> &thread)
{
    int64_t n = (int64_t)threads.x * threads.y * threads.z, blocks = (int64_t)grid.x * grid.y * grid.z;
    if (n < 1 || n > MOST_THREADS || threads.z > 64 || blocks < 1 || blocks > UINT32_MAX || grid.x > INT32_MAX || grid.y > 65535
        || grid.z > 65535 || shared < 0 || shared > MOST_SHARED)
        return device_fail("the launch of %s at %s:%d asks for %lld blocks of %lld threads with %lld bytes of shared memory", name, file, line,
                           (long long)blocks, (long long)n, (long long)shared);
    static thread_local Block *mine;
    const uint32_t number = ++launches;
    if (counting) count_launch(name, kernel, (int)n, shared);
    #pragma omp parallel for schedule(dynamic) if (!counting && blocks > 1)
    for (int64_t i = 0; i < blocks; i++) {
        int64_t at = turn_of(i, blocks);
        if (!mine) mine = make_block();
        block = mine;
        block->kernel = name;
        block->launch = number;
        block->number = (uint32_t)at;
        block_dim = { threads.x, threads.y, threads.z };
        grid_dim = { grid.x, grid.y, grid.z };
        run_block(thread, dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / ((int64_t)grid.x * grid.y))), (int)n, shared);
        block = NULL;
        current = NULL;
    }
    if (counting) count_launch_end();
}

/* ---- copies that arrive late ---- */

void copy_later(void *to, const void *from, int bytes, bool zeros)
{
    if (!zeros && !touch_global(from, bytes, READ)) return;
    copy_begins(to, bytes);
    running()->pending.push_back({ to, from, bytes, zeros });
}

void commit_copies() { running()->group_end.push_back(running()->pending.size()); }

void wait_copies(int groups_left)
{
    Fiber *f = running();
    if ((int64_t)f->group_end.size() <= groups_left) return;
    size_t end = f->group_end[f->group_end.size() - 1 - (size_t)groups_left];
    for (; f->arrived < end; f->arrived++) {
        const Pending &c = f->pending[f->arrived];
        if (!copy_arrives(c.to, c.bytes)) continue;
        if (c.zeros) memset(c.to, 0, (size_t)c.bytes);
        else memcpy(c.to, c.from, (size_t)c.bytes);
    }
    if (f->arrived < f->pending.size()) return;
    f->pending.clear();
    f->group_end.clear();
    f->arrived = 0;
}

}   // namespace shim

extern "C" int shim_complaints(void) { return shim::complaints; }
extern "C" void shim_quiet(int q) { shim::quiet = q != 0; }
extern "C" void shim_set_order(int o) { shim::order = o; }
