/*
 * elementwise.c - norms, rotation, SwiGLU, addition: memory-bound loops, rows shared among threads
 */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { CHUNK = 1 << 14, BLOCK = 512 };      /* floats a thread takes at a time, and holds beside them */

static inline double sum_of_squares(const float *x, int C)
{
    double lane[LANES] = { 0 }, sum = 0;
    int whole = C - C % LANES;
    for (int c = 0; c < whole; c += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[c + l] * x[c + l];
    for (int c = whole; c < C; c++) sum += (double)x[c] * x[c];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* out may be x: without the pragma the vector loop would be for distinct rows alone. */
SIMD static void norm_row(float *out, const float *x, const float *gain, int C, float epsilon)
{
    float scale = (float)(1 / sqrt(sum_of_squares(x, C) / C + epsilon));
#pragma omp simd
    for (int c = 0; c < C; c++) out[c] = gain[c] * (x[c] * scale);
}

void rms_norm_cpu(float *out, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
#pragma omp parallel for num_threads(kernels_threads()) if (rows * C > CHUNK)
    for (int64_t r = 0; r < rows; r++) norm_row(out + r * C, x + r * C, gain, C, epsilon);
}

/* sum_c gain dy x */
static inline double weighted_product(const float *gain, const float *dy, const float *x, int C)
{
    double lane[LANES] = { 0 }, sum = 0;
    int whole = C - C % LANES;
    for (int c = 0; c < whole; c += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)(gain[c + l] * dy[c + l]) * x[c + l];
    for (int c = whole; c < C; c++) sum += (double)(gain[c] * dy[c]) * x[c];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

SIMD static void norm_backward_row(float *dx, const float *dy, const float *x, const float *gain, int C, float epsilon)
{
    double s = 1 / sqrt(sum_of_squares(x, C) / C + epsilon);
    float scale = (float)s, back = (float)(s * s * s * weighted_product(gain, dy, x, C) / C);
#pragma omp simd
    for (int c = 0; c < C; c++) dx[c] = gain[c] * dy[c] * scale - x[c] * back;
}

void rms_norm_backward_cpu(float *dx, const float *dy, const float *x, const float *gain, int64_t rows, int C, float epsilon)
{
#pragma omp parallel for num_threads(kernels_threads()) if (rows * C > CHUNK)
    for (int64_t r = 0; r < rows; r++) norm_backward_row(dx + r * C, dy + r * C, x + r * C, gain, C, epsilon);
}

SIMD static void rotate_head(float *head, const float *c, const float *s, int half)
{
    for (int i = 0; i < half; i++) {
        float u = head[i], v = head[i + half];
        head[i] = u * c[i] - v * s[i];
        head[i + half] = v * c[i] + u * s[i];
    }
}

void rotate_cpu(float *x, const float *cosine, const float *sine, const Ragged *batch, const int *past, int heads, int D)
{
    for (int b = 0; b < batch->n; b++) {
#pragma omp parallel for num_threads(kernels_threads()) if (batch->length[b] > 16)
        for (int t = 0; t < batch->length[b]; t++) {
            int64_t position = (past ? past[b] : 0) + t;
            for (int h = 0; h < heads; h++)
                rotate_head(x + ((batch->offset[b] + t) * heads + h) * D, cosine + position * (D / 2),
                            sine + position * (D / 2), D / 2);
        }
    }
}

/* In two loops: in one, gcc carries both sides of the clamp inside the exponential through the division,
 * and the side that is thrown away is a slow subnormal number. */
SIMD static void swiglu_chunk(float *out, const float *gate, const float *up, int64_t n)
{
    float decay[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        int m = n - first < BLOCK ? (int)(n - first) : BLOCK;
        for (int i = 0; i < m; i++) decay[i] = simd_expf(-gate[first + i]);
#pragma omp simd
        for (int i = 0; i < m; i++) out[first + i] = gate[first + i] / (1.0f + decay[i]) * up[first + i];
    }
}

void swiglu_cpu(float *out, const float *gate, const float *up, int64_t n)
{
#pragma omp parallel for num_threads(kernels_threads()) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) swiglu_chunk(out + i, gate + i, up + i, n - i < CHUNK ? n - i : CHUNK);
}

/* 1 - s is written as exp(-gate) s, which keeps its digits where s is nearly 1. */
SIMD static void swiglu_backward_chunk(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    float decay[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        int m = n - first < BLOCK ? (int)(n - first) : BLOCK;
        for (int i = 0; i < m; i++) decay[i] = simd_expf(-gate[first + i]);
#pragma omp simd
        for (int i = 0; i < m; i++) {
            float g = gate[first + i], s = 1.0f / (1.0f + decay[i]), d = dy[first + i];
            dgate[first + i] = d * up[first + i] * (s * (1.0f + g * (decay[i] * s)));
            dup[first + i] = d * (g * s);
        }
    }
}

void swiglu_backward_cpu(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
#pragma omp parallel for num_threads(kernels_threads()) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK)
        swiglu_backward_chunk(dgate + i, dup + i, dy + i, gate + i, up + i, n - i < CHUNK ? n - i : CHUNK);
}

SIMD static void add_chunk(float *restrict x, const float *restrict y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

void add_cpu(float *x, const float *y, int64_t n)
{
#pragma omp parallel for num_threads(kernels_threads()) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) add_chunk(x + i, y + i, n - i < CHUNK ? n - i : CHUNK);
}

void copy_cpu(float *out, const float *x, int64_t n)
{
#pragma omp parallel for num_threads(kernels_threads()) if (n > CHUNK)
    for (int64_t i = 0; i < n; i += CHUNK) memcpy(out + i, x + i, sizeof *out * (size_t)(n - i < CHUNK ? n - i : CHUNK));
}
