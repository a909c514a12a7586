#include "core/estimate/ladder.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

static int check_nodes(const double *u, int n)
{
    if (n < 2) FAIL(ERR_ARGUMENT, "a path needs its start and its end, not %d levels", n);
    if (u[0] != 0) FAIL(ERR_ARGUMENT, "a path starts without noise, not at %g", u[0]);
    for (int k = 1; k < n; k++)
        if (!(u[k] > u[k - 1] && isfinite(u[k]))) FAIL(ERR_ARGUMENT, "noise level %g does not follow %g on a path", u[k], u[k - 1]);
    return OK;
}

/* Solves in place the symmetric tridiagonal system of the inner nodes 1 .. n - 2 for the second derivatives m:
 * h_k-1 m_k-1 / 6 + (h_k-1 + h_k) m_k / 3 + h_k m_k+1 / 6 = x_k.  It is diagonally dominant: no pivots. */
static void solve_spline(double *x, const double *h, int n)
{
    double *diagonal = xmalloc(sizeof *diagonal * (size_t)n);
    for (int k = 1; k < n - 1; k++) {
        diagonal[k] = (h[k - 1] + h[k]) / 3;
        if (k == 1) continue;
        double factor = h[k - 1] / 6 / diagonal[k - 1];
        diagonal[k] -= factor * h[k - 1] / 6;
        x[k] -= factor * x[k - 1];
    }
    for (int k = n - 2; k >= 1; k--) x[k] = (x[k] - (k < n - 2 ? h[k] / 6 * x[k + 1] : 0)) / diagonal[k];
    free(diagonal);
}

/*
 * A cubic over an interval h is the trapezoid less h^3 / 24 times the sum of its second derivatives, which vanish at
 * both ends of a natural spline and inside are A^-1 D s: A as above, D the differences of divided differences.  As
 * weights: less D' A^-1 g, g_k = (h_k-1^3 + h_k^3) / 24.
 */
static void bend(double *weight, const double *h, int n)
{
    double *x = xcalloc((size_t)n, sizeof *x);
    for (int k = 1; k < n - 1; k++) x[k] = (pow(h[k - 1], 3) + pow(h[k], 3)) / 24;
    solve_spline(x, h, n);
    for (int k = 1; k < n - 1; k++) {
        weight[k - 1] -= x[k] / h[k - 1];
        weight[k] += x[k] / h[k - 1] + x[k] / h[k];
        weight[k + 1] -= x[k] / h[k];
    }
    free(x);
}

static void composite(double *weight, const double *u, int n)
{
    double *h = xmalloc(sizeof *h * (size_t)n);
    for (int k = 0; k < n - 1; k++) {
        h[k] = u[k + 1] - u[k];
        weight[k] += h[k] / 2;
        weight[k + 1] += h[k] / 2;
    }
    bend(weight, h, n);
    free(h);
}

int ladder_weights(double *weight, const double *u, int n, LadderRule rule)
{
    TRY(check_nodes(u, n));
    for (int k = 0; k < n; k++) weight[k] = 0;
    if (rule == LADDER_COMPOSITE) {
        composite(weight, u, n);
        return OK;
    }
    const double end = rule == LADDER_TRAPEZOID ? 0.5 : 0;
    weight[0] = (1 - end) * u[n - 1];
    weight[n - 1] = end * u[n - 1];
    return OK;
}
