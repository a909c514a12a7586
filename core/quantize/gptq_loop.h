/*
 * gptq_loop.h - GPTQ's loop: round columns from left to right and move their error on to those not yet rounded
 *
 *     e_j = (w_j - w^_j) / U_jj,    w_k -= e_j U_jk  for k > j                  (arXiv 2210.17323, algorithm 1)
 *
 * with U the factor of hessian.h.  A rounding says what w^_j is; columns that it rounds together get no error from one another.
 * Up to 128 columns make a block: columns of the block are corrected at once, those to its right by one matrix product when
 * it is done, in double.  A block begins where a group of columns begins, or within a group that is longer than a block, so
 * a rounding that looks at its whole group at the group's first column sees every correction, whatever the block.
 *
 * Cost: rows cols^2 multiplications and additions, and a copy of the matrix in double.
 */
#ifndef CORE_QUANTIZE_GPTQ_LOOP_H
#define CORE_QUANTIZE_GPTQ_LOOP_H

#include <stdint.h>

enum { GPTQ_TILE = 64 };            /* rows that a call of load and round gets at most */

/* Columns `column` to `column + together - 1`, and rows `row` to `row + rows - 1`, as corrected so far: w[r * stride + c]. */
typedef struct {
    double *w;
    int64_t stride, row, rows, column, together;
} GptqColumns;

typedef struct {
    int64_t rows, cols;
    int64_t group;                  /* columns that share a grid; at most cols */
    int64_t together;               /* columns rounded at once; the last of a group may be fewer */
    void (*load)(GptqColumns *all, void *context);                          /* writes w: whole rows, before any correction */
    void (*round)(double *out, const GptqColumns *columns, void *context);  /* out [rows][together] = w^ */
    void *context;
} GptqRounding;

/* u [cols][cols].  load and round are called from several threads, never twice for the same row at a time.  The bits do not
 * depend on the number of threads. */
void gptq_loop(const GptqRounding *rounding, const double *u);

#endif
