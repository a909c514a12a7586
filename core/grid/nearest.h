/*
 * nearest.h - the nearest point of a grid, exactly, for millions of vectors
 *
 *     code = the least i that minimizes d_i = (z_0 - c_i0)^2 + (z_1 - c_i1)^2 + ... + (z_{p-1} - c_i,p-1)^2
 *
 * d_i is what float32 makes of that line, read from left to right: differences, squares and sums are
 * rounded one by one, nothing is contracted.  So the code is defined to the last bit: the search through
 * cells and nearest_brute, the loop that the line above is, return the same codes, on every instruction
 * set.  A vector for which no d_i is below infinity (NaN, infinite or huge coordinates) has code 0.
 *
 * The search lays a box of equal cells over the points.  Each cell lists the points that can be nearest
 * to some z in it, with a margin for all that float32 rounds; outside of the box all points are tried.
 */
#ifndef CORE_GRID_NEAREST_H
#define CORE_GRID_NEAREST_H

#include <stdint.h>

enum { NEAREST_POINTS = 1 << 16, NEAREST_DIMENSIONS = 8 };          /* the most there may be */

typedef struct Nearest Nearest;

/* point [n][p], finite, borrowed for the call only.  Takes up to tenths of a second, of all threads. */
Nearest *nearest_new(const float *point, int n, int p);
void     nearest_free(Nearest *nearest);                            /* NULL is fine */

/* code [count] for z [count][p].  One thread; nothing is written to nearest, so that threads can share it. */
void nearest_codes(uint16_t *code, const Nearest *nearest, const float *z, int64_t count);

/* The same codes without any structure: for tests, and where the vectors are few. */
void nearest_brute(uint16_t *code, const float *point, int n, int p, const float *z, int64_t count);

#endif
