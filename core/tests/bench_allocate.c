/*
 * bench_allocate.c - how long allocations take on tables like those of Llama models: `make bench`
 *
 * Layers q k v o gate up down of 4 1 1 4 14 14 14 units of 2^20 weights, log-normal coefficients (the standard deviation of
 * the logarithm is 1), t2 = 4^-bits, bits in steps of 1/32 from 2 to 8.  Times are those of the calls alone; each budget is
 * the fastest of three.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/allocate/best.h"
#include "core/allocate/certificate.h"
#include "core/allocate/frontier.h"
#include "core/base/err.h"
#include "core/base/rng.h"

typedef struct {
    ChoiceTable table;
    char (*text)[32], (*choice)[32];
    const char **layer, **name;
    int64_t *weights;
    int *row_layer;
    double *bits, *cost;
} Bench;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double uniform(uint64_t stream, uint64_t *index) { return rng_uniform(7, stream, (*index)++); }

static double log_normal(uint64_t stream, uint64_t *index)
{
    const double u = uniform(stream, index), v = uniform(stream, index);
    return exp(sqrt(-2 * log(u + 1e-300)) * cos(2 * acos(-1) * v));
}

/* lattice: the steps of 1/32 bit between neighbouring choices are multiples of it; 0: different in every layer. */
static Bench build(int n_layers, int n_choices, int lattice, bool same_sizes)
{
    static const int64_t unit[7] = { 4, 1, 1, 4, 14, 14, 14 };
    const size_t layers = (size_t)n_layers, rows = (size_t)(n_layers * n_choices);
    Bench b = { .text = xmalloc(layers * sizeof *b.text), .choice = xmalloc((size_t)n_choices * sizeof *b.choice),
                .layer = xmalloc(layers * sizeof *b.layer), .name = xmalloc(rows * sizeof *b.name),
                .weights = xmalloc(layers * sizeof *b.weights), .row_layer = xmalloc(rows * sizeof *b.row_layer),
                .bits = xmalloc(rows * sizeof *b.bits), .cost = xmalloc(rows * sizeof *b.cost) };
    uint64_t index = 0, stream = rng_stream(RNG_TEST, 90, (uint64_t)n_layers, (uint64_t)n_choices);
    for (int l = 0; l < n_layers; l++) {
        snprintf(b.text[l], sizeof b.text[l], "blocks.%d.%d", l / 7, l % 7);
        b.layer[l] = b.text[l];
        b.weights[l] = unit[l % 7] << 20;
        if (!same_sizes) b.weights[l] = (int64_t)((double)b.weights[l] * (0.5 + uniform(stream, &index)));
        const double alpha = log_normal(stream, &index) * (double)unit[l % 7];
        for (int k = 0; k < n_choices; k++) {
            const int row = l * n_choices + k;
            const int steps = lattice * (int)lround(192.0 * k / (n_choices - 1) / lattice);         /* of 1/32 bit above 2 */
            snprintf(b.choice[k], sizeof b.choice[k], "choice %d", k);
            b.row_layer[row] = l, b.name[row] = b.choice[k], b.bits[row] = 2 + steps / 32.0, b.cost[row] = alpha * pow(4, -b.bits[row]);
        }
    }
    b.table = (ChoiceTable){ n_layers, b.layer, b.weights, (int)rows, b.row_layer, b.name, b.bits, b.cost };
    return b;
}

static void release(Bench *b)
{
    free(b->text), free(b->choice), free(b->layer), free(b->name), free(b->weights), free(b->row_layer), free(b->bits), free(b->cost);
}

