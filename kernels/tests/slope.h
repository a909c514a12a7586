/* slope.h - a gradient against central differences of the forward operation, along random directions */
#ifndef KERNELS_TESTS_SLOPE_H
#define KERNELS_TESTS_SLOPE_H

#include "kernels/tests/check.h"

/* A function of n floats whose loss <dy, f(x)> is walked along one direction. */
typedef double (*Loss)(const float *x, const void *context);

/* d/dh of the loss at x + h direction: differences at 1 and 2 steps, combined so that the error is of the fourth order. */
static inline double slope(Loss loss, const void *context, const float *x, const float *direction, int n)
{
    const double step = 1.0 / 64;
    double at[5];
    for (int i = -2; i <= 2; i++) {
        float *moved = xmalloc(sizeof *moved * (unsigned long)n);
        for (int j = 0; j < n; j++) moved[j] = (float)(x[j] + i * step * direction[j]);
        at[i + 2] = loss(moved, context);
        free(moved);
    }
    return (8 * (at[3] - at[1]) - (at[4] - at[0])) / (12 * step);
}

/* Values of float32 over steps of 1/64 leave some 64 epsilon of the loss's terms. */
static inline void check_slope(const char *what, Loss loss, const void *context, const float *x, const float *dx, int n)
{
    for (int i = 0; i < 5; i++) {
        float *direction = filled(n, FILL_NORMAL);
        double want = slope(loss, context, x, direction, n), got = 0, size = 0;
        for (int j = 0; j < n; j++) {
            got += (double)dx[j] * direction[j];
            size += fabs((double)dx[j] * direction[j]);
        }
        if (!(fabs(got - want) <= 1e-4 * size)) check_complain("%s: slope %g, by differences %g (of %g)", what, got, want, size);
        free(direction);
    }
}

static inline double product(const float *x, const float *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * y[i];
    return sum;
}

#endif
