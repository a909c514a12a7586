#include "core/quantize/hessian.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/quantize/blas.h"

enum { MOST_DAMPINGS = 101 };

int hessian_sequential(const Options *options) { return options_flag(options, "sequential"); }

int hessian_check(const Evidence *evidence, int64_t n, const char *method, int layer)
{
    const float *h = evidence->hessian;
    if (!h) FAIL(ERR_ARGUMENT, "%s: the Hessian of layer %d was not collected", method, layer);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = i; j < n; j++)
            if (!isfinite(h[i * n + j])) FAIL(ERR_ARGUMENT, "%s: the Hessian of layer %d is not finite", method, layer);
        if (h[i * n + i] < 0) FAIL(ERR_ARGUMENT, "%s: the Hessian of layer %d has a negative diagonal", method, layer);
    }
    return OK;
}

void hessian_load(double *out, const float *hessian, int64_t n, const int64_t *order)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i; j < n; j++) {
            const int64_t a = order ? order[i] : i, b = order ? order[j] : j;
            out[i * n + j] = a < b ? hessian[a * n + b] : hessian[b * n + a];
        }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) out[i * n + j] = out[j * n + i];
}

/* Turns the order of rows and of columns round. */
static void turn_round(double *h, int64_t n)
{
    for (int64_t i = 0, j = n * n - 1; i < j; i++, j--) {
        const double keep = h[i];
        h[i] = h[j], h[j] = keep;
    }
}

/* Gives inputs that were never there a diagonal of 1 and returns the mean of the others'. */
static double mean_diagonal(double *h, int64_t n)
{
    double sum = 0;
    int64_t live = 0;
    for (int64_t i = 0; i < n; i++) {
        double *diagonal = &h[i * n + i];
        if (*diagonal > 0) sum += *diagonal, live++;
        else *diagonal = 1;
    }
    return live ? sum / (double)live : 1;
}

/* What is upper to LAPACK, which counts down the columns, is the lower triangle here: it holds the factor, the upper one H. */
static int factor_damped(double *h, int64_t n, double damping)
{
    const int size = (int)n;
    int info = 1;
    double *diagonal = xmalloc(sizeof *diagonal * (size_t)n);
    for (int64_t i = 0; i < n; i++) diagonal[i] = h[i * n + i];
    for (int k = 1; info != 0 && k <= MOST_DAMPINGS; k++) {
        for (int64_t i = 0; i < n; i++) {
            for (int64_t j = 0; j < i; j++) h[i * n + j] = h[j * n + i];
            h[i * n + i] = diagonal[i] + k * damping;
        }
        dpotrf_("U", &size, h, &size, &info, 1);
        if (damping == 0) break;
    }
    free(diagonal);
    return info;
}

int hessian_factor(double *h, int64_t n, double percdamp, const char *method, int layer)
{
    assert(n <= INT_MAX);
    const int size = (int)n;
    openblas_set_num_threads(1);
    const double damping = percdamp * mean_diagonal(h, n);
    turn_round(h, n);
    int info = factor_damped(h, n, damping);
    if (info == 0) dtrtri_("U", "N", &size, h, &size, &info, 1, 1);
    if (info != 0)
        FAIL(ERR_ARGUMENT, "%s: the Hessian of layer %d is not positive definite, even with %g of its mean diagonal added; raise percdamp",
             method, layer, percdamp * (percdamp > 0 ? MOST_DAMPINGS : 0));
    turn_round(h, n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) h[i * n + j] = 0;
    return OK;
}

int hessian_factored(double **u, const Evidence *evidence, int64_t n, const int64_t *order, const Options *options, const char *method, int layer)
{
    *u = NULL;
    TRY(hessian_check(evidence, n, method, layer));
    double *h = xmalloc(sizeof *h * (size_t)(n * n));
    hessian_load(h, evidence->hessian, n, order);
    int status = hessian_factor(h, n, options_number(options, "percdamp"), method, layer);
    if (status == OK) *u = h;
    else free(h);
    return status;
}
