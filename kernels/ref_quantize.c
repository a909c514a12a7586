/*
 * ref_quantize.c - the quantizers' slots as their definitions read: scalar, one thread; contracts in kernels.h
 *
 * Written from the equations of core/quantize/hadamard.h, uniform.h and higgs.h and of core/grid/nearest.h, whose bits these are: so the
 * order of every sum is theirs too.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/ref.h"

static void *room_for(int64_t bytes)
{
    void *p = malloc((size_t)(bytes > 0 ? bytes : 1));
    if (!p) abort();
    return p;
}

/* ---- rotation ---- */

static void transform(double *x, int64_t n)
{
    for (int64_t h = 1; h < n; h *= 2)
        for (int64_t i = 0; i < n; i++) {
            if (i & h) continue;
            const double a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
}

/* y [padded] = H D x / sqrt(group) of one row. */
static void rotate_row(double *y, const float *x, const float *sign, int64_t cols, int64_t padded, int64_t group)
{
    for (int64_t i = 0; i < padded; i++) y[i] = i < cols ? (double)x[i] * (sign ? sign[i] : 1) : 0;
    for (int64_t at = 0; at < padded; at += group) transform(y + at, group);
    for (int64_t i = 0; i < padded; i++) y[i] *= 1 / sqrt((double)group);
}

/* x [cols] = D H y / sqrt(group); y is overwritten. */
static void rotate_row_back(float *x, double *y, const float *sign, int64_t cols, int64_t padded, int64_t group)
{
    for (int64_t at = 0; at < padded; at += group) transform(y + at, group);
    for (int64_t i = 0; i < cols; i++) x[i] = (float)(y[i] * (1 / sqrt((double)group)) * (sign ? sign[i] : 1));
}

void hadamard_ref(float *out, const float *x, const float *sign, int64_t rows, int64_t cols, int group, int inverse)
{
    const int64_t padded = (cols + group - 1) / group * group;
    double *y = room_for(padded * (int64_t)sizeof *y);
    for (int64_t r = 0; r < rows; r++) {
        if (inverse) {
            for (int64_t i = 0; i < padded; i++) y[i] = x[r * padded + i];
            rotate_row_back(out + r * cols, y, sign, cols, padded, group);
        } else {
            rotate_row(y, x + r * cols, sign, cols, padded, group);
            for (int64_t i = 0; i < padded; i++) out[r * padded + i] = (float)y[i];
        }
    }
    free(y);
}

/* ---- grids ---- */

/* -1 where no distance is below infinity. */
static int nearest(const float *z, const float *point, int n, int p)
{
    float best = INFINITY;
    int index = -1;
    for (int k = 0; k < n; k++) {
        const float *c = point + (int64_t)k * p;
        float distance = (z[0] - c[0]) * (z[0] - c[0]);
        for (int j = 1; j < p; j++) distance += (z[j] - c[j]) * (z[j] - c[j]);
        if (distance < best) best = distance, index = k;
    }
    return index;
}

void grid_encode_ref(float *code, const float *x, const float *point, int64_t count, int n, int p)
{
    for (int64_t i = 0; i < count; i++) {
        const int k = nearest(x + i * p, point, n, p);
        code[i] = k < 0 ? NAN : (float)k;
    }
}

void grid_decode_ref(float *out, const float *code, const float *point, const float *scale, int64_t count, int p, int64_t group)
{
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j < p; j++) out[i * p + j] = isnan(code[i]) ? NAN : scale[(i * p + j) / group] * point[(int64_t)code[i] * p + j];
}

/* ---- scales ---- */

/* Rounded once, half to even, to an IEEE half, a single, or not at all; NaN where it does not fit. */
static double stored(double scale, int bits)
{
    if (!isfinite(scale)) return NAN;
    if (bits == 64) return scale;
    if (bits == 32) return fabs(scale) <= FLT_MAX ? (double)(float)scale : NAN;
    int exponent;
    frexp(scale, &exponent);
    const double unit = ldexp(1, (exponent > -13 ? exponent : -13) - 11), rounded = nearbyint(scale / unit) * unit;
    return fabs(rounded) <= 65504 ? rounded : NAN;
}

