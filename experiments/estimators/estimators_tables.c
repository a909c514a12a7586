/*
 * estimators_tables.c - the tables of the experiment `estimators`, and what it says at the end
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"
#include "experiments/estimators/estimators.h"

Table *comparison_table(const Comparisons *all)
{
    Table *t = table_new("estimators", "ways to the coefficients, on the same windows");
    table_add_column(t, COLUMN_TEXT, "estimator", "", "name");
    table_add_column(t, COLUMN_TEXT, "metric", "", "what is counted, per unit of t2");
    table_add_column(t, COLUMN_TEXT, "scale", "", "error follows each group's rms (group) or has one sigma (matrix)");
    table_add_column(t, COLUMN_INTEGER, "layers", "", "layers it was used on");
    table_add_column(t, COLUMN_INTEGER, "windows", "", "windows of text");
    table_add_column(t, COLUMN_INTEGER, "tokens", "tokens", "inputs of these windows");
    table_add_column(t, COLUMN_NUMBER, "passes", "forward passes", "cost for these layers, by FLOPs");
    table_add_column(t, COLUMN_NUMBER, "passes_all", "forward passes", "cost for all layers under study, extrapolated where it was used on fewer");
    table_add_column(t, COLUMN_NUMBER, "relative_se_median", "", "relative standard error of the median layer, over windows (and draws)");
    table_add_column(t, COLUMN_NUMBER, "relative_se_worst", "", "of the worst layer");
    table_add_column(t, COLUMN_NUMBER, "five_median", "token-forwards", "cost of 5 % in the median layer, for all layers under study (error^2 goes as 1 / cost)");
    table_add_column(t, COLUMN_NUMBER, "five_worst", "token-forwards", "of 5 % in the worst layer");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "geometric mean over layers of its coefficients / those of fisher (paper: PPL / clean PPL, and fisher's for one sigma)");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error");
    table_add_column(t, COLUMN_NUMBER, "spread", "", "sd over layers of the log ratio beyond what the errors explain");
    table_add_column(t, COLUMN_NUMBER, "agree", "", "share of layers whose ratio is 1 within its 95 % interval");
    table_add_column(t, COLUMN_INTEGER, "ratios", "", "layers with a ratio (positive)");
    table_add_column(t, COLUMN_NUMBER, "sum_ratio", "", "ratio of the sums over its layers, which needs no logarithm of noise");
    table_add_column(t, COLUMN_NUMBER, "sum_ratio_se", "", "its standard error, paired by window");
    table_add_column(t, COLUMN_NUMBER, "sum_ratio_half", "", "half its 95 % interval (Student's t over windows)");
    table_add_column(t, COLUMN_NUMBER, "work", "", "times the work of fisher for the same standard error, geometric mean over layers");
    table_add_column(t, COLUMN_NUMBER, "work_low", "", "95 % interval over layers, lower end");
    table_add_column(t, COLUMN_NUMBER, "work_high", "", "its upper end");
    table_add_column(t, COLUMN_TEXT, "caveat", "", "what it is off by, and why");
    const Compared *reference = NULL;
    for (int i = 0; i < all->n; i++)
        if (&all->compared[i].coefficients == all->reference) reference = &all->compared[i];
    for (int i = 0; i < all->n; i++) {
        const Compared *c = &all->compared[i];
        int64_t row = table_add_row(t);
        double work, low, high;
        compare_costs(&work, &low, &high, c, reference);
        table_set_text(t, row, "estimator", c->coefficients.estimator->name);
        table_set_text(t, row, "metric", c->coefficients.estimator->metric);
        table_set_text(t, row, "scale", c->coefficients.scale);
        table_set_text(t, row, "caveat", c->coefficients.estimator->caveat);
        table_set_integer(t, row, "layers", c->coefficients.n_layers);
        table_set_integer(t, row, "windows", c->coefficients.n_windows);
        table_set_integer(t, row, "tokens", study_corpus(all->run->study)->n_inputs);
        table_set_integer(t, row, "ratios", c->n_ratios);
        const struct { const char *name; double value; } cell[] = {
            { "passes", c->coefficients.passes }, { "passes_all", c->coefficients.passes_all }, { "relative_se_median", c->relative_median },
            { "relative_se_worst", c->relative_worst }, { "five_median", c->five_median }, { "five_worst", c->five_worst }, { "ratio", c->ratio },
            { "ratio_se", c->ratio_se }, { "spread", c->spread }, { "agree", c->agree }, { "sum_ratio", c->sum_ratio }, { "sum_ratio_se", c->sum_ratio_se },
            { "sum_ratio_half", student_quantile(0.95, c->coefficients.n_windows - 1) * c->sum_ratio_se },
            { "work", work }, { "work_low", low }, { "work_high", high },
        };
        for (size_t k = 0; k < sizeof cell / sizeof *cell; k++) table_set_number(t, row, cell[k].name, cell[k].value);
    }
    return t;
}

Table *estimate_table(const Comparisons *all)
{
    Table *t = table_new("estimates", "coefficients by every estimator, layer by layer");
    table_add_column(t, COLUMN_TEXT, "estimator", "", "name");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_NUMBER, "alpha", "metric per unit t2", "coefficient");
    table_add_column(t, COLUMN_NUMBER, "alpha_se", "metric per unit t2", "standard error over windows (and draws)");
    table_add_column(t, COLUMN_NUMBER, "alpha_low", "metric per unit t2", "95 % interval, lower end");
    table_add_column(t, COLUMN_NUMBER, "alpha_high", "metric per unit t2", "its upper end");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "to fisher's, on the same windows");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error, paired by window");
    for (int i = 0; i < all->n; i++)
        for (int l = 0; l < all->compared[i].coefficients.n_layers; l++) {
            const Coefficients *c = &all->compared[i].coefficients;
            const Layer *layer = model_layer(study_model(all->run->study), c->layer[l]);
            const LayerEstimate *e = &all->compared[i].layer[l];
            int64_t row = table_add_row(t);
            table_set_text(t, row, "estimator", c->estimator->name);
            table_set_text(t, row, "layer", layer->name);
            table_set_integer(t, row, "block", layer->block);
            table_set_text(t, row, "type", layer_type_name[layer->type]);
            table_set_number(t, row, "alpha", e->alpha);
            table_set_number(t, row, "alpha_se", e->se);
            table_set_number(t, row, "alpha_low", e->low);
            table_set_number(t, row, "alpha_high", e->high);
            table_set_number(t, row, "ratio", e->ratio);
            table_set_number(t, row, "ratio_se", e->ratio_se);
        }
    return t;
}

static const Compared *find(const Comparisons *all, const char *name)
{
    for (int i = 0; i < all->n; i++)
        if (!strcmp(all->compared[i].coefficients.estimator->name, name)) return &all->compared[i];
    return NULL;
}

static void say_recipe(const Comparisons *all)
{
    const Compared *fisher = find(all, "fisher"), *paper = find(all, "paper");
    double ratio, low, high;
    if (!fisher || !paper) return;
    int n = compare_costs(&ratio, &low, &high, paper, fisher);
    if (n > 1)
        run_say(all->run, "For the same standard error the paper's recipe takes %.3g times the work of one backward pass (geometric mean over %d layers, 95 %% interval %.2g to %.2g).",
                ratio, n, low, high);
}

/* "5 % (median) to 10 %", or that one window has none. */
static char *errors_text(const Compared *c)
{
    if (!isfinite(c->relative_median)) return xstrdup("no standard error from one window");
    return xformat("standard error %.2g %% (median) to %.2g %%; 5 %% in the median layer costs %.2g token-forwards; sum %.3f +- %.3f of fisher's",
                   100 * c->relative_median, 100 * c->relative_worst, c->five_median, c->sum_ratio, c->sum_ratio_se);
}

void say_comparisons(const Comparisons *all)
{
    for (int i = 0; i < all->n; i++) {
        const Coefficients *c = &all->compared[i].coefficients;
        const char *caveat = c->estimator->caveat;
        char *errors = errors_text(&all->compared[i]);
        run_say(all->run, "%-14s %4d layers, %8.4g passes (all layers %.4g): %s%s%s%s.", c->estimator->name, c->n_layers, c->passes, c->passes_all, errors,
                *caveat ? " (" : "", caveat, *caveat ? ")" : "");
        free(errors);
    }
    say_recipe(all);
    run_say_first_token(all->run);
}
