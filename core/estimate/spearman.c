#include "core/estimate/spearman.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

void mid_ranks(double *rank, const double *x, int n)
{
    for (int i = 0; i < n; i++) {
        int below = 0, equal = 0;
        for (int j = 0; j < n; j++) below += x[j] < x[i], equal += x[j] == x[i];
        rank[i] = below + (equal + 1) / 2.;
    }
}

double correlation(const double *x, const double *y, int n)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) mean_x += x[i] / n, mean_y += y[i] / n;
    for (int i = 0; i < n; i++) {
        const double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xx += dx * dx, yy += dy * dy, xy += dx * dy;
    }
    return n > 1 && xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

double spearman(const double *x, const double *y, int n)
{
    double *rank = xmalloc(sizeof *rank * 2 * (size_t)n);
    mid_ranks(rank, x, n);
    mid_ranks(rank + n, y, n);
    const double rho = correlation(rank, rank + n, n);
    free(rank);
    return rho;
}
