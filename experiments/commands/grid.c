/*
 * grid.c - a grid that is optimal for Gaussian numbers: computed for p = 1, trained for the others
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/grid/grid.h"
#include "core/grid/lloyd.h"
#include "core/store/durable.h"
#include "core/store/table.h"
#include "experiments/command.h"

static const Option own[] = {
    { "p",        OPTION_INTEGER, false, NULL,      1, GRID_DIMENSIONS, NULL, "numbers", "numbers that are coded together" },
    { "n",        OPTION_INTEGER, false, NULL,      1, GRID_POINTS,     NULL, "points", "points of the grid, log2(n) / p bits per number; p=1: at most 4096" },
    { "levels",   OPTION_ONE_OF,  false, "optimal", 0, 0,               "optimal|uniform", "", "p=1: the best levels, or the best equally spaced ones" },
    { "built-in", OPTION_FLAG,    false, "no",      0, 0,               NULL, "", "the grid that is built into the program, which the quantizers use, instead of training one" },
    { "seed",     OPTION_INTEGER, false, "1",       0, 9e15,            NULL, "", "of the training" },
    { "starts",   OPTION_INTEGER, false, NULL,      1, 1000,            NULL, "", "training: times to start anew, to keep the best (default from 64 to 1, by p and n)" },
    { "steps",    OPTION_INTEGER, false, NULL,      50, 65535,          NULL, "", "training: steps of each start (default 548 to 1548, by p and n)" },
    { "out",      OPTION_TEXT,    false, NULL,      0, 0,               NULL, "", "file for the points: n x p float32, little-endian, nothing else" },
    { "csv",      OPTION_FLAG,    false, "no",      0, 0,               NULL, "", "print p,n,mse,mse_se,seconds and nothing else" },
    { 0 },
};
static const char *const required[] = { "p", "n", NULL };

/* A grid with the time it took; points owned. */
typedef struct { Grid grid; float *point; double seconds; } Result;

static int check(const Arguments *a)
{
    const bool p1 = options_integer(a->options, "p") == 1, uniform = !strcmp(options_text(a->options, "levels"), "uniform");
    if (uniform && !p1) FAIL(ERR_ARGUMENT, "--levels uniform is for --p 1");
    if (p1 && options_integer(a->options, "n") > GRID_LEVELS) FAIL(ERR_ARGUMENT, "--n is at most %d for --p 1", GRID_LEVELS);
    return OK;
}

static void show_step(void *progress, double samples) { progress_step(progress, samples, NULL); }

static int train(Result *out, int p, int n, const Options *options)
{
    GridPlan plan = grid_plan(p, n);
    if (options_is_given(options, "starts")) plan.starts = (int)options_integer(options, "starts");
    if (options_is_given(options, "steps")) plan.steps = (int)options_integer(options, "steps");
    Progress *progress = progress_begin(plan.starts * plan.steps, grid_plan_samples(plan, n), "steps", options_flag(options, "quiet"));
    const GridWatch watch = { show_step, progress };
    out->grid = (Grid){ .p = p, .n = n, .point = out->point };
    int status = grid_train(out->point, &out->grid.mse, &out->grid.mse_se, p, n, plan, (uint64_t)options_integer(options, "seed"), &watch);
    progress_end(progress);
    return status;
}

static int make(Result *out, const Options *options)
{
    const int p = (int)options_integer(options, "p"), n = (int)options_integer(options, "n");
    const double start = clock_seconds();
    if (p > 1 && !options_flag(options, "built-in")) {
        TRY(train(out, p, n, options));
    } else {
        const Grid *known;
        TRY(!strcmp(options_text(options, "levels"), "uniform") ? grid_uniform(&known, n) : grid_find(&known, p, n));
        memcpy(out->point, known->point, sizeof(float) * (size_t)(n * p));
        out->grid = *known;
    }
    out->seconds = clock_seconds() - start;
    return OK;
}

static void print_json(const Result *r)
{
    printf("{\"p\":%d,\"n\":%d,\"mse\":", r->grid.p, r->grid.n);
    json_number(stdout, r->grid.mse);
    fputs(",\"mse_se\":", stdout);
    json_number(stdout, r->grid.mse_se);
    fputs(",\"seconds\":", stdout);
    json_number(stdout, r->seconds);
    fputs(",\"points\":[", stdout);
    for (int i = 0; i < r->grid.n; i++)
        for (int j = 0; j < r->grid.p; j++) {
            fputs(j ? "," : i ? ",[" : "[", stdout);
            json_number(stdout, r->grid.point[i * r->grid.p + j]);
            if (j == r->grid.p - 1) putchar(']');
        }
    puts("]}");
}

static void print_text(const Result *r)
{
    const double bits = log2(r->grid.n) / r->grid.p;
    printf("p=%d n=%d: %.6g bits per number, mse %.9g", r->grid.p, r->grid.n, bits, r->grid.mse);
    if (r->grid.mse_se > 0) printf(" +- %.2g", r->grid.mse_se);
    else fputs(" (exact)", stdout);
    printf(", %.4f times the least at this rate, 4^-bits\n", r->grid.mse * pow(4, bits));
    printf("%.1f s\n", r->seconds);
}

static int run(const Arguments *a)
{
    const Options *options = a->options;
    if (options_is_given(options, "threads")) kernels_set_threads((int)options_integer(options, "threads"));
    const size_t size = (size_t)(options_integer(options, "p") * options_integer(options, "n"));
    Result r = { .point = xmalloc(sizeof(float) * size) };
    r.grid.point = r.point;
    int status = make(&r, options);
    r.grid.point = r.point;
    if (status == OK && options_is_given(options, "out")) status = durable_replace(options_text(options, "out"), r.point, sizeof(float) * size);
    if (status == OK && options_flag(options, "json")) print_json(&r);
    else if (status == OK && options_flag(options, "csv")) printf("%d,%d,%.9g,%.2g,%.1f\n", r.grid.p, r.grid.n, r.grid.mse, r.grid.mse_se, r.seconds);
    else if (status == OK) print_text(&r);
    free(r.point);
    return status;
}

const Command command_grid = {
    .name = "grid", .arguments = "--p P --n N", .summary = "a grid (codebook) that is optimal for Gaussian numbers, and its error",
    .details = "A grid is n points c_i of p numbers each; mse = E min_i ||z - c_i||^2 / p for p independent normal numbers z.\n"
               "The levels of p=1 are computed (Lloyd-Max) and their mse is exact.  For p >= 2 the points are trained on some 1e9\n"
               "random vectors: five seconds for p=2 n=16, three minutes for p=4 n=4096 on two cores.  The result depends on the seed,\n"
               "not on the threads.  What is built in, each trained by this command: core/grid/data/grids.csv; make grids does it again.\n"
               "  linearity grid --p 1 --n 256 --levels uniform --json        256 equally spaced levels at the best step\n"
               "  linearity grid --p 2 --n 100 --out p2n100.f32               a grid that is not built in\n",
    .own = own, .required = required, .check = check, .most = 0, .json = true, .run = run,
};