static void time_budgets(const Bench *b, const char *what)
{
    double sum = 0, most = 0, gap = 0, check = 0;
    int n = 0, proven = 0, verified = 0;
    for (double budget = 2.25; budget < 7.8; budget += 0.0625, n++) {
        double fastest = INFINITY;
        Allocation a;
        for (int i = 0; i < 3; i++) {
            const double start = seconds();
            if (allocate(&a, &b->table, budget) != OK) exit(1);
            fastest = fmin(fastest, seconds() - start);
            if (i < 2) allocation_free(&a);
        }
        Verdict verdict;
        const Certificate c = certificate_of(&a);
        const double start = seconds();
        if (n % 8 == 0 && certificate_verify(&verdict, &c, &b->table, NULL) == OK) verified += verdict.proof != PROOF_GAP;
        check += n % 8 == 0 ? seconds() - start : 0;
        sum += fastest, most = fmax(most, fastest), gap = fmax(gap, a.gap / a.cost), proven += a.optimal;
        allocation_free(&a);
    }
    const int checked = (n + 7) / 8;
    printf("%-34s %3d budgets: %7.2f ms mean, %7.2f ms worst, %d proven, largest gap %.1e; check %.1f ms, %d of %d proven again\n", what, n,
           1e3 * sum / n, 1e3 * most, proven, gap, 1e3 * check / checked, verified, checked);
    fflush(stdout);
}

static void time_frontier(const Bench *b, const char *what)
{
    Classes classes;
    AllocationFrontier f;
    double fastest = INFINITY;
    int64_t n = 0, range = 0, hull = 0;
    for (int i = 0; i < 3; i++) {
        const double start = seconds();
        if (classes_init(&classes, &b->table, NULL) != OK || frontier_init(&f, &classes, (int64_t)4 << 30) != OK) {
            printf("%-34s frontier: %s\n", what, err_last());
            return;
        }
        fastest = fmin(fastest, seconds() - start);
        n = f.n, range = f.range, hull = 0;
        for (int64_t p = 0; p < n; p++) hull += f.on_hull[p];
        frontier_free(&f);
        classes_free(&classes);
    }
    printf("%-34s frontier of %lld sizes: %.1f ms, %lld breakpoints, %lld on the hull\n", what, (long long)range + 1, 1e3 * fastest,
           (long long)n, (long long)hull);
    fflush(stdout);
}

static void time_best(const Bench *b, const char *what, int k)
{
    Classes classes;
    Allocation *best = xcalloc((size_t)k, sizeof *best);
    const Budget budget = { .average = 4 };
    int n = 0;
    if (classes_init(&classes, &b->table, NULL) != OK) exit(1);
    const double start = seconds();
    if (allocate_best(best, &n, &classes, &budget, k) != OK) exit(1);
    printf("%-34s %d best: %.1f ms\n", what, n, 1e3 * (seconds() - start));
    for (int i = 0; i < n; i++) allocation_free(&best[i]);
    free(best);
    classes_free(&classes);
}

static void time_distinct(const Bench *b, const char *what, int k)
{
    Constraints constraints;
    Classes classes;
    Allocation a;
    const Budget budget = { .average = 4 };
    constraints_init(&constraints, &b->table);
    constraints.distinct = k;
    if (classes_init(&classes, &b->table, &constraints) != OK) exit(1);
    const double start = seconds();
    if (allocate_classes(&a, &classes, &budget) != OK) exit(1);
    printf("%-34s at most %d distinct choices: %.1f ms%s\n", what, k, 1e3 * (seconds() - start), a.optimal ? "" : ", not proven");
    fflush(stdout);
    allocation_free(&a);
    classes_free(&classes);
    constraints_free(&constraints);
}

int main(void)
{
    static const struct { const char *what; int n_layers, n_choices, lattice; bool same_sizes, frontier; } bench[] = {
        { "224 x 8, steps of 1/2 bit", 224, 8, 16, true, true },
        { "224 x 8, steps of 1/32 bit", 224, 8, 1, true, true },
        { "224 x 30, steps of 1/32 bit", 224, 30, 1, true, true },
        { "560 x 8, steps of 1/2 bit", 560, 8, 16, true, true },
        { "560 x 30, steps of 1/32 bit", 560, 30, 1, true, false },
        { "224 x 30, all sizes different", 224, 30, 1, false, false },
    };
    for (size_t i = 0; i < sizeof bench / sizeof *bench; i++) {
        Bench b = build(bench[i].n_layers, bench[i].n_choices, bench[i].lattice, bench[i].same_sizes);
        time_budgets(&b, bench[i].what);
        if (bench[i].frontier) time_frontier(&b, bench[i].what);
        if (i == 0 || i == 2) time_best(&b, bench[i].what, 10);
        for (int k = 2; k <= 6 && (i == 0 || i == 2); k += 2) time_distinct(&b, bench[i].what, k);
        release(&b);
    }
    return 0;
}
