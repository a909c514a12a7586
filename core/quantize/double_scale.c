#include "core/quantize/double_scale.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/levels.h"
#include "core/quantize/scale.h"

enum { BLOCK = 256, VALUES = 256, ZERO = 127 };

static void dynamic_map(double value[VALUES])
{
    value[ZERO] = 0;
    value[VALUES - 1] = 1;
    int at = 1;
    for (int i = 0; i <= 6; i++)
        for (int part = 0; part < 1 << i; part++, at++) {
            value[ZERO + at] = (0.1 + 0.9 * (part + 0.5) / (1 << i)) * pow(10, i - 6);
            value[ZERO - at] = -value[ZERO + at];
        }
}

static double mean_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

void double_scale_add(Packed *out, double *scale, int64_t n)
{
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    int64_t *code = xmalloc(sizeof *code * (size_t)n);
    double *largest = xcalloc((size_t)blocks, sizeof *largest);
    const double mean = scale_stored(mean_of(scale, n), 32);
    double value[VALUES], edge[VALUES - 1];
    dynamic_map(value);
    levels_edges(edge, value, VALUES, 1);
    for (int64_t i = 0; i < n; i++) largest[i / BLOCK] = fmax(largest[i / BLOCK], fabs(scale[i] - mean));
    for (int64_t k = 0; k < blocks; k++) largest[k] = scale_stored(largest[k], 32);
    for (int64_t i = 0; i < n; i++) {
        const double a = largest[i / BLOCK];
        code[i] = a > 0 ? levels_nearest((scale[i] - mean) / a, edge, VALUES) : ZERO;
    }
    const int first = out->n;
    packed_add_integers(out, code, n, 8);
    packed_add_reals(out, largest, blocks, 32);
    packed_add_reals(out, &mean, 1, 32);
    free(code);
    free(largest);
    double_scale_read(scale, out, first);
}

void double_scale_read(double *scale, const Packed *packed, int plane)
{
    const int64_t n = packed->plane[plane].n;
    int64_t *code = xmalloc(sizeof *code * (size_t)n);
    double *largest = xmalloc(sizeof *largest * (size_t)packed->plane[plane + 1].n);
    double value[VALUES], mean;
    dynamic_map(value);
    packed_integers(code, packed, plane, false);
    packed_reals(largest, packed, plane + 1);
    packed_reals(&mean, packed, plane + 2);
    for (int64_t i = 0; i < n; i++) scale[i] = fmax(mean + largest[i / BLOCK] * value[code[i]], 0);
    free(code);
    free(largest);
}
