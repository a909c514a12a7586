/*
 * gradient.c - gradients by weights in tiles of 256 x 256, each one single-threaded sgemm per sequence
 *
 * A tile stays in the cache while it is summed over sequences or, for the forms, reduced: those never
 * hold a whole gradient.
 */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { TILE = 256 };

typedef struct { int row, column, rows, columns; } Tile;

static int64_t count_tiles(int C, int N) { return (int64_t)((N + TILE - 1) / TILE) * ((C + TILE - 1) / TILE); }

static Tile tile_at(int64_t i, int C, int N)
{
    int across = (C + TILE - 1) / TILE, row = (int)(i / across) * TILE, column = (int)(i % across) * TILE;
    return (Tile){ row, column, N - row < TILE ? N - row : TILE, C - column < TILE ? C - column : TILE };
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

static inline double sum_of_lanes(const double *lane)
{
    double sum = 0;
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

/* Columns that share a scale: their squares go into the lanes bare and scaled; what fills no lanes, into the first ones. */
static inline void add_squares(double *lane, double *scaled, const float *g, int n, double scale)
{
    int whole = n - n % LANES;
    for (int c = 0; c < whole; c += LANES)
        for (int l = 0; l < LANES; l++) {
            double square = (double)g[c + l] * g[c + l];
            lane[l] += square;
            scaled[l] += scale * square;
        }
    for (int c = whole; c < n; c++) {
        double square = (double)g[c] * g[c];
        lane[c - whole] += square;
        scaled[c - whole] += scale * square;
    }
}

SIMD static void tile_energies(double *out, const float *g, Tile t, const FormInput *input, int groups)
{
    double lane[LANES] = { 0 }, scaled[LANES] = { 0 };
    for (int j = 0; j < t.rows; j++) {
        const float *row = g + (int64_t)j * t.columns, *scale = input->scale + (int64_t)(t.row + j) * groups;
        for (int c = 0; c < t.columns;) {
            int group = (t.column + c) / input->group;
            int64_t rest = (int64_t)(group + 1) * input->group - (t.column + c);
            int n = rest < t.columns - c ? (int)rest : t.columns - c;
            add_squares(lane, scaled, row + c, n, scale[group]);
            c += n;
        }
    }
    out[0] = sum_of_lanes(lane);
    out[1] = sum_of_lanes(scaled);
}

SIMD static double tile_dot(const float *g, const float *e, Tile t, int C)
{
    double lane[LANES] = { 0 }, rest = 0;
    int whole = t.columns - t.columns % LANES;
    for (int j = 0; j < t.rows; j++) {
        const float *a = g + (int64_t)j * t.columns, *b = e + (int64_t)j * C;
        for (int c = 0; c < whole; c += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += (double)a[c + l] * b[c + l];
        for (int c = whole; c < t.columns; c++) rest += (double)a[c] * b[c];
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
