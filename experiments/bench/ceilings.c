/*
 * ceilings.c - what the machine does at best: one large product, one large copy
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/network/device.h"
#include "experiments/bench/bench.h"

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int bench_time(Timing *out, int n, int (*f)(void *), void *context)
{
    double *seconds = xmalloc(sizeof *seconds * (size_t)n);
    int status = f(context);
    for (int i = 0; i < n && status == OK; i++) {
        const double start = clock_seconds();
        status = f(context);
        seconds[i] = clock_seconds() - start;
    }
    if (status == OK) {
        qsort(seconds, (size_t)n, sizeof *seconds, compare);
        *out = (Timing){ n % 2 ? seconds[n / 2] : (seconds[n / 2 - 1] + seconds[n / 2]) / 2, seconds[0], seconds[n - 1], n };
    }
    free(seconds);
    return status;
}

typedef struct { const Kernels *k; float *x, *w, *out; int n, times; } Large;

static int finish(const Kernels *k)
{
    if (k->finish) k->finish();
    return kernels_status(k);
}

static int product(void *context)
{
    const Large *l = context;
    int64_t zero = 0;
    const Ragged all = { 1, &l->n, &zero };
    for (int i = 0; i < l->times; i++) l->k->matmul(l->out, l->n, l->x, l->w, 0, NULL, &all, l->n, l->n);
    return finish(l->k);
}

static int copy(void *context)
{
    const Large *l = context;
    for (int i = 0; i < l->times; i++) l->k->copy(l->out, l->x, (int64_t)l->n * l->n);
    return finish(l->k);
}

/* A feed-forward part of square matrices: the products that a back end of lower precision makes inside. */
static void square_part(const Large *l)
{
    int64_t zero = 0;
    const Ragged all = { 1, &l->n, &zero };
    const Linear w = { .w = l->w };
    const FeedForwardPart part = { .C = l->n, .F = l->n, .epsilon = 1, .gain = l->x, .gate = w, .up = w, .down = w };
    for (int i = 0; i < l->times && l->k->feed_forward_part; i++) l->k->feed_forward_part(l->out, &part, &all);
}

/* The products alone, without the rounding of their inputs, by the device's own clock: the fastest kind of them. */
static double product_rate(const Large *l)
{
    OperationTime seen[MOST_OPERATIONS];
    double best = 0;
    square_part(l);
    l->k->profile(1);
    product((void *)l);
    square_part(l);
    l->k->profile(0);
    const int n = l->k->profiled(seen, MOST_OPERATIONS);
    for (int i = 0; i < n; i++)
        if (!strncmp(seen[i].name, "product", 7) && seen[i].flops / seen[i].seconds > best) best = seen[i].flops / seen[i].seconds;
    return best;
}

/* Random numbers: zeros are faster than data. */
static void fill(float *device, const Kernels *k, int64_t n)
{
    enum { PIECE = 1 << 20 };
    float *host = xmalloc(sizeof *host * PIECE);
    rng_normals(host, PIECE, 1, rng_stream(RNG_TEST, 0, 0, 1), 0);
    for (int64_t at = 0; at < n; at += PIECE) k->upload(device + at, host, n - at < PIECE ? n - at : PIECE);
    free(host);
}

int bench_ceilings(Bench *b)
{
    const Kernels *k = b->kernels;
    const int n = b->large;
    const int64_t floats = (int64_t)n * n;
    Large l = { k, k->alloc(floats), k->alloc(floats), k->alloc(floats), n, k->finish ? 10 : 1 };
    fill(l.x, k, floats);
    fill(l.w, k, floats);
    if (k->settle) k->settle(l.w, floats);
    Timing t;
    int status = bench_time(&t, b->repeats, product, &l);
    const double work = 2.0 * n * n * n;
    if (status == OK) b->product_rate = k->profile ? product_rate(&l) : work * l.times / t.median;
    if (status == OK) status = bench_time(&t, b->repeats, copy, &l);
    if (status == OK) b->copy_rate = 8.0 * (double)floats * l.times / t.median;
    k->release(l.x), k->release(l.w), k->release(l.out);
    return status == OK ? finish(k) : status;
}
