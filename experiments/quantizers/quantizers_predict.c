/*
 * quantizers_predict.c - what each predictor says of a layer with a real error, and how far off it is over layers
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/equivalence.h"
#include "experiments/quantizers/quantizers.h"

void predict_single(double *out, const Quantizers *q, Predictor predictor, int c, int s)
{
    const Single *single = single_of(q, c, s);
    predictor_loss(out, predictor, &q->fisher, q->single[s], &(ErrorSize){ single->error.t2, single->error.kappa, single->kronecker, single->square });
}

/* ---- layers ---- */

static Table *layer_table(const Quantizers *q)
{
    Table *t = table_new("quantizer_layers", "each choice in one layer alone: KL measured, and what each predictor says");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error");
    table_add_column(t, COLUMN_NUMBER, "kappa", "", "shrinkage -<W^ - W, W> / |W|^2");
    table_add_column(t, COLUMN_NUMBER, "kronecker", "", "K, the error's size by the layer's Kronecker factors; t2 for an error alike in all directions");
    table_add_column(t, COLUMN_NUMBER, "kl", "nats/token", "measured with this layer quantized only");
    table_add_column(t, COLUMN_NUMBER, "kl_se", "nats/token", "its standard error over windows");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    if (q->mirrored) table_add_column(t, COLUMN_NUMBER, "kl_mirrored", "nats/token", "measured for the same error with the opposite sign");
    for (Predictor p = 0; p < PREDICTORS; p++) {
        char *ratio = xformat("ratio_%s", predictor_row[p].name), *se = xformat("%s_se", ratio), *meaning = xformat("measured / (%s)", predictor_row[p].meaning);
        table_add_column(t, COLUMN_NUMBER, ratio, "", meaning);
        table_add_column(t, COLUMN_NUMBER, se, "", "its standard error over windows");
        free(ratio);
        free(se);
        free(meaning);
    }
    return t;
}

static bool near_floor(const Quantizers *q, double kl) { return !(kl > FLOOR_FACTOR * q->floor_kl); }

static void add_layer(Quantizers *q, int c, int s)
{
    const Single *single = single_of(q, c, s);
    const Layer *layer = quantizers_layer(q, q->single[s]);
    const Mean kl = mean_of(q, single->kl);
    const int64_t row = table_add_row(q->layers);
    double *predicted = xmalloc(sizeof *predicted * (size_t)q->n_windows);
    table_set_text(q->layers, row, "choice", quantizers_choice(q, c)->name);
    table_set_text(q->layers, row, "layer", layer->name);
    table_set_integer(q->layers, row, "block", layer->block);
    table_set_text(q->layers, row, "type", layer_type_name[layer->type]);
    const struct { const char *name; double value; } cell[] = {
        { "bits", single->error.bits }, { "t2", single->error.t2 }, { "kappa", single->error.kappa }, { "kronecker", single->kronecker }, { "kl", kl.value }, { "kl_se", kl.se },
    };
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(q->layers, row, cell[i].name, cell[i].value);
    table_set_integer(q->layers, row, "near_floor", near_floor(q, kl.value));
    if (q->mirrored) table_set_number(q->layers, row, "kl_mirrored", mean_of(q, single->kl_mirrored).value);
    for (Predictor p = 0; p < PREDICTORS; p++) {
        predict_single(predicted, q, p, c, s);
        const Mean ratio = ratio_of(q, single->kl, predicted);
        char *name = xformat("ratio_%s", predictor_row[p].name), *se = xformat("%s_se", name);
        table_set_number(q->layers, row, name, ratio.value);
        table_set_number(q->layers, row, se, ratio.se);
        free(name);
        free(se);
    }
    free(predicted);
}

/* ---- over layers ---- */

