/*
 * matmul.c - tiles of (sequence, up to 256 rows, 256 columns), each one single-threaded sgemm
 *
 * OpenBLAS gives other bits for other shapes and thread counts, so the shape of every call depends on
 * the sequence's length and the model alone, and the threads are ours.
 */
#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <stdlib.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum { TILE_ROWS = 256, TILE_COLUMNS = 256, THIN = 8 };

typedef struct { int sequence, first_row, rows; } RowTile;

static RowTile *row_tiles(const Ragged *batch, int *n_tiles)
{
    int n = 0;
    for (int b = 0; b < batch->n; b++) n += (batch->length[b] + TILE_ROWS - 1) / TILE_ROWS;
    RowTile *tile = malloc((size_t)(n ? n : 1) * sizeof *tile);
    if (!tile) abort();
    n = 0;
    for (int b = 0; b < batch->n; b++)
        for (int first = 0; first < batch->length[b]; first += TILE_ROWS) {
            int rest = batch->length[b] - first;
            tile[n++] = (RowTile){ b, first, rest < TILE_ROWS ? rest : TILE_ROWS };
        }
    *n_tiles = n;
    return tile;
}

static inline float sum_of(const Vector *u, const Vector *v, const float *x, const float *w, int from, int C)
{
    float sum = 0;
    for (int c = from; c < C; c++) sum += x[c] * w[c];
    Vector both = *u + *v;
    for (int l = 0; l < 8; l++) sum += both[l];
    return sum;
}

/* A tile of a few rows (a step of sampling): sgemm would spend its time packing w for them.  Four rows
 * of x share each load of w; a group that is not full repeats its last row. */
SIMD static void multiply_thin(float *out, int64_t out_stride, const float *x, const float *w, int rows, int n, int C)
{
    int whole = C - C % 16;
    for (int first = 0; first < rows; first += 4) {
        const float *row[4];
        int index[4];
        for (int i = 0; i < 4; i++) {
            index[i] = first + i < rows ? first + i : rows - 1;
            row[i] = x + (int64_t)index[i] * C;
        }
        for (int j = 0; j < n; j++) {
            const float *v = w + (int64_t)j * C;
            Vector a0 = { 0 }, a1 = { 0 }, b0 = { 0 }, b1 = { 0 }, c0 = { 0 }, c1 = { 0 }, d0 = { 0 }, d1 = { 0 };
            for (int c = 0; c < whole; c += 16) {
                Vector v0 = *(const Vector *)(v + c), v1 = *(const Vector *)(v + c + 8);
                a0 += *(const Vector *)(row[0] + c) * v0, a1 += *(const Vector *)(row[0] + c + 8) * v1;
                b0 += *(const Vector *)(row[1] + c) * v0, b1 += *(const Vector *)(row[1] + c + 8) * v1;
                c0 += *(const Vector *)(row[2] + c) * v0, c1 += *(const Vector *)(row[2] + c + 8) * v1;
                d0 += *(const Vector *)(row[3] + c) * v0, d1 += *(const Vector *)(row[3] + c + 8) * v1;
            }
            out[index[0] * out_stride + j] = sum_of(&a0, &a1, row[0], v, whole, C);
            out[index[1] * out_stride + j] = sum_of(&b0, &b1, row[1], v, whole, C);
            out[index[2] * out_stride + j] = sum_of(&c0, &c1, row[2], v, whole, C);
            out[index[3] * out_stride + j] = sum_of(&d0, &d1, row[3], v, whole, C);
        }
    }
}

/* One tile: C inputs at once, or in two halves whose sums are added. */
static void multiply_tile(float *out, int out_stride, const float *x, const float *w, int rows, int n, int C, int halves)
{
    if (rows <= THIN && !halves) {
        multiply_thin(out, out_stride, x, w, rows, n, C);
        return;
    }
    int part = halves ? C / 2 : C;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, part, 1, x, C, w, C, 0, out, out_stride);
    if (part < C)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, n, C - part, 1, x + part, C, w + part, C, 1, out, out_stride);
}

static void multiply(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                     const float *bias, const Ragged *batch, int C, int N, int halves)
{
    int n_rows;
    RowTile *tile = row_tiles(batch, &n_rows);
    int64_t n_tiles = (int64_t)n_rows * ((N + MATMUL_COLUMNS - 1) / MATMUL_COLUMNS);
    assert(out_stride >= N && out_stride <= INT_MAX);       /* what BLAS can address */
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t i = 0; i < n_tiles; i++) {
        RowTile t = tile[i % n_rows];           /* neighbours share the weights, the larger operand */
        int first = (int)(i / n_rows) * MATMUL_COLUMNS, n = N - first < MATMUL_COLUMNS ? N - first : MATMUL_COLUMNS;
        int64_t row = batch->offset[t.sequence] + t.first_row;
        float *to = out + row * out_stride + first;
        multiply_tile(to, (int)out_stride, x + row * C, w + t.sequence * w_stride + (int64_t)first * C, t.rows, n, C, halves);
        if (!bias) continue;
        for (int r = 0; r < t.rows; r++)
            for (int j = 0; j < n; j++) to[r * out_stride + j] += bias[first + j];
    }
    free(tile);
}

void matmul_cpu(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                const float *bias, const Ragged *batch, int C, int N)
{
    multiply(out, out_stride, x, w, w_stride, bias, batch, C, N, 0);
}

void matmul_halves_cpu(float *out, int64_t out_stride, const float *x, const float *w, int64_t w_stride,
                       const float *bias, const Ragged *batch, int C, int N)
{
    multiply(out, out_stride, x, w, w_stride, bias, batch, C, N, 1);
}

/* Tiles of the same size over dx; all of dy's columns are summed in one call. */
void matmul_backward_cpu(float *dx, const float *dy, const float *w, int64_t w_stride, const Ragged *batch, int C, int N, int add)
{
    int n_rows;
    RowTile *tile = row_tiles(batch, &n_rows);
    int64_t n_tiles = (int64_t)n_rows * ((C + TILE_COLUMNS - 1) / TILE_COLUMNS);
#pragma omp parallel for schedule(dynamic) num_threads(kernels_threads())
    for (int64_t i = 0; i < n_tiles; i++) {
        RowTile t = tile[i % n_rows];
        int first = (int)(i / n_rows) * TILE_COLUMNS, n = C - first < TILE_COLUMNS ? C - first : TILE_COLUMNS;
        int64_t row = batch->offset[t.sequence] + t.first_row;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t.rows, n, N, 1, dy + row * N, N,
                    w + t.sequence * w_stride + first, C, add ? 1 : 0, dx + row * C + first, C);
    }
    free(tile);
}
