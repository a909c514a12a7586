/*
 * lloyd.h - trains a grid of p >= 2: Lloyd's iteration on fresh samples, with momentum
 *
 *     m_i = mean of the samples z ~ N(0, I_p) that are nearest to c_i
 *     v_i <- beta v_i + (m_i - c_i) ,   c_i <- c_i + v_i
 *
 * beta = 0 with all samples is Lloyd's iteration (1957), with one sample at a time Kohonen's and MacQueen's, known here as
 * CLVQ (Pages and Printems 2003).  The few samples of the first steps shake the points out of bad arrangements, the many of
 * the last ones let them rest: the batch grows from 100 to 1000 samples a point, geometrically.  beta = 0.8 moves the
 * density of the points, which Lloyd's iteration does in some n^(2/p) steps, in a fifth of them.  The last steps average.
 *
 * The points start as quasi-random numbers with the density of the best grids of many points, N(0, (p+2)/p I).  Small grids
 * end in one of many local optima, so that they are started several times; the best is kept.
 */
#ifndef CORE_GRID_LLOYD_H
#define CORE_GRID_LLOYD_H

#include <stdint.h>

enum { GRID_DIMENSIONS = 8, GRID_POINTS = 1 << 14 };        /* the most that are trained */

typedef struct { int starts, steps; int64_t measured; } GridPlan;      /* steps of each start; samples for the mse at the end */

/* What is done for a grid of this size: the larger p and n, the fewer starts and the more steps, from 64 of 548 (p=2 n=64) to one
 * of 1548 (p=4 n=1024) or, with more than 1024 points, 1048; and 2^26 samples at the end. */
GridPlan grid_plan(int p, int n);

/* Samples of all steps together. */
double grid_plan_samples(GridPlan plan, int n);

/* Told after every step how many samples it took; from any thread, but from one at a time. */
typedef struct { void (*step)(void *context, double samples); void *context; } GridWatch;

/*
 * point [n][p] = the grid in lexicographic order; *mse = E min_i ||z - c_i||^2 / p of these float32 points, with its standard error,
 * from samples that had no part in the training.  2 <= p <= GRID_DIMENSIONS, 1 <= n <= GRID_POINTS.
 *
 * A function of p, n, plan and seed, whatever the number of threads.  ERR_INTERRUPTED.
 */
int grid_train(float *point, double *mse, double *mse_se, int p, int n, GridPlan plan, uint64_t seed, const GridWatch *watch);

/* E min_i ||z - c_i||^2 / p and its standard error from at least `samples` fresh samples of a stream named by seed and draw. */
void grid_measure(double *mse, double *mse_se, const float *point, int p, int n, int64_t samples, uint64_t seed, int draw);

#endif
