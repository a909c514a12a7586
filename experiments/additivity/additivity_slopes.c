/*
 * additivity_slopes.c - how the slope of the loss in each layer has changed where all layers have noise
 *
 * Raw ratios of a few windows are too noisy to allocate by.  Shrunken ones are drawn toward layers of the same type and
 * depth (shrink.h).  Not as logarithms: slopes may be negative, and leaving those out took the total from 2.0 to 2.6
 * times that of small noise (3 windows, 210 layers, 3 bits).  And with one standard error for the layers of a group:
 * those of a few windows are as uncertain as the values (with them 5-95 % of layers were at .5-4.3 instead of .9-3.8).
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/shrink.h"
#include "experiments/additivity/additivity.h"

enum { DEPTHS = 5 };

static Table *slopes_table(void)
{
    Table *t = table_new("slopes", "slope of the loss in each layer with noise in all of them, against that without noise");
    table_add_column(t, COLUMN_TEXT, "choice", "", "whose t2 the noise has in each layer");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of the choice");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error");
    table_add_column(t, COLUMN_NUMBER, "a", "nats/token per unit t2", "slope without noise: Fisher coefficient");
    table_add_column(t, COLUMN_NUMBER, "a_se", "nats/token per unit t2", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "slope", "nats/token per unit t2", "d KL / d t2 of this layer with that noise in all layers");
    table_add_column(t, COLUMN_NUMBER, "slope_se", "nats/token per unit t2", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "slope / a");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "shrunk", "", "the ratio drawn toward those of the same type and fifth of the depth (empirical Bayes)");
    table_add_column(t, COLUMN_NUMBER, "shrunk_se", "", "its posterior standard deviation");
    return t;
}

typedef struct { Mean a, slope, ratio; double mean, se; } LayerSlope;

static LayerSlope layer_slope(const Additivity *a, int c, int i)
{
    const int n = a->n_windows;
    const double t2 = a->t2[c * a->n_layers + i], *dot = last_node(&a->choice[c][LAW_NOISE])->dot + (int64_t)i * n, *coefficient = a->a + (int64_t)i * n;
    double *slope = xmalloc(sizeof *slope * (size_t)n);
    for (int w = 0; w < n; w++) slope[w] = t2 > 0 ? dot[w] / (2 * t2) : NAN;
    const LayerSlope s = { mean_over_windows(a, coefficient), mean_over_windows(a, slope), ratio_over_windows(a, slope, coefficient), NAN, NAN };
    free(slope);
    return s;
}

/* se[i]: root mean square of the standard errors in the group of i, as far as they are known. */
static void pool_errors(double *se, const LayerSlope *s, const int *group, int n)
{
    for (int i = 0; i < n; i++) {
        double squares = 0;
        int known = 0;
        for (int j = 0; j < n; j++)
            if (group[j] == group[i] && isfinite(s[j].ratio.se)) squares += s[j].ratio.se * s[j].ratio.se, known++;
        se[i] = known && isfinite(s[i].ratio.se) ? sqrt(squares / known) : NAN;
    }
}

static void shrink_slopes(LayerSlope *s, const Additivity *a)
{
    const int n = a->n_layers, blocks = model_shape(study_model(a->run->study))->n_blocks;
    double *x = xmalloc(sizeof *x * 4 * (size_t)n), *se = x + n, *mean = x + 2 * n, *mean_se = x + 3 * n;
    int *group = xmalloc(sizeof *group * (size_t)n), parent[LAYER_TYPES * DEPTHS];
    for (int g = 0; g < LAYER_TYPES * DEPTHS; g++) parent[g] = g / DEPTHS;
    for (int i = 0; i < n; i++) {
        const Layer *layer = additivity_layer(a, i);
        x[i] = s[i].ratio.value;
        group[i] = (int)layer->type * DEPTHS + layer->block * DEPTHS / blocks;
    }
    pool_errors(se, s, group, n);
    shrink(mean, mean_se, &(ShrinkProblem){ n, LAYER_TYPES * DEPTHS, LAYER_TYPES, x, se, group, parent });
    for (int i = 0; i < n; i++) s[i].mean = mean[i], s[i].se = mean_se[i];
    free(x);
    free(group);
}

static void add_layer(Table *t, const Additivity *a, int c, int i, const LayerSlope *s)
{
    const Layer *layer = additivity_layer(a, i);
    int64_t row = table_add_row(t);
    table_set_text(t, row, "choice", additivity_choice(a, c)->name);
    table_set_text(t, row, "layer", layer->name);
    table_set_integer(t, row, "block", layer->block);
    table_set_text(t, row, "type", layer_type_name[layer->type]);
    const struct { const char *name; double value; } cell[] = {
        { "bits", choice_bits(a, c) }, { "t2", a->t2[c * a->n_layers + i] }, { "a", s->a.value }, { "a_se", s->a.se }, { "slope", s->slope.value },
        { "slope_se", s->slope.se }, { "ratio", s->ratio.value }, { "ratio_se", s->ratio.se }, { "shrunk", s->mean }, { "shrunk_se", s->se },
    };
    for (size_t j = 0; j < sizeof cell / sizeof *cell; j++) table_set_number(t, row, cell[j].name, isfinite(cell[j].value) ? cell[j].value : NAN);
}

void slopes_make(Additivity *a)
{
    a->slopes_table = slopes_table();
    LayerSlope *s = xmalloc(sizeof *s * (size_t)a->n_layers);
    for (int c = 0; c < a->n_choices; c++) {
        for (int i = 0; i < a->n_layers; i++) s[i] = layer_slope(a, c, i);
        shrink_slopes(s, a);
        for (int i = 0; i < a->n_layers; i++) add_layer(a->slopes_table, a, c, i, &s[i]);
    }
    free(s);
}
