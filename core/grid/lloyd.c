#include "core/grid/lloyd.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/interrupt.h"
#include "core/base/rng.h"
#include "core/estimate/distribution.h"
#include "core/grid/nearest.h"

static const double MOMENTUM = 0.8, MOVING = 0.9;               /* for 90 % of the steps before the average */
enum { FIRST_BATCH = 100, LAST_BATCH = 1000 };                  /* samples a point */
enum { AVERAGED = 48 };                                         /* steps */
enum { COMPARED = 1 << 22, MEASURED = 1 << 26 };                /* samples for the choice among starts, and for the result */

/* What the random numbers are for: the layer of their stream.  Draw is the start, sequence the step. */
enum { FOR_TRAINING, FOR_OFFSETS, FOR_REPLACING, FOR_CHOICE, FOR_RESULT };

/* ---- sums over samples ---- */

/* Samples are summed in PARTS, each by one thread, and these in order: the same for any number of threads. */
enum { PARTS = 16, CHUNK = 1024 };

typedef struct {
    double *offset;                 /* [n][p] sum of z - c_i over the samples nearest to point i */
    double *distance;               /* [n] sum of ||z - c_i||^2 */
    double *count;                  /* [n] */
    double total, squares;          /* sums of ||z - c||^2 and of its square over all samples */
} Sums;

static size_t sums_doubles(int p, int n) { return (size_t)n * (size_t)(p + 2); }

static Sums *sums_new(int p, int n)
{
    Sums *part = xmalloc(PARTS * sizeof *part);
    for (int k = 0; k < PARTS; k++) {
        part[k].offset = xmalloc(sums_doubles(p, n) * sizeof(double));
        part[k].distance = part[k].offset + (size_t)n * (size_t)p;
        part[k].count = part[k].distance + n;
    }
    return part;
}

static void sums_free(Sums *part)
{
    for (int k = 0; k < PARTS; k++) free(part[k].offset);
    free(part);
}

/* *out = the sums over count samples from number `first` of a stream on. */
static void add_samples(Sums *out, const Nearest *nearest, const float *point, int p, int n, int64_t count, uint64_t seed, uint64_t stream, int64_t first)
{
    float z[CHUNK * GRID_DIMENSIONS];
    uint16_t code[CHUNK];
    memset(out->offset, 0, sums_doubles(p, n) * sizeof(double));
    out->total = out->squares = 0;
    for (int64_t done = 0; done < count; done += CHUNK) {
        const int m = count - done < CHUNK ? (int)(count - done) : CHUNK;
        rng_normals(z, (int64_t)m * p, seed, stream, (uint64_t)((first + done) * p));
        nearest_codes(code, nearest, z, m);
        for (int i = 0; i < m; i++) {
            const float *c = point + code[i] * p;
            double *offset = out->offset + code[i] * p, d = 0;
            for (int j = 0; j < p; j++) {
                double x = (double)z[i * p + j] - (double)c[j];
                offset[j] += x;
                d += x * x;
            }
            out->distance[code[i]] += d;
            out->count[code[i]]++;
            out->total += d;
            out->squares += d * d;
        }
    }
}

/* part[0] = the sums over count samples, rounded up to a multiple of PARTS; returns their number. */
static int64_t sample(Sums *part, const float *point, int p, int n, int64_t count, uint64_t seed, uint64_t stream)
{
    const int64_t each = (count + PARTS - 1) / PARTS;
    Nearest *nearest = nearest_new(point, n, p);
    #pragma omp parallel for schedule(static)
    for (int k = 0; k < PARTS; k++) add_samples(&part[k], nearest, point, p, n, each, seed, stream, k * each);
    nearest_free(nearest);
    for (int k = 1; k < PARTS; k++) {
        for (size_t i = 0; i < sums_doubles(p, n); i++) part[0].offset[i] += part[k].offset[i];
        part[0].total += part[k].total;
        part[0].squares += part[k].squares;
    }
    return PARTS * each;
}

static void measure(double *mse, double *mse_se, const float *point, int p, int n, int64_t samples, uint64_t seed, uint64_t stream)
{
    Sums *part = sums_new(p, n);
    const double count = (double)sample(part, point, p, n, samples, seed, stream), mean = part->total / count;
    *mse = mean / p;
    *mse_se = sqrt(fmax(part->squares / count - mean * mean, 0) / count) / p;
    sums_free(part);
}

void grid_measure(double *mse, double *mse_se, const float *point, int p, int n, int64_t samples, uint64_t seed, int draw)
{
    measure(mse, mse_se, point, p, n, samples, seed, rng_stream(RNG_GRID, FOR_RESULT, draw, 1));
}

/* ---- one start ---- */

typedef struct {
    int p, n, start;
    uint64_t seed;
    float *point, *velocity;        /* [n][p] */
    Sums *part;
} Trainer;

/* Kronecker's sequence i (a, a^2, ..., a^p) mod 1 with 1/a^{p+1} = 1/a + 1, which fills the cube evenly, from a random place on; made
 * normal coordinate by coordinate. */
static void first_points(Trainer *t)
{
    const double spread = sqrt((t->p + 2.0) / t->p);
    double inverse = 1.5, step = 1;
    for (int k = 0; k < 100; k++) inverse = pow(1 + inverse, 1.0 / (t->p + 1));
    for (int j = 0; j < t->p; j++) {
        double place = rng_uniform(t->seed, rng_stream(RNG_GRID, FOR_OFFSETS, t->start, 0), (uint64_t)j);
        step /= inverse;
        for (int i = 0; i < t->n; i++) {
            place += step;
            place -= floor(place);
            t->point[i * t->p + j] = (float)(spread * normal_quantile(fmin(fmax(place, 1e-9), 1 - 1e-9)));
        }
    }
}

