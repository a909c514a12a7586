#include "core/grid/lloyd_max.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

/* What a cell contains of phi: the integrals of 1, of z - c and of (z - c)^2. */
typedef struct { double mass, first, second; } Cell;

static double density(double z) { return exp(-z * z / 2) * 0.39894228040143267794; }      /* 1 / sqrt(2 pi) */

/* From b up.  The closed forms lose nothing here, where b is of the size of 1 or more. */
static Cell outer_cell(double b, double c)
{
    double mass = erfc(b * M_SQRT1_2) / 2, phi = density(b);
    return (Cell){ mass, phi - c * mass, (1 + c * c) * mass + (b - 2 * c) * phi };
}

/* Between two bounds the closed forms would subtract nearly equal numbers.  Gauss-Legendre, 8 nodes: the error is below 1e-14
 * of the sum for cells up to 1.6 wide, and levels that are any good have no wider ones. */
static Cell inner_cell(double low, double high, double c)
{
    static const double node[4] = { 0.18343464249564980494, 0.52553240991632898582, 0.79666647741362673959, 0.96028985649753623168 };
    static const double weight[4] = { 0.36268378337836198297, 0.31370664587788728734, 0.22238103445337447054, 0.10122853629037625915 };
    Cell cell = { 0, 0, 0 };
    const double middle = (low + high) / 2, half = (high - low) / 2;
    for (int k = 0; k < 4; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            double z = middle + sign * half * node[k], w = half * weight[k] * density(z);
            cell.mass += w;
            cell.first += w * (z - c);
            cell.second += w * (z - c) * (z - c);
        }
    return cell;
}

static Cell cell_of(const double *level, int n, int i)
{
    const double c = level[i];
    if (n == 1) return (Cell){ 1, -c, 1 + c * c };
    if (i == n - 1) return outer_cell((level[i - 1] + c) / 2, c);
    if (i > 0) return inner_cell((level[i - 1] + c) / 2, (c + level[i + 1]) / 2, c);
    Cell mirrored = outer_cell(-(c + level[1]) / 2, -c);
    mirrored.first = -mirrored.first;
    return mirrored;
}

double levels_mse(const double *level, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += cell_of(level, n, i).second;
    return sum;
}

/* Where the levels lie densest is known for many of them: as a normal number with variance 3 does. */
static double first_guess(double part)
{
    double low = -12, high = 12;
    for (int k = 0; k < 60; k++) {
        double middle = (low + high) / 2;
        if (erfc(-middle * M_SQRT1_2) / 2 < part) low = middle;
        else high = middle;
    }
    return sqrt(3) * low;
}

/*
 * One Newton step towards a mse gradient of 0 into step[n].  Half of the gradient is -first_i; half of its
 * derivative is tridiagonal:
 *
 *     H_ii = mass_i + H_i,i-1 + H_i,i+1 ,    H_i,i+1 = -phi(b_{i+1}) (c_{i+1} - c_i) / 4 .
 *
 * Where H is not positive definite (far from the end) it is Lloyd's step: to the mean of each cell.
 * pivot, slope: [n], for the elimination.
 */
static void newton_step(double *step, double *pivot, double *slope, const double *level, int n)
{
    double left = 0;
    bool definite = true;
    for (int i = 0; i < n; i++) {
        const Cell cell = cell_of(level, n, i);
        const double right = i < n - 1 ? -density((level[i] + level[i + 1]) / 2) * (level[i + 1] - level[i]) / 4 : 0;
        pivot[i] = cell.mass + left + right - (i ? left * slope[i - 1] : 0);
        step[i] = (cell.first - (i ? left * step[i - 1] : 0)) / pivot[i];
        slope[i] = right / pivot[i];
        definite = definite && pivot[i] > 0;
        left = right;
    }
    for (int i = n - 2; i >= 0; i--) step[i] -= slope[i] * step[i + 1];
    for (int i = 1; i < n; i++) definite = definite && level[i - 1] + step[i - 1] < level[i] + step[i];
    for (int i = 0; i < n && !definite; i++) {
        const Cell cell = cell_of(level, n, i);
        step[i] = cell.first / cell.mass;
    }
}

void lloyd_max(double *level, int n)
{
    enum { MOST_STEPS = 500 };
    double *step = xmalloc(3 * sizeof *step * (size_t)n), before = INFINITY, largest = INFINITY;
    for (int i = 0; i < n; i++) level[i] = first_guess((i + 0.5) / n);
    for (int k = 0; k < MOST_STEPS && !(largest < 1e-9 && largest > before / 2); k++) {     /* until only rounding moves them */
        newton_step(step, step + n, step + 2 * n, level, n);
        before = largest;
        largest = 0;
        for (int i = 0; i < n; i++) {
            level[i] += step[i];
            largest = fmax(largest, fabs(step[i]));
        }
    }
    for (int i = 0; i <= n / 2 && i < n; i++) {
        double size = (level[n - 1 - i] - level[i]) / 2;
        level[i] = -size;
        level[n - 1 - i] = size;
    }
    free(step);
}

/* Half of the derivative of mse by the step, levels k step: -sum_i k_i first_i. */
static double uniform_slope(double *level, int n, double step)
{
    double sum = 0;
    for (int i = 0; i < n; i++) level[i] = (i - (n - 1) / 2.0) * step;
    for (int i = 0; i < n; i++) sum -= (i - (n - 1) / 2.0) * cell_of(level, n, i).first;
    return sum;
}

double uniform_step(int n)
{
    double low = 0, high = 2, *level = xmalloc(sizeof *level * (size_t)n);
    for (int k = 0; k < 60; k++) {
        double middle = (low + high) / 2;
        if (uniform_slope(level, n, middle) < 0) low = middle;
        else high = middle;
    }
    free(level);
    return low;
}
