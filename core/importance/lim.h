/*
 * lim.h - Layer Input Modification (arXiv 2406.17415): how far a block turns the states that pass it
 *
 *     - mean over positions of cos(x, y) = <x, y> / (|x| |y|),   0 where x or y is zero;  sums in double
 */
#ifndef CORE_IMPORTANCE_LIM_H
#define CORE_IMPORTANCE_LIM_H

/* x, y: [rows][width].  From -1 (a block that changes no direction) to 1. */
double lim(const float *x, const float *y, int rows, int width);

#endif
