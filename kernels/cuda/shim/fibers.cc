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

void device_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace shim {

thread_local Block *block;
thread_local dim3 block_dim, grid_dim;
static std::atomic<int> complaints;
static std::atomic<bool> quiet;
static int order = -1;

void complain(const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int before = complaints++;
    if (quiet) return;
    if (block) {
        const Thread &t = self();
        if (before < 10)
            fprintf(stderr, "shim: %s, block (%u, %u, %u), thread %u: %s\n", block->kernel, t.block.x, t.block.y, t.block.z, t.thread.x, text);
        device_fail("the launch shim complains of %s: %s", block->kernel, text);
    } else {
        if (before < 10) fprintf(stderr, "shim: %s\n", text);
        device_fail("the launch shim complains: %s", text);
    }
}

Thread &self() { return block->fiber[block->current].self; }
int lane() { return block->current % 32; }
unsigned char *dynamic_shared() { return block->dynamic; }

/* ---- switching stacks ---- */

#ifdef __x86_64__
extern "C" void shim_switch(void **save, void *load);
asm(R"(
.text
.globl shim_switch
.hidden shim_switch
.type shim_switch, @function
shim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size shim_switch, .-shim_switch
)");

static void start_fiber(Fiber *f, void (*entry)())
{
    void **top = (void **)(f->stack + STACK) - 1;       /* 16-byte alignment as after a call */
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = NULL;
    f->stack_pointer = top;
}
static void to_fiber(Fiber *f) { shim_switch(&block->scheduler, f->stack_pointer); }
static void to_scheduler(Fiber *f) { shim_switch(&f->stack_pointer, block->scheduler); }
#else
static void start_fiber(Fiber *f, void (*entry)())
{
    ucontext_t *c = f->stack_pointer ? (ucontext_t *)f->stack_pointer : (ucontext_t *)malloc(sizeof *c);
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = STACK;
    c->uc_link = NULL;
    makecontext(c, entry, 0);
    f->stack_pointer = c;
}
static void to_fiber(Fiber *f)
{
    static thread_local ucontext_t scheduler;
    block->scheduler = &scheduler;
    swapcontext(&scheduler, (ucontext_t *)f->stack_pointer);
}
static void to_scheduler(Fiber *f) { swapcontext((ucontext_t *)f->stack_pointer, (ucontext_t *)block->scheduler); }
#endif

static void run_thread()
{
    Fiber *f = &block->fiber[block->current];
    (*block->entry)();
    f->state = DONE;
    to_scheduler(f);
}

/* ---- waiting ---- */

static void release_block(int n)
{
    block->waiting = 0;
    block->epoch++;
    for (int t = 0; t < n; t++)
        if (block->fiber[t].state == WAITS_FOR_BLOCK) block->fiber[t].state = READY;
}

int wait_block_or(int predicate)
{
    Fiber *f = &block->fiber[block->current];
    int *any = &block->any[block->epoch & 1];           /* the first thread may stand at the next barrier before the last has read */
    if (block->waiting++ == 0) *any = 0;
    *any |= predicate != 0;
    f->state = WAITS_FOR_BLOCK;
    to_scheduler(f);
    return *any;
}

void wait_block() { wait_block_or(0); }

const unsigned char (*exchange(const void *mine, int bytes))[PAYLOAD]
{
    Fiber *f = &block->fiber[block->current];
    Warp *w = &block->warp[block->current / 32];
    unsigned char (*payload)[PAYLOAD] = w->payload[f->exchanges++ & 1];
    memcpy(payload[block->current % 32], mine, (size_t)bytes);
    if (++w->waiting < 32) {
        f->state = WAITS_FOR_WARP;
        to_scheduler(f);
    } else {
        w->waiting = 0;
        w->epoch++;
        int first = block->current / 32 * 32;
        for (int t = first; t < first + 32; t++)
            if (block->fiber[t].state == WAITS_FOR_WARP) block->fiber[t].state = READY;
    }
    return payload;
}

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

static void stuck(int n)
{
    for (int t = 0; t < n; t++)
        if (block->fiber[t].state == WAITS_FOR_WARP || block->fiber[t].state == WAITS_FOR_BLOCK) {
            block->current = t;
            complain("waits for threads of its %s that never come", block->fiber[t].state == WAITS_FOR_WARP ? "warp" : "block");
            return;
        }
}

static void run_block(const std::function<void()> &entry, dim3 at, int n, uint32_t seed)
{
    static thread_local int turn[MOST_THREADS];
    block->threads = block->alive = n;
    block->waiting = 0;
    block->first_epoch = ++block->epoch;
    block->entry = &entry;
    forget_shared();
    arrange(turn, n, seed);
    for (int w = 0; w < (n + 31) / 32; w++) block->warp[w].waiting = 0, block->warp[w].epoch = block->epoch;
    for (int t = 0; t < n; t++) {
        Fiber *f = &block->fiber[t];
        f->self = { dim3((unsigned)t % block_dim.x, (unsigned)t / block_dim.x % block_dim.y, (unsigned)t / (block_dim.x * block_dim.y)), at };
        f->state = READY;
        f->exchanges = 0;
        f->groups.clear();
        start_fiber(f, run_thread);
    }
    while (block->alive > 0) {
        bool ran = false;
        for (int i = 0; i < n; i++) {
            Fiber *f = &block->fiber[turn[i]];
            if (f->state != READY) continue;
            ran = true;
            block->current = turn[i];
            to_fiber(f);
            if (f->state == DONE) block->alive--;
        }
        if (block->waiting > 0 && block->waiting == block->alive) release_block(n);
        else if (!ran && block->alive > 0) { stuck(n); break; }
    }
    if (counting) count_warp_end();
}

static Block *make_block()
{
    Block *b = (Block *)mmap(NULL, sizeof(Block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *stacks = (char *)mmap(NULL, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b == MAP_FAILED || stacks == MAP_FAILED) abort();
    new (b) Block();
    for (int t = 0; t < MOST_THREADS; t++) b->fiber[t].stack = stacks + (size_t)t * STACK;
    return b;
}

void launch(const char *name, const char *file, int line, dim3 grid, dim3 threads, int64_t shared, const std::function<void()> &thread)
{
    int n = (int)(threads.x * threads.y * threads.z);
    int64_t blocks = (int64_t)grid.x * grid.y * grid.z;
    if (n < 1 || n > MOST_THREADS || blocks < 1 || grid.y > 65535 || grid.z > 65535 || shared > MOST_SHARED)
        return device_fail("the launch of %s at %s:%d asks for %lld blocks of %d threads with %lld bytes of shared memory", name, file, line,
                           (long long)blocks, n, (long long)shared);
    if (counting) traffic_begin(name);
    static thread_local Block *mine;
    #pragma omp parallel for schedule(dynamic) if (!counting && blocks > 1)
    for (int64_t i = 0; i < blocks; i++) {
        int64_t at = chosen_order() == 1 ? blocks - 1 - i : i;
        if (!mine) mine = make_block();
        block = mine;
        block->kernel = name;
        block->dynamic_bytes = shared;
        block_dim = threads;
        grid_dim = grid;
        run_block(thread, dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y), (unsigned)(at / ((int64_t)grid.x * grid.y))), n, (uint32_t)at);
        block = NULL;
    }
}

/* ---- copies that arrive late ---- */

void copy_later(void *to, const void *from, int bytes, bool zeros)
{
    Fiber *f = &block->fiber[block->current];
    if (!zeros) touch_global(from, bytes, READ);
    if (f->groups.empty()) f->groups.emplace_back();
    f->groups.back().push_back({ to, from, bytes, zeros });
}

void commit_copies()
{
    Fiber *f = &block->fiber[block->current];
    if (f->groups.empty()) f->groups.emplace_back();
    f->groups.emplace_back();
}

void wait_copies(int groups_left)
{
    Fiber *f = &block->fiber[block->current];
    while ((int)f->groups.size() - 1 > groups_left) {
        for (const Pending &c : f->groups.front()) {
            touch_shared(c.to, c.bytes, WRITE);
            if (c.zeros) memset(c.to, 0, (size_t)c.bytes);
            else memcpy(c.to, c.from, (size_t)c.bytes);
        }
        f->groups.erase(f->groups.begin());
    }
}

}   // namespace shim

extern "C" int shim_complaints(void) { return shim::complaints; }
extern "C" void shim_quiet(int q) { shim::quiet = q != 0; }
extern "C" void shim_set_order(int o) { shim::order = o; }
