/*
 * additivity_slopes.c - how the slope of the loss in each layer has changed where all layers have noise
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "experiments/additivity/additivity.h"
#include "experiments/estimators/slope_ratios.h"

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

typedef struct { Mean a, slope, ratio, shrunk; } LayerSlope;

static LayerSlope layer_slope(const Additivity *a, int c, int i)
{
    const int n = a->n_windows;
    const double t2 = a->t2[c * a->n_layers + i], *dot = last_node(&a->choice[c][LAW_NOISE])->dot + (int64_t)i * n, *coefficient = a->a + (int64_t)i * n;
    double *slope = xmalloc(sizeof *slope * (size_t)n);
    for (int w = 0; w < n; w++) slope[w] = t2 > 0 ? dot[w] / (2 * t2) : NAN;
    const LayerSlope s = { mean_over_windows(a, coefficient), mean_over_windows(a, slope), ratio_over_windows(a, slope, coefficient), { NAN, NAN } };
    free(slope);
    return s;
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
        { "slope_se", s->slope.se }, { "ratio", s->ratio.value }, { "ratio_se", s->ratio.se }, { "shrunk", s->shrunk.value }, { "shrunk_se", s->shrunk.se },
    };
    for (size_t j = 0; j < sizeof cell / sizeof *cell; j++) table_set_number(t, row, cell[j].name, isfinite(cell[j].value) ? cell[j].value : NAN);
}

void slopes_make(Additivity *a)
{
    a->slopes_table = slopes_table();
    LayerSlope *s = xmalloc(sizeof *s * (size_t)a->n_layers);
    Mean *ratio = xmalloc(sizeof *ratio * (size_t)a->n_layers), *shrunk = xmalloc(sizeof *shrunk * (size_t)a->n_layers);
    for (int c = 0; c < a->n_choices; c++) {
        for (int i = 0; i < a->n_layers; i++) s[i] = layer_slope(a, c, i);
        for (int i = 0; i < a->n_layers; i++) ratio[i] = s[i].ratio;
        shrink_slope_ratios(shrunk, ratio, a->run);
        for (int i = 0; i < a->n_layers; i++) s[i].shrunk = shrunk[i];
        for (int i = 0; i < a->n_layers; i++) add_layer(a->slopes_table, a, c, i, &s[i]);
    }
    free(s);
    free(ratio);
    free(shrunk);
}
