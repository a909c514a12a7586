#include "core/estimate/levels.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static const double SAME_LEVEL = 1.01;

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int levels_group(int *index, const double *t2, int n)
{
    double *sorted = xmalloc((size_t)n * sizeof *sorted), *lowest = xmalloc((size_t)n * sizeof *lowest);
    memcpy(sorted, t2, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare_doubles);
    int n_distinct = 0;
    for (int j = 0; j < n; j++)
        if (n_distinct == 0 || sorted[j] > SAME_LEVEL * lowest[n_distinct - 1]) lowest[n_distinct++] = sorted[j];
    for (int j = 0; j < n; j++) {
        index[j] = n_distinct - 1;
        while (t2[j] < lowest[index[j]]) index[j]--;
    }
    free(sorted);
    free(lowest);
    return n_distinct;
}

int levels_weights(double *for_a, double *for_b, const double *t2, int n)
{
    int *index = xmalloc((size_t)n * sizeof *index);
    const int levels = levels_group(index, t2, n);
    free(index);
    double mean = 0, squares = 0;
    for (int j = 0; j < n; j++) mean += t2[j] / n;
    for (int j = 0; j < n; j++) squares += (t2[j] - mean) * (t2[j] - mean);
    for (int j = 0; j < n; j++) {
        for_b[j] = levels > 1 ? (t2[j] - mean) / squares : 0;
        for_a[j] = 1.0 / n - mean * for_b[j];
    }
    return levels;
}
