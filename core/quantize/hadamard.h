/*
 * hadamard.h - the Walsh-Hadamard transform, and the groups of a row that it rotates
 *
 *     x <- H_n x,   H_1 = 1,   H_2n = ( H_n  H_n )
 *                                     ( H_n -H_n ),   so that H_n = H_n' and H_n H_n = n I
 *
 * in Sylvester's order, entries +-1, n log2 n additions in place.  H_n / sqrt n is a rotation: it makes the entries of a group
 * of weights look Gaussian, whatever their distribution, and leaves norms and inner products as they are.
 */
#ifndef CORE_QUANTIZE_HADAMARD_H
#define CORE_QUANTIZE_HADAMARD_H

#include <stdint.h>

/* n is a power of two.  The result has the same bits on every instruction set. */
void hadamard_transform(double *x, int64_t n);

/* The group that `wanted` means in a row of cols weights; wanted = 0: 1024 where it divides cols, otherwise the largest power of
 * two that does (576: 64, 1536: 512).  Any other power of two stands for itself and fills the last group of a row up with zeros
 * where it does not divide cols.  ERR_ARGUMENT where it is no power of two. */
int hadamard_group(int64_t *out, int64_t wanted, int64_t cols);

#endif
