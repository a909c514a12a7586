#include "core/quantize/k_means.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "kernels/cpu/simd.h"

static int ascending(const void *a, const void *b)
{
    const WeightedNumber *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    return (p->weight > q->weight) - (p->weight < q->weight);
}

int64_t k_means_sort(WeightedNumber *number, int64_t n)
{
    double sum = 0;
    int64_t left = 0;
    for (int64_t i = 0; i < n; i++) sum += number[i].weight;
    for (int64_t i = 0; i < n; i++)
        if (number[i].weight > 0 && number[i].weight >= 0x1p-40 * sum) number[left++] = number[i];
    qsort(number, (size_t)left, sizeof *number, ascending);
    return left;
}

/* ---- sums over clusters ---- */

/* S0 = mass[j] - mass[i] and S1 = moment[j] - moment[i] of numbers i .. j - 1, about their mean. */
typedef struct { double *mass, *moment, mean; } Sums;

static Sums sums_of(const WeightedNumber *number, int64_t n)
{
    Sums s = { xcalloc((size_t)n + 1, sizeof(double)), xcalloc((size_t)n + 1, sizeof(double)), 0 };
    for (int64_t i = 0; i < n; i++) {
        s.mass[i + 1] = s.mass[i] + number[i].weight;
        s.mean += number[i].weight * number[i].x;
    }
    s.mean /= s.mass[n];
    for (int64_t i = 0; i < n; i++) s.moment[i + 1] = s.moment[i] + number[i].weight * (number[i].x - s.mean);
    return s;
}

static void sums_free(Sums *s) { free(s->mass), free(s->moment); }

/* Not from the sums above, which leave too little of a cluster of small weights. */
static double mean_between(const WeightedNumber *number, int64_t begin, int64_t end)
{
    double mass = 0, moment = 0;
    for (int64_t i = begin; i < end; i++) mass += number[i].weight, moment += number[i].weight * (number[i].x - number[begin].x);
    return number[begin].x + moment / mass;
}

/* ---- the best intervals ---- */

enum { SCAN = 64 };

static inline double gain(const double *before, const Sums *s, int64_t i, int64_t j)
{
    const double moment = s->moment[j] - s->moment[i];
    return before[i] + moment * moment / (s->mass[j] - s->mass[i]);
}

/* max over i, first <= i <= last, of gain; the first i that has it. */
SIMD static int64_t best_start(double *best, const double *before, const Sums *s, int64_t first, int64_t last, int64_t j)
{
    int64_t block = first, at = first;
    *best = -INFINITY;
    for (int64_t from = first; from <= last; from += SCAN) {
        const int64_t n = last - from + 1 < SCAN ? last - from + 1 : SCAN;
        double lane[LANES], most = -INFINITY;
        for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
        int64_t k = 0;
        for (; k + LANES <= n; k += LANES)
            for (int l = 0; l < LANES; l++) {
                const double g = gain(before, s, from + k + l, j);
                lane[l] = g > lane[l] ? g : lane[l];
            }
        for (; k < n; k++) {
            const double g = gain(before, s, from + k, j);
            most = g > most ? g : most;
        }
        for (int l = 0; l < LANES; l++) most = lane[l] > most ? lane[l] : most;
        if (most > *best) *best = most, block = from;
    }
    for (at = block; at < last && gain(before, s, at, j) < *best; at++) continue;
    return at;
}

/* One more cluster: of the first j numbers, from <= j <= to, whose last cluster begins between first and last. */
typedef struct { double *now; const double *before; int32_t *start; const Sums *sums; } Level;

static void next_level(const Level *l, int64_t from, int64_t to, int64_t first, int64_t last)
{
    if (from > to) return;
    const int64_t j = from + (to - from) / 2, end = last < j - 1 ? last : j - 1;
    const int64_t start = best_start(&l->now[j], l->before, l->sums, first, end, j);
    l->start[j] = (int32_t)start;
    next_level(l, from, j - 1, first, start);
    next_level(l, j + 1, to, start, last);
}

void k_means_exact(double *centroid, int k, const WeightedNumber *number, int64_t n)
{
    const int clusters = n < k ? (int)n : k;
    Sums s = sums_of(number, n);
    double *value = xmalloc(sizeof *value * 2 * (size_t)(n + 1)), *now = value, *before = value + n + 1;
    int32_t *start = xmalloc(sizeof *start * (size_t)(clusters * (n + 1)));
    before[0] = 0;
    for (int64_t j = 1; j <= n; j++) now[j] = s.moment[j] * s.moment[j] / s.mass[j], start[j] = 0;
    for (int m = 1; m < clusters; m++) {
        double *keep = before;
        before = now, now = keep;
        const Level level = { now, before, start + m * (n + 1), &s };
        next_level(&level, m + 1 == clusters ? n : m + 1, n - (clusters - 1 - m), m, n - 1);
    }
    int64_t end = n;
    for (int m = clusters - 1; m >= 0; m--) {
        const int64_t begin = start[m * (n + 1) + end];
        centroid[m] = mean_between(number, begin, end);
        end = begin;
    }
    for (int m = clusters; m < k; m++) centroid[m] = centroid[clusters - 1];
    free(value);
    free(start);
    sums_free(&s);
}

/* ---- Lloyd's iteration ---- */

static int rising(const void *a, const void *b)
{
    const double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* The number at a share u of the sum of what each costs. */
static int64_t drawn(const double *cost, int64_t n, double u)
{
    double sum = 0, so_far = 0;
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) sum += cost[i];
    for (int64_t i = 0; i < n; i++) {
        if (cost[i] > 0) at = i;
        so_far += cost[i];
        if (so_far > u * sum) break;
    }
    return at;
}

static void start_centroids(double *centroid, int k, const WeightedNumber *number, int64_t n, uint64_t seed, uint64_t stream)
{
    double *cost = xmalloc(sizeof *cost * (size_t)n);
    for (int64_t i = 0; i < n; i++) cost[i] = number[i].weight;
    for (int c = 0; c < k; c++) {
        centroid[c] = number[drawn(cost, n, rng_uniform(seed, stream, (uint64_t)c))].x;
        for (int64_t i = 0; i < n; i++) {
            const double d = number[i].x - centroid[c], own = number[i].weight * d * d;
            cost[i] = c == 0 || own < cost[i] ? own : cost[i];
        }
    }
    qsort(centroid, (size_t)k, sizeof *centroid, rising);
    free(cost);
}

/* Numbers up to x. */
static int64_t up_to(const WeightedNumber *number, int64_t n, double x)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (number[middle].x <= x) low = middle + 1;
        else high = middle;
    }
    return low;
}

void k_means_lloyd(double *centroid, int k, const WeightedNumber *number, int64_t n, int steps, uint64_t seed, uint64_t stream)
{
    start_centroids(centroid, k, number, n, seed, stream);
    for (int step = 0, moved = 1; step < steps && moved; step++) {
        moved = 0;
        for (int64_t c = 0, begin = 0; c < k; c++) {
            const int64_t end = c + 1 < k ? up_to(number, n, (centroid[c] + centroid[c + 1]) / 2) : n;
            if (end > begin) {                          /* one that nothing is nearest to stays where it is */
                const double mean = mean_between(number, begin, end);
                moved |= mean != centroid[c];
                centroid[c] = mean;
                begin = end;
            }
        }
    }
}

double k_means_cost(const double *centroid, int k, const WeightedNumber *number, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double least = INFINITY;
        for (int c = 0; c < k; c++) least = fmin(least, (number[i].x - centroid[c]) * (number[i].x - centroid[c]));
        sum += number[i].weight * least;
    }
    return sum;
}
