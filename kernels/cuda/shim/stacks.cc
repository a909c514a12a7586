/*
 * stacks.cc - a stack of its own for each thread of a block, and the way from one to another: by hand on x86-64, elsewhere by the C library
 */
#include <stdlib.h>

#include "kernels/cuda/shim/internal.h"

#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace shim {

/* Tops of stacks that are a power of two apart would share the few ways of one set of the cache. */
static char *top_of(const Fiber *f) { return f->stack + STACK - f->index % 61 * 192; }

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

void start_fiber(Fiber *f, void (*entry)())
{
    void **top = (void **)top_of(f) - 1;                /* a function begins 8 bytes beside a multiple of 16 */
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) *--top = NULL;
    f->stack_pointer = top;
}
void to_fiber(Fiber *f) { shim_switch(&block->scheduler, f->stack_pointer); }
void to_scheduler(Fiber *f) { shim_switch(&f->stack_pointer, block->scheduler); }
#else
void start_fiber(Fiber *f, void (*entry)())
{
    ucontext_t *c = f->stack_pointer ? (ucontext_t *)f->stack_pointer : (ucontext_t *)malloc(sizeof *c);
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = (size_t)(top_of(f) - f->stack);
    c->uc_link = NULL;
    makecontext(c, entry, 0);
    f->stack_pointer = c;
}
void to_fiber(Fiber *f)
{
    static thread_local ucontext_t scheduler;
    block->scheduler = &scheduler;
    swapcontext(&scheduler, (ucontext_t *)f->stack_pointer);
}
void to_scheduler(Fiber *f) { swapcontext((ucontext_t *)f->stack_pointer, (ucontext_t *)block->scheduler); }
#endif

}   // namespace shim
