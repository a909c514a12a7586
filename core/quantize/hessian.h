/*
 * hessian.h - the Hessian of a matrix's output error, damped and factored for GPTQ
 *
 *     tr(E H E') = 2 mean ||E x||^2,    H = 2 X X' / n,    H~ = H + k d I,  d = percdamp mean(diag H),    H~^-1 = U' U
 *
 * with U upper triangular (arXiv 2210.17323, section 3.3).  k = 1; where H~ is still not positive definite in double, which
 * rounding of H to float32 can do to a singular one, k = 2, 3, .. up to 101, in the way of GPTQ's scripts, which try more.
 *
 * U comes from one factorization and no inverse: with the order of rows and columns turned round, H~ = R R' with R upper
 * triangular, so U = R^-1.  That is half the work of factor, inverse, factor, and cannot lose the definiteness of the inverse.
 *
 * An input that was never there (H_jj = 0, its row and column 0) has H~_jj = 1 and no part in the mean.  It takes no error
 * from other columns and passes none on, so its weights are rounded to nearest.  GPTQ's scripts write zeros there; the output is the
 * same, but t^2 would grow for nothing.
 */
#ifndef CORE_QUANTIZE_HESSIAN_H
#define CORE_QUANTIZE_HESSIAN_H

#include "core/perturb/perturbation.h"

/* Rows of a table of options. */
#define PERCDAMP_OPTION                                                                                                              \
    { "percdamp",   OPTION_NUMBER, false, "0.01", 0, 1, NULL, "", "share of the Hessian's mean diagonal added to it" }
#define SEQUENTIAL_OPTION                                                                                                            \
    { "sequential", OPTION_FLAG,   false, "no",   0, 0, NULL, "", "inputs from the model as quantized so far, not from the original" }

/* For a table with the latter: Perturbation.sequential. */
int hessian_sequential(const Options *options);

/* ERR_ARGUMENT, opening with `method`, where the Hessian [n][n] is absent, not finite, or has a negative diagonal. */
int hessian_check(const Evidence *evidence, int64_t n, const char *method, int layer);

/* out [n][n] = H with row and column i the input order[i] (NULL: as they are).  Only the upper triangle of H is read. */
void hessian_load(double *out, const float *hessian, int64_t n, const int64_t *order);

/* In place: h [n][n] = H, symmetric, becomes U, with zeros below the diagonal.  ERR_ARGUMENT, opening with `method`, where no
 * damping helps; h is then undefined. */
int hessian_factor(double *h, int64_t n, double percdamp, const char *method, int layer);

/* All three: *u [n][n] = U of the evidence's Hessian in that order, by the option percdamp; the caller frees.  NULL after a failure. */
int hessian_factored(double **u, const Evidence *evidence, int64_t n, const int64_t *order, const Options *options, const char *method, int layer);

#endif
