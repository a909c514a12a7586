/*
 * check.h - what the tests of the kernel table share: seeded fills, guarded outputs, bounds per element
 *
 * The back end of LINEARITY_KERNELS (default: cpu) is compared with ref on equal input.  A complaint
 * is one line with the seed, which LINEARITY_SEED takes back.
 */
#ifndef KERNELS_TESTS_CHECK_H
#define KERNELS_TESTS_CHECK_H

#include <assert.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "kernels/kernels.h"

static int check_complaints;        /* since the last check_done */
static bool check_quiet;            /* the self-test wants its complaints counted, not printed */

static inline uint64_t check_seed(void)
{
    const char *text = getenv("LINEARITY_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

static inline const Kernels *check_kernels(void)
{
    const char *name = getenv("LINEARITY_KERNELS");
    const Kernels *k = kernels_find(name ? name : "cpu");
    assert(k && "LINEARITY_KERNELS names no back end");
    return k;
}

__attribute__((format(printf, 1, 2))) static inline void check_complain(const char *format, ...)
{
    if (check_complaints++ >= 10 || check_quiet) return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (LINEARITY_SEED=%llu)\n", (unsigned long long)check_seed());
}

/* For the summary at the end: what was compared, at which sizes, and the largest error in units of its bound. */
enum { CHECK_NAMES = 64 };
typedef struct { char name[48]; int64_t times, least, most; double worst; } CheckNote;
static CheckNote check_notes[CHECK_NAMES];

static inline void check_note(const char *what, int64_t n, double worst)
{
    int i = 0;
    while (i < CHECK_NAMES - 1 && check_notes[i].times && strncmp(check_notes[i].name, what, sizeof check_notes[i].name - 1)) i++;
    CheckNote *note = &check_notes[i];
    if (!note->times++) snprintf(note->name, sizeof note->name, "%s", what), note->least = note->most = n;
    if (n < note->least) note->least = n;
    if (n > note->most) note->most = n;
    if (!(worst <= note->worst)) note->worst = worst;
}

static inline void check_summary(void)
{
    for (int i = 0; i < CHECK_NAMES && check_notes[i].times; i++)
        printf("   %-28s %5lld times, %lld to %lld numbers: error at most %.2f of its bound\n", check_notes[i].name, (long long)check_notes[i].times,
               (long long)check_notes[i].least, (long long)check_notes[i].most, check_notes[i].worst);
}

/* Threads that wait by spinning make hundreds of small calls slow where the machine is shared, and OpenMP reads
 * its environment before main: so a test binary starts itself again. */
static inline void check_start(char **argv)
{
    if (!getenv("OMP_WAIT_POLICY")) {
        setenv("OMP_WAIT_POLICY", "passive", 1);
        execv("/proc/self/exe", argv);
    }
    atexit(check_summary);
    printf("back end %s, LINEARITY_SEED=%llu\n", check_kernels()->name, (unsigned long long)check_seed());
}

/* Ends a test: fails it where anything was complained about. */
static inline void check_done(void)
{
    const Kernels *k = check_kernels();
    if (k->failure && k->failure()) check_complain("%s", k->failure());
    int n = check_complaints;
    check_complaints = 0;
    assert_int_equal(n, 0);
}

/* The last one is normal too, but for one element far above all others. */
typedef enum { FILL_NORMAL, FILL_OUTLIERS, FILL_ZEROS, FILL_EQUAL, FILL_LIMITS, FILL_HUGE, FILLS } Fill;

static inline const char *fill_name(Fill fill)
{
    static const char *const names[] = { "normal", "outliers", "zeros", "equal", "limits", "huge" };
    return names[fill];
}

/* Every call draws other numbers; a run of a test binary draws the same ones for the same seed. */
static inline void fill(float *x, int64_t n, Fill how)
{
    static int draw;
    uint64_t stream = rng_stream(RNG_TEST, 0, draw & 0xffff, draw >> 16), seed = check_seed();
    draw++;
    rng_normals(x, n, seed, stream, 0);
    for (int64_t i = 0; i < n; i++) {
        uint32_t integer = rng_integer(seed ^ 0x9e3779b97f4a7c15, stream, (uint64_t)i);
        if (how == FILL_OUTLIERS && integer % 50 == 0) x[i] *= 20;
        if (how == FILL_ZEROS) x[i] = 0;
        if (how == FILL_EQUAL) x[i] = 0.7f;
        if (how == FILL_LIMITS) x[i] = integer & 1 ? 80 : -80;
    }
    if (how == FILL_HUGE && n) x[rng_integer(seed, stream, 0) % (uint64_t)n] = 1e4f;
}

static inline float *filled(int64_t n, Fill how)
{
    float *x = xmalloc(sizeof *x * (unsigned long)(n ? n : 1));
    fill(x, n, how);
    return x;
}

/* An input in the memory of the back end, of exactly n floats: the sanitizer sees a read past its end. */
static inline float *input(const Kernels *k, const float *x, int64_t n)
{
    float *p = k->alloc(n);
    k->upload(p, x, n);
    return p;
}

/* Guard words: an odd number of them, so that outputs are aligned as floats are and no better; where LINEARITY_ALIGNED is set
 * as many as keep vectors aligned. */
static inline int guard_words(void) { return getenv("LINEARITY_ALIGNED") ? 16 : 17; }
#define GUARD guard_words()
#define GUARD_WORD -1234.5f

/* An output of n floats between guard words; starts as x, or as NaN where x is NULL. */
static inline float *output(const Kernels *k, const float *x, int64_t n)
{
    float *host = xmalloc(sizeof *host * (unsigned long)(n + 2 * GUARD)), *p = k->alloc(n + 2 * GUARD);
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        host[i] = i < GUARD || i >= GUARD + n ? GUARD_WORD : x ? x[i - GUARD] : NAN;
    k->upload(p, host, n + 2 * GUARD);
    free(host);
    return p + GUARD;
}

static inline void check_guards(const char *what, const float *between, int64_t n)
{
    for (int i = 1; i <= GUARD; i++)
        if (between[-i] != GUARD_WORD || between[n + i - 1] != GUARD_WORD) {
            check_complain("%s: wrote outside its output", what);
            return;
        }
}

/* Takes an output back to the host (the caller frees), checks its guards and releases it. */
static inline float *taken(const Kernels *k, const char *what, float *p, int64_t n)
{
    float *host = xmalloc(sizeof *host * (unsigned long)(n + 2 * GUARD));
    k->download(host, p - GUARD, n + 2 * GUARD);
    k->release(p - GUARD);
    check_guards(what, host + GUARD, n);
    memmove(host, host + GUARD, sizeof *host * (size_t)n);
    return host;
}

/* |got - want| <= k FLT_EPSILON terms, NaN for NaN.  terms: [n] sum of |terms|, or NULL for |want|.
 * FLT_MIN is the step that results below it are allowed. */
static inline void check_close(const char *what, const float *got, const float *want, const double *terms, int64_t n, double k)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double bound = k * FLT_EPSILON * (terms ? terms[i] : fabs((double)want[i])) + FLT_MIN, error = fabs((double)got[i] - want[i]);
        if (isnan(want[i]) ? isnan(got[i]) : got[i] == want[i]) continue;
        if (error / bound > worst) worst = error / bound;
        if (error <= bound) continue;
        check_complain("%s: element %lld of %lld is %.9g, not %.9g +- %.3g", what, (long long)i, (long long)n, got[i], want[i], bound);
        worst = NAN;
        break;
    }
    check_note(what, n, worst);
}

