/*
 * gradient.c - gradients by weights in tiles of up to 288 x 288, each one single-threaded sgemm per sequence
 *
 * A tile stays in the cache while it is summed over sequences or, for the forms, reduced: those never
 * hold a whole gradient.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { TILE = 288 };                /* at most: 332 kB of gradient */

typedef struct { int row, column, rows, columns; } Tile;

/* The side of tiles that cut `size` evenly, in whole lanes. */
static int side_of(int size)
{
    int n = (size + TILE - 1) / TILE, even = (size + n - 1) / n;
    return (even + LANES - 1) / LANES * LANES;
}

static int count_of(int size) { return (size + side_of(size) - 1) / side_of(size); }

static int64_t count_tiles(int C, int N) { return (int64_t)count_of(N) * count_of(C); }

static Tile tile_at(int64_t i, int C, int N)
{
    int rows = side_of(N), columns = side_of(C), row = (int)(i / count_of(C)) * rows, column = (int)(i % count_of(C)) * columns;
    return (Tile){ row, column, N - row < rows ? N - row : rows, C - column < columns ? C - column : columns };
}

/* out (rows of out_stride floats) = the tile of dy^T x over the rows of sequence b; added where add != 0. */
static void multiply_tile(float *out, int out_stride, const float *dy, const float *x, const Ragged *batch, int b,
                          Tile t, int C, int N, int add)
{
    int64_t first = batch->offset[b];
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t.rows, t.columns, batch->length[b], 1, dy + first * N + t.row, N,
                x + first * C + t.column, C, add ? 1 : 0, out, out_stride);
}

static void clear_tile(float *out, int out_stride, Tile t)
{
    for (int j = 0; j < t.rows; j++) memset(out + (int64_t)j * out_stride, 0, sizeof *out * (size_t)t.columns);
}

void weight_gradient_cpu(float *g, const float *dy, const float *x, const Ragged *batch, int C, int N, int add)
{
    int64_t n_tiles = count_tiles(C, N);
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t i = 0; i < n_tiles; i++) {
        Tile t = tile_at(i, C, N);
        float *out = g + (int64_t)t.row * C + t.column;
        int started = add;
        for (int b = 0; b < batch->n; b++) {
            if (!batch->length[b]) continue;
            multiply_tile(out, C, dy, x, batch, b, t, C, N, started);
            started = 1;
        }
        if (!started) clear_tile(out, C, t);
    }
}

/* Float32 products are summed in two vectors over a row of the tile, at most TILE / LANES terms each, and from there in double. */
static inline void add_lanes(double *lane, const Vector *u, const Vector *v)
{
    for (int l = 0; l < LANES / 2; l++) lane[l] += (*u)[l];
    for (int l = 0; l < LANES / 2; l++) lane[LANES / 2 + l] += (*v)[l];
}

static inline double sum_of_lanes(const double *lane)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

SIMD static void tile_energies(double *out, const float *g, Tile t, const FormInput *input, int groups)
{
    double lane[LANES] = { 0 }, scaled_lane[LANES] = { 0 }, rest = 0, scaled_rest = 0;
    for (int j = 0; j < t.rows; j++) {
        const float *row = g + (int64_t)j * t.columns, *scale = input->scale + (int64_t)(t.row + j) * groups + t.column / input->group;
        Vector u = { 0 }, v = { 0 }, scaled_u = { 0 }, scaled_v = { 0 };
        int left = input->group - t.column % input->group;      /* columns up to the next scale */
        for (int c = 0; c < t.columns; left = input->group, scale++) {
            int end = left < t.columns - c ? c + left : t.columns;
            for (; c + LANES <= end; c += LANES) {
                Vector a = *(const Vector *)(row + c), b = *(const Vector *)(row + c + LANES / 2);
                a *= a, b *= b;
                u += a, v += b;
                scaled_u += *scale * a, scaled_v += *scale * b;
            }
            for (; c < end; c++) {
                double square = (double)row[c] * row[c];
                rest += square;
                scaled_rest += *scale * square;
            }
        }
        add_lanes(lane, &u, &v);
        add_lanes(scaled_lane, &scaled_u, &scaled_v);
    }
    out[0] = sum_of_lanes(lane) + rest;
    out[1] = sum_of_lanes(scaled_lane) + scaled_rest;
}

SIMD static double tile_dot(const float *g, const float *e, Tile t, int C)
{
    double lane[LANES] = { 0 }, rest = 0;
    for (int j = 0; j < t.rows; j++) {
        const float *a = g + (int64_t)j * t.columns, *b = e + (int64_t)j * C;
        Vector u = { 0 }, v = { 0 };
        int c = 0;
        for (; c + LANES <= t.columns; c += LANES) {
            u += *(const Vector *)(a + c) * *(const Vector *)(b + c);
            v += *(const Vector *)(a + c + LANES / 2) * *(const Vector *)(b + c + LANES / 2);
        }
        for (; c < t.columns; c++) rest += (double)a[c] * b[c];
        add_lanes(lane, &u, &v);
    }
    return rest + sum_of_lanes(lane);
}

/* form: energy, group energy, then the products with the n matrices */
static void reduce_tile(double *form, const float *g, Tile t, const FormInput *input, int b, int C)
{
    tile_energies(form, g, t, input, (C + input->group - 1) / input->group);
    for (int i = 0; i < input->n; i++)
        form[2 + i] = tile_dot(g, input->matrix[i] + b * input->stride[i] + (int64_t)t.row * C + t.column, t, C);
}

void gradient_forms_cpu(double *energy, double *group_energy, double *dot, const float *dy, const float *x,
                        const Ragged *batch, int C, int N, const FormInput *input)
{
    int forms = 2 + input->n;
    int64_t n_tiles = count_tiles(C, N);
    double *part = malloc(sizeof *part * ((size_t)n_tiles * (size_t)batch->n * (size_t)forms + 1));
    if (!part) abort();
#pragma omp parallel num_threads(kernels_threads())
    {
        float *g = malloc(sizeof *g * TILE * TILE);
        if (!g) abort();
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n_tiles * batch->n; i++) {         /* neighbours share the matrices' tile */
            Tile t = tile_at(i / batch->n, C, N);
            int b = (int)(i % batch->n);
            if (batch->length[b]) multiply_tile(g, t.columns, dy, x, batch, b, t, C, N, 0);
            else clear_tile(g, t.columns, t);
            reduce_tile(part + i * forms, g, t, input, b, C);
        }
        free(g);
    }
    for (int b = 0; b < batch->n; b++) {
        energy[b] = group_energy[b] = 0;
        for (int i = 0; i < input->n; i++) dot[b * input->n + i] = 0;
        for (int64_t i = 0; i < n_tiles; i++) {
            const double *form = part + (i * batch->n + b) * forms;
            energy[b] += form[0];
            group_energy[b] += form[1];
            for (int m = 0; m < input->n; m++) dot[b * input->n + m] += form[2 + m];
        }
    }
    free(part);
}
