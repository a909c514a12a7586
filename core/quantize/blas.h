/*
 * blas.h - what the quantizers use of OpenBLAS beyond cblas.h, always on one thread
 *
 * OpenBLAS gives other bits for other shapes and thread counts, so the shape of every call depends on the matrix alone, and the
 * threads are ours.  The distribution's OpenBLAS has LAPACK under its Fortran names only.
 */
#ifndef CORE_QUANTIZE_BLAS_H
#define CORE_QUANTIZE_BLAS_H

#include <cblas.h>
#include <stddef.h>

void openblas_set_num_threads(int n);

/* Column-major; the lengths of the letters come last.  *info > 0: not positive definite, singular. */
void dpotrf_(const char *triangle, const int *n, double *a, const int *stride, int *info, size_t triangle_length);
void dtrtri_(const char *triangle, const char *diagonal, const int *n, double *a, const int *stride, int *info,
             size_t triangle_length, size_t diagonal_length);

#endif
