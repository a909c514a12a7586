#include "core/estimate/crossed.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"

double crossed_draws(const double *e, const double *leverage, int n_rows, int n_columns)
{
    if (n_rows < 2 || n_columns < 2) return NAN;
    double *row = xcalloc((size_t)n_rows, sizeof *row), *column = xcalloc((size_t)n_columns, sizeof *column), rows = 0, both = 0;
    for (int r = 0; r < n_rows; r++)
        for (int c = 0; c < n_columns; c++) {
            row[r] += e[(long)r * n_columns + c];
            column[c] += e[(long)r * n_columns + c];
        }
    for (int r = 0; r < n_rows; r++) {
        rows += row[r] * row[r] / (1 - leverage[r]);
        for (int c = 0; c < n_columns; c++) {
            double rest = e[(long)r * n_columns + c] - row[r] / n_columns - leverage[r] * column[c];
            both += rest * rest / (1 - leverage[r]);
        }
    }
    both *= n_columns / (n_columns - 1.0);
    free(row);
    free(column);
    return rows - both;
}

double crossed_se(double windows, double draws) { return sqrt(fmax(windows + draws, windows / 2)); }
