#include "core/estimate/between.h"

#include <math.h>

static const double DWARFS_ALL = 1e100;         /* a variance at which all weights are equal */
static const double NOTHING = 1e-12;            /* share of the largest variance possible that counts as 0 */
static const double EXACT = 1e-200;             /* variance of an exact value: its weight stays finite */

double between_weight(double s, double variance)
{
    return isfinite(s) && s >= 0 ? 1 / fmax(s * s + variance, EXACT) : 0;
}

/* At v = sum of plain squared residuals / freedom the left side is at most the right: weights are at most 1/v, and
 * the fit is the best for them.  So the answer lies below. */
double between_variance(BetweenSquares squares, const void *data, int freedom)
{
    if (freedom < 1) return NAN;
    const double most = DWARFS_ALL * squares(DWARFS_ALL, data) / freedom;
    double low = NOTHING * most, high = most;
    if (squares(low, data) <= freedom) return 0;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (squares(middle, data) > freedom) low = middle; else high = middle;
    }
    return (low + high) / 2;
}
