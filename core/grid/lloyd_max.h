/*
 * lloyd_max.h - the best n levels for a normal number, and the best n equally spaced ones
 *
 *     mse = sum_i integral from b_i to b_{i+1} of (z - c_i)^2 phi(z) dz ,   b_i = (c_{i-1} + c_i) / 2
 *
 * Lloyd 1957, Max 1960: at the least mse every level is the mean of its cell, c_i = E[z | b_i < z < b_{i+1}].
 * phi is log-concave, so that there is one such point.
 */
#ifndef CORE_GRID_LLOYD_MAX_H
#define CORE_GRID_LLOYD_MAX_H

/* level [n], ascending, symmetric about 0 to the last bit, each the mean of its cell: to 1e-13 up to
 * n = 256, to 1e-10 at n = 4096. */
void lloyd_max(double *level, int n);

/* The distance of neighbours among n levels symmetric about 0 that has the least mse; n >= 2. */
double uniform_step(int n);

/* Of any levels in ascending order, to 14 digits or so. */
double levels_mse(const double *level, int n);

#endif
