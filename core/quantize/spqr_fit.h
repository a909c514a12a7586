/*
 * spqr_fit.h - the grid of a group without its outliers, and its statistics quantized in their turn: see spqr.c
 *
 *     s = (max - min) / top,  z = -min / s;     x^ = least + step c
 */
#ifndef CORE_QUANTIZE_SPQR_FIT_H
#define CORE_QUANTIZE_SPQR_FIT_H

#include <stdint.h>

#include "core/quantize/scale.h"

typedef struct { double scale, zero; } SpqrGrid;
typedef struct { double step, least; } SpqrLevel;       /* halves */

/* The code of x = w / s + z. */
static inline double spqr_code(double x, double top)
{
    const double q = round_even(x);
    return q > 0 ? (q < top ? q : top) : 0;             /* 0 for NaN: 0 / 0 */
}

/* The grid of w[n] and 0 without those that leaving them out lowers the sum of errors^2 worth by more than threshold (infinite: none).
 * scratch[2 n]. */
SpqrGrid spqr_fit(double *scratch, const double *w, const double *worth, int64_t n, double top, double threshold);

/* Replaces x[i * stride], i < n, by what is stored of it: code[i * code_stride] = c <= top. */
SpqrLevel spqr_quantize(double *x, int64_t stride, int64_t *code, int64_t code_stride, int64_t n, double top);

#endif
