#include "experiments/allocate/trust.h"

#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/rng.h"

static void resample(double *cost, void *context, int b)
{
    const ChoiceRows *rows = context;
    float *z = xmalloc(sizeof *z * (size_t)rows->choices.n_layers);
    rng_normals(z, rows->choices.n_layers, 1, rng_stream(RNG_BOOTSTRAP, 0, 0, b), 0);
    for (int64_t i = 0; i < rows->n_rows; i++) cost[i] = rows->cost[i] + (double)z[rows->row_layer[i]] * rows->cost_se[i];
    free(z);
}

int trust_allocation(Stability *out, const ChoiceRows *rows, const Constraints *constraints, const Budget *budget, const Allocation *chosen,
                     int n_resamples)
{
    return allocation_stability_under(out, &rows->choices, constraints, budget, chosen, n_resamples, resample, (void *)rows);
}
