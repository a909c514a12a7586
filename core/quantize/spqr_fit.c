#include "core/quantize/spqr_fit.h"

#include <math.h>

#include "core/quantize/scale.h"
#include "kernels/cpu/simd.h"

static SpqrGrid grid_between(double low, double high, double top)
{
    const double scale = (high - low) / top;
    return (SpqrGrid){ scale, scale > 0 ? -low / scale : 0 };
}

/* cost[n] = (w^ - w)^2 worth; returns their sum. */
SIMD static double costs(double *cost, const double *w, const double *worth, int64_t n, SpqrGrid grid, double top)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
        const double error = grid.scale * (spqr_code(w[k] / grid.scale + grid.zero, top) - grid.zero) - w[k];
        cost[k] = error * error * worth[k];
    }
    for (int64_t k = 0; k < n; k++) sum += cost[k];
    return sum;
}

/* The ends of n weights and 0, where they stand, and the ends without them. */
typedef struct { double low, high, low_without, high_without; int64_t at_low, at_high; } Ends;

static Ends ends_of(const double *w, int64_t n)
{
    Ends e = { .low = w[0], .high = w[0] };
    for (int64_t k = 1; k < n; k++) {
        if (w[k] < e.low) e.low = w[k], e.at_low = k;
        if (w[k] > e.high) e.high = w[k], e.at_high = k;
    }
    for (int64_t k = 0; k < n; k++) {
        if (k != e.at_low) e.low_without = fmin(e.low_without, w[k]);
        if (k != e.at_high) e.high_without = fmax(e.high_without, w[k]);
    }
    e.low = fmin(e.low, 0), e.high = fmax(e.high, 0);
    return e;
}

/* By how much the sum falls when weight k is left out of grid and sum. */
static double fall_without(double *cost, double sum, int64_t k, const double *w, const double *worth, int64_t n, SpqrGrid grid, double top)
{
    const double others = costs(cost, w, worth, n, grid, top) - cost[k];
    return sum - others;
}

/* fall[n]; cost[n] is scratch. */
static void leave_one_out(double *fall, double *cost, const Ends *e, const double *w, const double *worth, int64_t n, double top)
{
    const double sum = costs(fall, w, worth, n, grid_between(e->low, e->high, top), top);
    const double least = fall_without(cost, sum, e->at_low, w, worth, n, grid_between(e->low_without, e->high, top), top);
    const double largest = fall_without(cost, sum, e->at_high, w, worth, n, grid_between(e->low, e->high_without, top), top);
    fall[e->at_low] = least, fall[e->at_high] = largest;
}

SpqrGrid spqr_fit(double *scratch, const double *w, const double *worth, int64_t n, double top, double threshold)
{
    const Ends e = ends_of(w, n);
    if (isinf(threshold)) return grid_between(e.low, e.high, top);
    double low = 0, high = 0;
    leave_one_out(scratch, scratch + n, &e, w, worth, n, top);
    for (int64_t k = 0; k < n; k++)
        if (!(scratch[k] > threshold)) low = fmin(low, w[k]), high = fmax(high, w[k]);
    return grid_between(low, high, top);
}

/* ---- their statistics, quantized ---- */

SpqrLevel spqr_quantize(double *x, int64_t stride, int64_t *code, int64_t code_stride, int64_t n, double top)
{
    double low = x[0], high = x[0];
    for (int64_t i = 1; i < n; i++) low = fmin(low, x[i * stride]), high = fmax(high, x[i * stride]);
    const SpqrLevel level = { scale_stored((high - low) / top, 16), scale_stored(low, 16) };
    for (int64_t i = 0; i < n; i++) {
        const double c = spqr_code((x[i * stride] - level.least) / level.step, top);
        code[i * code_stride] = (int64_t)c;
        x[i * stride] = level.least + level.step * c;
    }
    return level;
}
