/*
 * additivity_singles.c - each layer alone: how much of the excess is its own, and whether the law holds to a margin
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/equivalence.h"
#include "core/estimate/fit.h"
#include "experiments/additivity/additivity.h"

static Table *singles_table(void)
{
    Table *t = table_new("singles", "each layer alone: KL measured and predicted");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_TEXT, "law", "", "quantizer: its own error; noise: noise of its t2");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error");
    table_add_column(t, COLUMN_NUMBER, "kl", "nats/token", "measured with an error in this layer only");
    table_add_column(t, COLUMN_NUMBER, "kl_se", "nats/token", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "predicted", "nats/token", "a t2");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "measured / predicted");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over windows");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    return t;
}

static Table *equivalence_table(void)
{
    Table *t = table_new("equivalence", "single layers, measured against a t2: geometric mean, equivalence to 10 %, regression of logarithms");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options; empty: all choices together");
    table_add_column(t, COLUMN_TEXT, "law", "", "quantizer or noise");
    table_add_column(t, COLUMN_INTEGER, "pairs", "", "layers, or layers and choices, above the noise floor");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "geometric mean of measured / predicted");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over layers");
    table_add_column(t, COLUMN_NUMBER, "between", "", "standard deviation of log ratios between layers beyond their standard errors");
    table_add_column(t, COLUMN_NUMBER, "p", "", "that the mean is outside 1/1.1 to 1.1 (TOST): below .05 it is inside");
    table_add_column(t, COLUMN_NUMBER, "share", "", "of pairs that agree within their 95 % interval");
    table_add_column(t, COLUMN_NUMBER, "slope", "", "of log measured on log predicted; 1 if the law holds");
    table_add_column(t, COLUMN_NUMBER, "slope_se", "", "its standard error, pairs taken as independent");
    table_add_column(t, COLUMN_NUMBER, "offset", "", "distance from the law at the centre of the data, logarithm");
    table_add_column(t, COLUMN_NUMBER, "offset_se", "", "its standard error");
    return t;
}

static void add_single(Additivity *a, int c, Law law, int i, const double *kl)
{
    Table *t = a->singles_table;
    const Layer *layer = additivity_layer(a, i);
    const Mean mean = mean_over_windows(a, kl);
    const double *t2 = last_node(&a->choice[c][law])->t2 + (int64_t)i * a->n_windows, *coefficient = a->a + (int64_t)i * a->n_windows;
    double *predicted = xmalloc(sizeof *predicted * (size_t)a->n_windows);
    for (int w = 0; w < a->n_windows; w++) predicted[w] = coefficient[w] * t2[w];
    const Mean ratio = ratio_over_windows(a, kl, predicted);
    int64_t row = table_add_row(t);
    table_set_text(t, row, "choice", additivity_choice(a, c)->name);
    table_set_text(t, row, "law", law_name[law]);
    table_set_text(t, row, "layer", layer->name);
    table_set_integer(t, row, "block", layer->block);
    table_set_text(t, row, "type", layer_type_name[layer->type]);
    const struct { const char *name; double value; } cell[] = {
        { "t2", mean_over_windows(a, t2).value }, { "kl", mean.value }, { "kl_se", mean.se }, { "predicted", mean_over_windows(a, predicted).value },
        { "ratio", ratio.value }, { "ratio_se", ratio.se },
    };
    for (size_t j = 0; j < sizeof cell / sizeof *cell; j++) table_set_number(t, row, cell[j].name, cell[j].value);
    table_set_integer(t, row, "near_floor", near_floor(a, mean.value));
    free(predicted);
}

int singles_measure(Singles *out, Additivity *a, int c, Law law)
{
    const int n = a->n_windows;
    int status = OK;
    *out = (Singles){ xcalloc((size_t)(a->n_layers * n), sizeof(double)), xcalloc((size_t)n, sizeof(double)) };
    if (!a->singles_table) a->singles_table = singles_table();
    for (int i = 0; i < a->n_layers && status == OK; i++) {
        double *kl = out->kl + (int64_t)i * n;
        status = single_measure(kl, a, c, law, i);
        if (status == OK) add_single(a, c, law, i, kl);
        for (int w = 0; w < n; w++) out->sum[w] += kl[w];
    }
    if (status != OK) singles_free(out);
    return status;
}

void singles_free(Singles *singles)
{
    free(singles->kl);
    free(singles->sum);
}

/* ---- tests ---- */

typedef struct { int n, n_windows; double *measured, *predicted, *ratio, *se; } Pairs;        /* logarithms */

/* Those of one law that can be taken logarithms of; choice NULL: of all choices. */
static void pairs_of(Pairs *out, const Table *t, int n_windows, const char *choice, const char *law)
{
    const size_t bytes = sizeof(double) * (size_t)(t->n_rows ? t->n_rows : 1);
    *out = (Pairs){ 0, n_windows, xmalloc(bytes), xmalloc(bytes), xmalloc(bytes), xmalloc(bytes) };
    for (int64_t row = 0; row < t->n_rows; row++) {
        const double kl = table_number(t, row, "kl"), predicted = table_number(t, row, "predicted"), ratio = table_number(t, row, "ratio");
        const double se = table_number(t, row, "ratio_se") / ratio;
        const bool asked = !strcmp(table_text(t, row, "law"), law) && (!choice || !strcmp(table_text(t, row, "choice"), choice));
        if (!asked || table_integer(t, row, "near_floor") || !(kl > 0 && predicted > 0) || !isfinite(se)) continue;
        const int n = out->n++;
        out->measured[n] = log(kl), out->predicted[n] = log(predicted), out->ratio[n] = log(ratio), out->se[n] = se;
    }
}

static void pairs_free(Pairs *p)
{
    free(p->measured);
    free(p->predicted);
    free(p->ratio);
    free(p->se);
}

static void add_test(Table *t, const Pairs *p, const char *choice, const char *law)
{
    static const double margin = 1.1;
    int64_t row = table_add_row(t);
    table_set_text(t, row, "choice", choice ? choice : "");
    table_set_text(t, row, "law", law);
    table_set_integer(t, row, "pairs", p->n);
    if (p->n == 0) return;
    const LogRegression line = equivalence_regression(p->measured, p->predicted, p->se, p->n);
    table_set_number(t, row, "share", equivalence_share(p->ratio, p->se, p->n, p->n_windows));
    table_set_number(t, row, "slope", line.slope);
    table_set_number(t, row, "slope_se", line.slope_se);
    table_set_number(t, row, "offset", line.offset);
    table_set_number(t, row, "offset_se", line.offset_se);
    if (!choice) return;                                    /* pairs of one layer are not independent: no test */
    const Equivalence test = equivalence_test(p->ratio, p->se, p->n, margin);
    table_set_number(t, row, "ratio", exp(test.mean));
    table_set_number(t, row, "ratio_se", exp(test.mean) * test.se);
    table_set_number(t, row, "between", test.between);
    table_set_number(t, row, "p", test.p);
}

void singles_test(Additivity *a)
{
    a->equivalence_table = equivalence_table();
    for (Law law = 0; law < LAWS && a->singles_table; law++)
        for (int c = 0; c <= a->n_choices; c++) {
            const char *choice = c < a->n_choices ? additivity_choice(a, c)->name : NULL;
            Pairs pairs;
            pairs_of(&pairs, a->singles_table, a->n_windows, choice, law_name[law]);
            add_test(a->equivalence_table, &pairs, choice, law_name[law]);
            pairs_free(&pairs);
        }
}
