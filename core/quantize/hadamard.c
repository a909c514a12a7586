#include "core/quantize/hadamard.h"

#include <assert.h>

#include "core/base/err.h"
#include "kernels/cpu/simd.h"

enum { WIDTH = 8, DEFAULT_GROUP = 1024 };

typedef double Eight __attribute__((vector_size(64), aligned(8), may_alias));
typedef int64_t Lanes __attribute__((vector_size(64)));

static int is_power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

static void transform_short(double *x, int64_t n)
{
    for (int64_t h = 1; h < n; h *= 2)
        for (int64_t i = 0; i < n; i++) {
            if (i & h) continue;
            const double a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
}

/* The stages of h = 1, 2, 4 inside a vector: lane i becomes x[i ^ h] + x[i], or x[i ^ h] - x[i] where bit h of i is set. */
static inline void transform_eight(double *at)
{
    Eight x = *(Eight *)at;
    x = __builtin_shuffle(x, (Lanes){ 1, 0, 3, 2, 5, 4, 7, 6 }) + x * (Eight){ 1, -1, 1, -1, 1, -1, 1, -1 };
    x = __builtin_shuffle(x, (Lanes){ 2, 3, 0, 1, 6, 7, 4, 5 }) + x * (Eight){ 1, 1, -1, -1, 1, 1, -1, -1 };
    x = __builtin_shuffle(x, (Lanes){ 4, 5, 6, 7, 0, 1, 2, 3 }) + x * (Eight){ 1, 1, 1, 1, -1, -1, -1, -1 };
    *(Eight *)at = x;
}

/* Two stages, h and 2h, in one pass over the memory.  ivdep: no element is touched twice, which the compiler would test each time. */
static inline void two_stages(double *x, int64_t h)
{
#pragma GCC ivdep
    for (int64_t j = 0; j < h; j++) {
        const double a = x[j], b = x[j + h], c = x[j + 2 * h], d = x[j + 3 * h];
        x[j] = (a + b) + (c + d);
        x[j + h] = (a - b) + (c - d);
        x[j + 2 * h] = (a + b) - (c + d);
        x[j + 3 * h] = (a - b) - (c - d);
    }
}

static inline void last_stage(double *x, int64_t h)
{
#pragma GCC ivdep
    for (int64_t j = 0; j < h; j++) {
        const double a = x[j], b = x[j + h];
        x[j] = a + b;
        x[j + h] = a - b;
    }
}

SIMD static void transform_long(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += WIDTH) transform_eight(x + i);
    int64_t h = WIDTH;
    for (; 4 * h <= n; h *= 4)
        for (int64_t i = 0; i < n; i += 4 * h) two_stages(x + i, h);
    if (h < n) last_stage(x, h);
}

void hadamard_transform(double *x, int64_t n)
{
    assert(is_power_of_two(n));
    if (n < WIDTH) transform_short(x, n);
    else transform_long(x, n);
}

int hadamard_group(int64_t *out, int64_t wanted, int64_t cols)
{
    if (wanted && !is_power_of_two(wanted)) {
        int64_t below = 1;
        while (2 * below < wanted) below *= 2;
        FAIL(ERR_ARGUMENT, "hadamard=%lld is no power of two; the nearest are %lld and %lld", (long long)wanted, (long long)below, (long long)(2 * below));
    }
    const int64_t divides = cols & -cols;           /* the largest power of two that does */
    *out = wanted ? wanted : divides < DEFAULT_GROUP ? divides : DEFAULT_GROUP;
    return OK;
}
