/*
 * profile.cu - seconds of each operation on the device, by events around every launch
 *
 * Off, an operation costs a comparison here.
 */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cuda.cuh"

enum { MOST_OPERATIONS = 64, MOST_EVENTS = 16384 };

typedef struct { int operation; cudaEvent_t begin, end; } Timed;

static bool on;
static OperationTime operation[MOST_OPERATIONS];
static Timed timed[MOST_EVENTS];
static int n_operations, n_timed, n_events;
static double next_flops, next_bytes;

void operation_work(double flops, double bytes) { next_flops = flops, next_bytes = bytes; }

/* Takes what is timed so far into the sums; the events are used again. */
static void collect()
{
    if (n_timed == 0 || device_failed()) return;
    for (int i = 0; i < n_timed; i++) {
        float milliseconds = 0;
        CHECK(cudaEventSynchronize(timed[i].end));      /* uploads ahead are on another stream */
        CHECK(cudaEventElapsedTime(&milliseconds, timed[i].begin, timed[i].end));
        operation[timed[i].operation].seconds += milliseconds * 1e-3;
    }
    n_timed = 0;
}

static int named(const char *name)
{
    char plain[sizeof operation->name];
    snprintf(plain, sizeof plain, "%s", name[0] == '(' ? name + 1 : name);
    plain[strcspn(plain, ")")] = 0;
    for (int i = 0; i < n_operations; i++)
        if (!strcmp(operation[i].name, plain)) return i;
    if (n_operations == MOST_OPERATIONS) return MOST_OPERATIONS - 1;
    snprintf(operation[n_operations].name, sizeof plain, "%s", plain);
    return n_operations++;
}

void operation_begin(const char *name)
{
    if (!on || device_failed()) return;
    if (n_timed == MOST_EVENTS) collect();
    Timed *t = &timed[n_timed];
    if (n_timed == n_events) {
        CHECK(cudaEventCreate(&t->begin));
        CHECK(cudaEventCreate(&t->end));
        n_events++;
    }
    t->operation = named(name);
    operation[t->operation].calls++;
    operation[t->operation].flops += next_flops;
    operation[t->operation].bytes += next_bytes;
    CHECK(cudaEventRecord(t->begin, device_stream()));
}

void operation_end()
{
    next_flops = next_bytes = 0;
    if (!on || device_failed()) return;
    CHECK(cudaEventRecord(timed[n_timed++].end, device_stream()));
}

void profile_cuda(int start)
{
    collect();
    if (start) {
        n_operations = 0;
        memset(operation, 0, sizeof operation);
    }
    on = start != 0;
}

int profiled_cuda(OperationTime *out, int most)
{
    collect();
    const int n = n_operations < most ? n_operations : most;
    memcpy(out, operation, (size_t)n * sizeof *out);
    return n;
}

void finish_cuda()
{
    if (!device_failed()) CHECK(cudaStreamSynchronize(device_stream()));
}