static Table *predictor_table(void)
{
    Table *t = table_new("predictors", "measured / predicted over layers quantized one at a time");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_TEXT, "sign", "", "plus: the quantizer's error; both: mean of its KL and that of the opposite error");
    table_add_column(t, COLUMN_TEXT, "predictor", "", "what predicts (columns ratio_* of quantizer_layers)");
    table_add_column(t, COLUMN_INTEGER, "layers", "", "above the noise floor, with a positive ratio");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "geometric mean of the relative squared error");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "geometric mean of measured / predicted");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over layers");
    table_add_column(t, COLUMN_NUMBER, "sd", "", "standard deviation of log ratios over layers, all causes");
    table_add_column(t, COLUMN_NUMBER, "between", "", "the part of it beyond the layers' standard errors over windows");
    table_add_column(t, COLUMN_NUMBER, "share", "", "of layers that agree within their 95 % interval");
    table_add_column(t, COLUMN_NUMBER, "p", "", "that the mean is outside 1/1.1 to 1.1 (TOST): below .05 it is inside");
    return t;
}

typedef struct { int n; double log_t2, *ratio, *se; } Ratios;        /* logarithms */

static void add_ratio(Ratios *out, const Quantizers *q, Predictor p, int c, int s, bool both)
{
    const Single *single = single_of(q, c, s);
    double *measured = xmalloc(sizeof *measured * (size_t)q->n_windows), *predicted = xmalloc(sizeof *predicted * (size_t)q->n_windows);
    predict_single(predicted, q, p, c, s);
    for (int w = 0; w < q->n_windows; w++) measured[w] = both ? (single->kl[w] + single->kl_mirrored[w]) / 2 : single->kl[w];
    const Mean ratio = ratio_of(q, measured, predicted);
    if (!near_floor(q, mean_of(q, measured).value) && ratio.value > 0 && isfinite(ratio.value) && isfinite(ratio.se)) {
        out->ratio[out->n] = log(ratio.value);
        out->se[out->n++] = ratio.se / ratio.value;
        out->log_t2 += log(single->error.t2);
    }
    free(measured);
    free(predicted);
}

static double deviation(const double *x, int n)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) mean += x[i] / n;
    for (int i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(squares / (n - 1)) : NAN;
}

static void add_predictor(Quantizers *q, Predictor p, int c, bool both)
{
    const size_t room = sizeof(double) * (size_t)(q->n_singles + 1);
    Ratios r = { .ratio = xmalloc(room), .se = xmalloc(room) };
    for (int s = 0; s < q->n_singles; s++) add_ratio(&r, q, p, c, s, both);
    const int64_t row = table_add_row(q->predictors);
    table_set_text(q->predictors, row, "choice", quantizers_choice(q, c)->name);
    table_set_text(q->predictors, row, "sign", both ? "both" : "plus");
    table_set_text(q->predictors, row, "predictor", predictor_row[p].name);
    table_set_integer(q->predictors, row, "layers", r.n);
    if (r.n) {
        const Equivalence test = equivalence_test(r.ratio, r.se, r.n, 1.1);
        const struct { const char *name; double value; } cell[] = {
            { "t2", exp(r.log_t2 / r.n) }, { "ratio", exp(test.mean) }, { "ratio_se", exp(test.mean) * test.se }, { "sd", deviation(r.ratio, r.n) },
            { "between", test.between }, { "share", equivalence_share(r.ratio, r.se, r.n, units_count(study_corpus(q->run->study))) }, { "p", test.p },
        };
        for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(q->predictors, row, cell[i].name, cell[i].value);
    }
    free(r.ratio);
    free(r.se);
}

void predictors_tables(Quantizers *q)
{
    q->layers = layer_table(q);
    q->predictors = predictor_table();
    if (q->n_singles == 0) return;
    for (int c = 0; c < q->n_choices; c++) {
        for (int s = 0; s < q->n_singles; s++) add_layer(q, c, s);
        for (int both = 0; both <= (int)q->mirrored; both++)
            for (Predictor p = 0; p < PREDICTORS; p++) add_predictor(q, p, c, both);
    }
}
