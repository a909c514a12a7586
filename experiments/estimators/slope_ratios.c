#include "experiments/estimators/slope_ratios.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/shrink.h"

enum { DEPTHS = 5 };

/* se[i]: root mean square of the standard errors in the group of i, as far as they are known. */
static void pool_errors(double *se, const Mean *ratio, const int *group, int n)
{
    for (int i = 0; i < n; i++) {
        double squares = 0;
        int known = 0;
        for (int j = 0; j < n; j++)
            if (group[j] == group[i] && isfinite(ratio[j].se)) squares += ratio[j].se * ratio[j].se, known++;
        se[i] = known && isfinite(ratio[i].se) ? sqrt(squares / known) : NAN;
    }
}

void shrink_slope_ratios(Mean *shrunk, const Mean *ratio, const Run *run)
{
    const Model *model = study_model(run->study);
    const int n = run->n_layers, blocks = model_shape(model)->n_blocks;
    double *x = xmalloc(sizeof *x * 4 * (size_t)n), *se = x + n, *mean = x + 2 * n, *mean_se = x + 3 * n;
    int *group = xmalloc(sizeof *group * (size_t)n), parent[LAYER_TYPES * DEPTHS];
    for (int g = 0; g < LAYER_TYPES * DEPTHS; g++) parent[g] = g / DEPTHS;
    for (int i = 0; i < n; i++) {
        const Layer *layer = model_layer(model, run->layer[i]);
        x[i] = ratio[i].value;
        group[i] = (int)layer->type * DEPTHS + layer->block * DEPTHS / blocks;
    }
    pool_errors(se, ratio, group, n);
    shrink(mean, mean_se, &(ShrinkProblem){ n, LAYER_TYPES * DEPTHS, LAYER_TYPES, x, se, group, parent });
    for (int i = 0; i < n; i++) shrunk[i] = (Mean){ mean[i], mean_se[i] };
    free(x);
    free(group);
}