/* Host outputs (double, int32) are guarded byte by byte. */
static inline void *host_output(int64_t bytes)
{
    unsigned char *p = xmalloc((unsigned long)bytes + 128);
    memset(p, 0xa5, (size_t)bytes + 128);
    return p + 64;
}

static inline void check_host_guards(const char *what, const void *output_, int64_t bytes)
{
    const unsigned char *p = output_;
    for (int i = 0; i < 64; i++)
        if (p[-1 - i] != 0xa5 || p[bytes + i] != 0xa5) {
            check_complain("%s: wrote outside its output", what);
            return;
        }
}

static inline void host_free(void *p) { free((unsigned char *)p - 64); }

static inline void check_same(const char *what, const void *got, const void *want, int64_t bytes)
{
    if (bytes && memcmp(got, want, (size_t)bytes)) check_complain("%s: other bits", what);
}

/* NaN wherever the reference is: a silent number would pass for a measurement. */
static inline void check_nan(const char *what, const float *got, const float *want, int64_t n)
{
    int64_t expected = 0;
    for (int64_t i = 0; i < n; i++) {
        expected += isnan(want[i]);
        if (!isnan(want[i]) || isnan(got[i])) continue;
        check_complain("%s: element %lld of %lld is %g, not NaN", what, (long long)i, (long long)n, got[i]);
        return;
    }
    if (!expected) check_complain("%s: the reference lost the NaN", what);
}

/* Sequences of the given lengths, packed one after the other. */
static inline Ragged packed(int64_t *offset, const int *length, int n)
{
    for (int b = 0; b < n; b++) offset[b] = b ? offset[b - 1] + length[b - 1] : 0;
    return (Ragged){ n, length, offset };
}

static inline int64_t rows_of(const Ragged *batch)
{
    int64_t rows = 0;
    for (int b = 0; b < batch->n; b++) rows += batch->length[b];
    return rows;
}

#endif