/* ---- uniform grids ---- */

/* Returns the zero point, 0 where there is none. */
static double uniform_group(float *out, const float *w, int64_t n, const UniformRounding *how)
{
    const double top = how->symmetric ? 2 * ((1 << (how->bits - 1)) - 1) : (1 << how->bits) - 1;
    double low = w[0], high = w[0];
    bool finite = true;
    for (int64_t i = 0; i < n; i++) {
        finite &= isfinite(w[i]) != 0;
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    if (how->symmetric) high = fmax(fabs(low), fabs(high)), low = -high;
    const double scale = stored((high - low) / top, how->scale_bits);
    const double middle = how->symmetric ? 0 : stored((low + high) / 2, how->scale_bits);          /* of a group that is one number */
    const double zero = how->symmetric ? top / 2 : nearbyint(-low / scale);
    for (int64_t i = 0; i < n; i++) {
        const double code = fmin(fmax(nearbyint(w[i] / scale) + zero, 0), top);
        out[i] = !finite || isnan(scale) ? NAN : scale > 0 ? (float)(scale * (code - zero)) : (float)middle;
    }
    return finite && scale > 0 && !how->symmetric ? zero : 0;
}

void uniform_ref(float *out, double *zero, const float *w, int64_t rows, int64_t cols, const UniformRounding *how)
{
    zero[0] = zero[1] = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c += how->group) {
            const double z = uniform_group(out + r * cols + c, w + r * cols + c, how->group < cols - c ? how->group : cols - c, how);
            zero[0] = fmin(zero[0], z);
            zero[1] = fmax(zero[1], z);
        }
}

/* ---- higgs ---- */

/* Number i goes to partial sum i % 16; these are added in their order. */
static double dot(const double *a, const double *b, int64_t n)
{
    double partial[16] = { 0 }, sum = 0;
    for (int64_t i = 0; i < n; i++) partial[i % 16] += a[i] * b[i];
    for (int k = 0; k < 16; k++) sum += partial[k];
    return sum;
}

/* y [group] becomes y^ = s c[code]. */
static void higgs_group(double *y, const HiggsRounding *how)
{
    const double r = sqrt(dot(y, y, how->group) / how->group);
    double *value = room_for(how->group * (int64_t)sizeof *value);
    for (int first = 0; first < how->group; first += how->p) {
        float z[8];
        for (int j = 0; j < how->p; j++) z[j] = first + j < how->group ? (float)(y[first + j] / r) : 0;
        const int k = nearest(z, how->point, how->n, how->p);
        for (int j = 0; j < how->p && first + j < how->group; j++) value[first + j] = how->point[(int64_t)(k < 0 ? 0 : k) * how->p + j];
    }
    const double along = dot(value, y, how->group);
    const double scale = stored(how->unbiased && along > 0 && isfinite(r) ? dot(y, y, how->group) / along : r, how->scale_bits);
    for (int i = 0; i < how->group; i++) y[i] = value[i] * scale;
    free(value);
}

void higgs_ref(float *out, const float *w, int64_t rows, int64_t cols, const HiggsRounding *how)
{
    const int64_t padded = (cols + how->group - 1) / how->group * how->group;
    double *y = room_for(padded * (int64_t)sizeof *y);
    for (int64_t r = 0; r < rows; r++) {
        rotate_row(y, w + r * cols, how->sign, cols, padded, how->group);
        for (int64_t at = 0; at < padded; at += how->group) higgs_group(y + at, how);
        rotate_row_back(out + r * cols, y, how->sign, cols, padded, how->group);
    }
    free(y);
}

/* ---- what came out ---- */

void relative_error_ref(double *t2, double *kappa, const float *out, const float *w, int64_t n)
{
    double error2 = 0, along = 0, norm2 = 0;
    for (int64_t i = 0; i < n; i++) {
        const double error = (double)out[i] - w[i];
        error2 += error * error;
        along += error * w[i];
        norm2 += (double)w[i] * w[i];
    }
    *t2 = error2 == 0 ? 0 : error2 / norm2;
    *kappa = norm2 == 0 ? 0 : 0 - along / norm2;
}
