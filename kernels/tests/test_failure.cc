/*
 * test_failure.cc - what the cuda back end says when the device fails it, and that nothing happens after that
 *
 * The first failure is kept, so each case has a process of its own.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/cuda/shim/runtime.h"
#include "kernels/kernels.h"

static const Kernels *k;

static bool says(const char *what)
{
    const char *failure = k->failure();
    if (failure && strstr(failure, what) && !strchr(failure, '\n')) return true;
    fprintf(stderr, "expected '%s', it says: %s\n", what, failure ? failure : "nothing");
    return false;
}

/* Slots after a failure touch nothing, give NaN where they give numbers, and the first sentence stays. */
static bool does_nothing_more(float *p)
{
    float host[4] = { 1, 2, 3, 4 };
    double log_sum[1] = { 7 }, target[1] = { 7 };
    int32_t top[1] = { 0 }, of[1] = { 0 };
    char before[256];
    snprintf(before, sizeof before, "%s", k->failure());
    k->upload(p, host, 4);
    k->add(p, p, 4);
    k->log_sum_exp(log_sum, top, target, p, of, 1, 4);
    k->download(host, p, 4);
    k->release(p);
    float *more = k->alloc(4);
    k->release(more);
    return host[0] == 1 && host[3] == 4 && !strncmp(before, k->failure(), sizeof before - 1);
}

/* The middle of a run: what is there stays, more is not to be had. */
static bool memory_is_full()
{
    float *p = k->alloc(4);
    shim_set_free_memory(1 << 20);
    if (k->free_memory() > 1 << 20 || k->failure()) return false;
    k->alloc(1 << 20);
    return says("the GPU's memory is full: 4.0 MiB more were asked for, 1.0 of 8192.0 MiB are free") && says("set a lower memory") && does_nothing_more(p);
}

static bool working_memory_is_full()
{
    const int64_t rows = 64, V = 4096;
    float *logits = k->alloc(rows * V);
    static double sums[3][64];
    static int32_t ids[2][64];
    shim_set_free_memory(0);
    k->log_sum_exp(sums[0], ids[0], sums[1], logits, ids[1], rows, V);
    return says("the GPU's memory is full") && does_nothing_more(logits);
}

/* A grid that no device has: the launch is refused where it stands. */
static bool launch_is_refused()
{
    float *p = k->alloc(4);
    int length = 1 << 20;
    int64_t zero = 0;
    const Ragged one = { 1, &length, &zero };
    k->attention(p, p, p, p, &one, &one, 70000, 70000, 1);
    return says(".cu") && does_nothing_more(p);
}

static const struct { const char *name; bool (*run)(); } cases[] = {
    { "memory is full", memory_is_full }, { "working memory is full", working_memory_is_full }, { "a launch is refused", launch_is_refused },
};

int main()
{
    int failed = 0;
    for (const auto &c : cases) {
        pid_t child = fork();
        if (child == 0) {
            const char *why;
            k = kernels_choose("cuda", "fp32", &why);
            _exit(!k || !c.run());
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) failed = 1, printf("FAILED: %s\n", c.name);
        else printf("[       OK ] %s\n", c.name);
    }
    return failed;
}
