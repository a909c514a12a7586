#include "core/quantize/gptq_loop.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/perturb/perturbation.h"
#include "core/quantize/blas.h"
#include "kernels/cpu/simd.h"

enum { BLOCK = 128 };

typedef struct { double *w, *error, *rounded; } Tile;       /* [GPTQ_TILE][cols], [GPTQ_TILE][BLOCK], [GPTQ_TILE][together] */

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t block_end(const GptqRounding *r, int64_t first)
{
    const int64_t group = smaller(r->group, r->cols);
    if (group <= BLOCK) return smaller(first + BLOCK / group * group, r->cols);
    const int64_t group_end = smaller((first / group + 1) * group, r->cols);
    return smaller(first + BLOCK / r->together * r->together, group_end);
}

/* w[r][k] -= error[r] u[k] for n columns k. */
SIMD static void correct(double *w, int64_t stride, const double *error, const double *u, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        const double e = error[r * BLOCK];
        for (int64_t k = 0; k < n; k++) w[r * stride + k] -= e * u[k];
    }
}

static void round_columns(const GptqRounding *rounding, const Tile *tile, GptqColumns at, const double *u, int64_t first, int64_t end)
{
    const int64_t cols = rounding->cols, n = at.together;
    at.w = tile->w + at.column;
    rounding->round(tile->rounded, &at, rounding->context);
    for (int64_t c = 0; c < n; c++) {
        const int64_t j = at.column + c;
        double *error = tile->error + j - first;
        for (int64_t r = 0; r < at.rows; r++) error[r * BLOCK] = (at.w[r * cols + c] - tile->rounded[r * n + c]) / u[j * cols + j];
        correct(at.w + n, cols, error, u + j * cols + at.column + n, at.rows, end - at.column - n);
    }
}

static void round_tile(const GptqRounding *rounding, const Tile *tile, int64_t row, const double *u)
{
    const int64_t cols = rounding->cols, rows = smaller(GPTQ_TILE, rounding->rows - row);
    GptqColumns at = { tile->w, cols, row, rows, 0, cols };
    rounding->load(&at, rounding->context);
    for (int64_t first = 0, end; first < cols; first = end) {
        end = block_end(rounding, first);
        for (at.column = first; at.column < end; at.column += at.together) {
            const int64_t group_end = smaller((at.column / rounding->group + 1) * rounding->group, end);
            at.together = smaller(rounding->together, group_end - at.column);
            round_columns(rounding, tile, at, u, first, end);
        }
        if (end < cols)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)(cols - end), (int)(end - first), -1, tile->error, BLOCK,
                        u + first * cols + end, (int)cols, 1, tile->w + end, (int)cols);
    }
}

void gptq_loop(const GptqRounding *rounding, const double *u)
{
    const int64_t rows = rounding->rows, cols = rounding->cols;
    openblas_set_num_threads(1);
#pragma omp parallel if (rows * cols >= PARALLEL_WEIGHTS)
    {
        const Tile tile = {
            xmalloc(sizeof(double) * (size_t)(GPTQ_TILE * cols)), xmalloc(sizeof(double) * GPTQ_TILE * BLOCK),
            xmalloc(sizeof(double) * (size_t)(GPTQ_TILE * rounding->together)),
        };
#pragma omp for schedule(dynamic)
        for (int64_t row = 0; row < rows; row += GPTQ_TILE) round_tile(rounding, &tile, row, u);
        free(tile.w), free(tile.error), free(tile.rounded);
    }
}