static int farthest_off(const Trainer *t)
{
    int worst = 0;
    for (int i = 1; i < t->n; i++)
        if (t->part->distance[i] > t->part->distance[worst]) worst = i;
    return worst;
}

/* A point that no sample is nearest to goes beside the one that adds most to the mse, which it then shares a cell with. */
static void replace(Trainer *t, int i, int step)
{
    const int worst = farthest_off(t);
    const double count = fmax(t->part->count[worst], 1), size = sqrt(t->part->distance[worst] / count / t->p);
    const uint64_t stream = rng_stream(RNG_GRID, FOR_REPLACING, t->start, step);
    for (int j = 0; j < t->p; j++) {
        double direction = rng_uniform(t->seed, stream, (uint64_t)(i * t->p + j)) - 0.5;
        t->point[i * t->p + j] = (float)((double)t->point[worst * t->p + j] + size * direction);
        t->velocity[i * t->p + j] = 0;
    }
    t->part->distance[worst] /= 2;
}

static void move(Trainer *t, int step, double momentum, double gain)
{
    for (int i = 0; i < t->n; i++) {
        const double count = t->part->count[i];
        for (int j = 0; j < t->p && count > 0; j++) {
            const int at = i * t->p + j;
            t->velocity[at] = (float)(momentum * (double)t->velocity[at] + gain * t->part->offset[at] / count);
            t->point[at] += t->velocity[at];
        }
    }
    for (int i = 0; i < t->n; i++)
        if (t->part->count[i] == 0) replace(t, i, step);
}

static double batch(int step, int steps, int n)
{
    const int growing = steps - AVERAGED;
    const double way = step < growing ? (double)step / growing : 1;
    return FIRST_BATCH * pow((double)LAST_BATCH / FIRST_BATCH, way) * n;
}

static int train(Trainer *t, int steps, const GridWatch *watch)
{
    const int growing = steps - AVERAGED;
    memset(t->velocity, 0, (size_t)(t->n * t->p) * sizeof *t->velocity);
    first_points(t);
    for (int step = 0; step < steps; step++) {
        if (interrupt_requested()) return ERR_INTERRUPTED;
        const int64_t count = sample(t->part, t->point, t->p, t->n, (int64_t)batch(step, steps, t->n), t->seed,
                                     rng_stream(RNG_GRID, FOR_TRAINING, t->start, step));
        const int averaging = step < growing ? 0 : step - growing;
        move(t, step, step < MOVING * growing ? MOMENTUM : 0, 1.0 / (averaging + 1));
        if (!watch) continue;
        #pragma omp critical(grid_watch)
        watch->step(watch->context, (double)count);
    }
    return OK;
}

/* ---- the whole ---- */

GridPlan grid_plan(int p, int n)
{
    const int starts = 4096 / (n * (p - 1)), longer = n > 1024 ? 2 : 3;
    return (GridPlan){ .starts = starts > n ? n : starts > 1 ? starts : 1, .steps = 500 * (p - 1 < longer ? p - 1 : longer) + AVERAGED, .measured = MEASURED };
}

double grid_plan_samples(GridPlan plan, int n)
{
    double sum = 0;
    for (int step = 0; step < plan.steps; step++) sum += batch(step, plan.steps, n);
    return plan.starts * sum;
}

static int compare_points(const void *a, const void *b, void *p)
{
    const float *x = a, *y = b;
    for (int j = 0; j < *(const int *)p; j++)
        if (x[j] != y[j]) return x[j] < y[j] ? -1 : 1;
    return 0;
}

/* Start number `start` into point, and what it comes to on samples that are the same for all (mse NULL: nobody asks). */
static int run_start(float *point, double *mse, int p, int n, int start, int steps, uint64_t seed, const GridWatch *watch)
{
    double se;
    Trainer t = { .p = p, .n = n, .start = start, .seed = seed, .point = point, .velocity = xmalloc((size_t)(n * p) * sizeof(float)), .part = sums_new(p, n) };
    int status = train(&t, steps, watch);
    sums_free(t.part);
    free(t.velocity);
    if (status == OK && mse) measure(mse, &se, point, p, n, COMPARED, seed, rng_stream(RNG_GRID, FOR_CHOICE, 0, 0));
    return status;
}

int grid_train(float *point, double *mse, double *mse_se, int p, int n, GridPlan plan, uint64_t seed, const GridWatch *watch)
{
    assert(p >= 2 && p <= GRID_DIMENSIONS && n >= 1 && n <= GRID_POINTS && plan.starts >= 1 && plan.steps > AVERAGED);
    const size_t size = (size_t)(n * p);
    float *all = xmalloc((size_t)plan.starts * size * sizeof *all);
    double *reached = xmalloc((size_t)plan.starts * sizeof *reached);
    int status = OK, best = 0;
    /* Where there are several starts the threads share these, and each start is one thread's. */
    #pragma omp parallel for schedule(dynamic) if (plan.starts > 1)
    for (int s = 0; s < plan.starts; s++) {
        int start_status = run_start(all + (size_t)s * size, plan.starts > 1 ? &reached[s] : NULL, p, n, s, plan.steps, seed, watch);
        if (start_status == OK) continue;
        #pragma omp atomic write
        status = start_status;
    }
    for (int s = 1; s < plan.starts && status == OK; s++)
        if (reached[s] < reached[best]) best = s;
    if (status == OK) {
        memcpy(point, all + (size_t)best * size, size * sizeof *point);
        qsort_r(point, (size_t)n, (size_t)p * sizeof *point, compare_points, &p);
        measure(mse, mse_se, point, p, n, plan.measured, seed, rng_stream(RNG_GRID, FOR_RESULT, 0, 0));
    }
    free(all);
    free(reached);
    return status == OK ? OK : err_set(status, "interrupted");
}
