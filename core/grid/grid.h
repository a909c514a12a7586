/*
 * grid.h - grids (codebooks) that are optimal for Gaussian numbers
 *
 *     mse = E min_i ||z - c_i||^2 / p ,   z ~ N(0, I_p)
 *
 * p = 1: the Lloyd-Max quantizer, computed when it is asked for, and equally spaced levels; mse is exact.
 * p >= 2: trained once (core/grid/lloyd.h) and built into the program from core/grid/data; `make grids`
 * makes them again.  A grid of n points costs log2(n) / p bits per number.
 */
#ifndef CORE_GRID_GRID_H
#define CORE_GRID_GRID_H

enum { GRID_LEVELS = 4096 };        /* the most of p = 1 */

typedef struct {
    int p, n;
    double mse, mse_se;             /* of the float32 points; standard error, 0 where mse is exact */
    const float *point;             /* [n][p]; ascending for p = 1, else in lexicographic order */
} Grid;

/* *out: the grid, borrowed, the same for the life of the program; safe from any thread.  ERR_ARGUMENT:
 * there is none, with the sizes that there are. */
int grid_find(const Grid **out, int p, int n);

/* p = 1: the n levels (i - (n-1)/2) step, 0 <= i < n, with the step of least mse.  As above. */
int grid_uniform(const Grid **out, int n);

#endif
