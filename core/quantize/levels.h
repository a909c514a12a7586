/*
 * levels.h - the nearest of n levels in ascending order, n a power of two
 */
#ifndef CORE_QUANTIZE_LEVELS_H
#define CORE_QUANTIZE_LEVELS_H

/* edge[n - 1]: where one level takes over from the one before, scaled as x will be.  scale >= 0. */
static inline void levels_edges(double *edge, const double *level, int n, double scale)
{
    for (int i = 0; i + 1 < n; i++) edge[i] = scale * ((level[i] + level[i + 1]) / 2);
}

/* The level nearest to x, the lower of two equally near; 0 for NaN. */
static inline int levels_nearest(double x, const double *edge, int n)
{
    int code = 0;
    for (int step = n / 2; step; step /= 2) code += x > edge[code + step - 1] ? step : 0;
    return code;
}

#endif
