/*
 * quantizers_whole.c - each choice in all layers: losses over bits, and choices of nearly equal size against one another
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"
#include "experiments/quantizers/quantizers.h"

/* Rivals are within so many bits per weight of one another. */
static const double NEARLY_EQUAL = .1;

static Table *whole_table(void)
{
    Table *t = table_new("quantizers", "each choice in all layers under study");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options");
    table_add_column(t, COLUMN_TEXT, "method", "", "quantizer");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average, all overhead counted");
    table_add_column(t, COLUMN_NUMBER, "code_bits", "bits/weight", "average of the codes alone");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error, mean over weights");
    table_add_column(t, COLUMN_NUMBER, "kappa", "", "shrinkage -<W^ - W, W> / |W|^2, mean over weights");
    add_estimate(t, "kl", "nats/token", "measured KL(clean || quantized)");
    add_estimate(t, "delta_nll", "nats/token", "measured, NLL quantized - NLL clean");
    add_estimate(t, "ppl", "", "perplexity");
    add_estimate(t, "ppl_ratio", "", "perplexity / clean perplexity on the same windows");
    table_add_column(t, COLUMN_NUMBER, "predicted", "nats/token", "sum of a^G t2");
    table_add_column(t, COLUMN_NUMBER, "predicted_low", "nats/token", "where the KL measured on the same text should fall, 95 %: lower end");
    table_add_column(t, COLUMN_NUMBER, "predicted_high", "nats/token", "its upper end");
    add_estimate(t, "ratio", "", "measured / predicted");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    table_add_column(t, COLUMN_NUMBER, "kl_mirrored", "nats/token", "KL of the same error with the opposite sign (quantizers.mirrored)");
    add_estimate(t, "pair_ratio", "", "mean of both KL / predicted");
    return t;
}

static Table *rivals_table(void)
{
    Table *t = table_new("rivals", "pairs of choices within .1 bits per weight, on the same windows");
    table_add_column(t, COLUMN_TEXT, "choice", "", "the better one");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "its size");
    table_add_column(t, COLUMN_TEXT, "rival", "", "the other one");
    table_add_column(t, COLUMN_NUMBER, "rival_bits", "bits/weight", "its size");
    add_estimate(t, "kl_ratio", "", "KL of the better one / KL of the other");
    add_estimate(t, "difference", "nats/token", "KL of the other - KL of the better one");
    table_add_column(t, COLUMN_INTEGER, "sure", "", "1: the 95 % interval of the difference is above 0");
    return t;
}

static LayerMap map_of(MapEntry *entry, const Quantizers *q, int c, bool mirrored)
{
    const Choice *choice = quantizers_choice(q, c);
    for (int i = 0; i < q->n_layers; i++) entry[i] = (MapEntry){ q->run->layer[i], choice->perturbation, choice->options };
    return (LayerMap){ .n = q->n_layers, .entry = entry, .mirrored = mirrored, .label = choice->name };
}

void whole_plan(Plan *out, Quantizers *q)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)q->n_layers);
    for (int c = 0; c < q->n_choices; c++)
        for (int sign = 0; sign <= (int)q->mirrored; sign++) {
            const LayerMap map = map_of(entry, q, c, sign);
            plan_add(out, &map);
        }
    free(entry);
}

static double average(const Quantizers *q, const double *of_layer)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < q->n_layers; i++) {
        const double n = (double)(quantizers_layer(q, i)->rows * quantizers_layer(q, i)->cols);
        sum += n * of_layer[i];
        weights += n;
    }
    return sum / weights;
}

/* [n_layers][units] a^G, for intervals over what is drawn independently; the caller frees. */
static double *unit_coefficients(const Quantizers *q)
{
    const Corpus *corpus = study_corpus(q->run->study);
    const int n = corpus_units(corpus);
    double *a = xmalloc(sizeof *a * (size_t)q->n_layers * (size_t)n);
    for (int i = 0; i < q->n_layers; i++) {
        Units units = corpus_by_unit(corpus, q->fisher.a + (int64_t)i * q->n_windows);
        memcpy(a + (int64_t)i * n, units.x, sizeof *a * (size_t)n);
        units_free(&units);
    }
    return a;
}

static void set_mirrored(const Quantizers *q, Table *t, int64_t row, const WindowCoefficients *c, const Measurement *m, const Measurement *mirrored)
{
    Mean ratio;
    double *both = xmalloc(sizeof *both * (size_t)q->n_windows);
    for (int w = 0; w < q->n_windows; w++) both[w] = (m->kl[w] + mirrored->kl[w]) / 2;
    Units units = corpus_by_unit(study_corpus(q->run->study), both);
    ratio.value = predict_ratio(&ratio.se, c, m->t2, units.x);
    table_set_number(t, row, "kl_mirrored", mean_of(q, mirrored->kl).value);
    set_estimate(t, row, "pair_ratio", ratio);
    units_free(&units);
    free(both);
}

static void set_prediction(const Quantizers *q, Table *t, int64_t row, const Measurement *m, const Measurement *mirrored)
{
    Units kl = corpus_by_unit(study_corpus(q->run->study), m->kl);
    double *a = unit_coefficients(q);
    const WindowCoefficients c = { .n_layers = q->n_layers, .n_windows = kl.n, .n_draws = q->fisher.n_draws, .a = a, .tokens = kl.tokens };
    const Interval interval = predict_loss(&c, m->t2, q->v, kl.x);
    Mean ratio;
    ratio.value = predict_ratio(&ratio.se, &c, m->t2, kl.x);
    table_set_number(t, row, "predicted", interval.value);
    table_set_number(t, row, "predicted_low", interval.low);
    table_set_number(t, row, "predicted_high", interval.high);
    set_estimate(t, row, "ratio", ratio);
    if (mirrored) set_mirrored(q, t, row, &c, m, mirrored);
    units_free(&kl);
    free(a);
}

static void add_whole(Quantizers *q, int c, const Measurement *m, const Measurement *mirrored)
{
    Table *t = q->whole;
    const int64_t row = table_add_row(t);
    table_set_text(t, row, "choice", quantizers_choice(q, c)->name);
    table_set_text(t, row, "method", quantizers_choice(q, c)->perturbation->name);
    const struct { const char *name; const double *x; } average_of[] = { { "bits", m->bits }, { "code_bits", m->code_bits }, { "t2", m->t2 }, { "kappa", m->kappa } };
    for (int i = 0; i < 4; i++) table_set_number(t, row, average_of[i].name, average(q, average_of[i].x));
    const Mean delta = set_model_losses(t, row, &(Losses){ study_corpus(q->run->study), q->n_windows, q->tokens, m->kl, m->nll, q->clean, q->floor_kl });
    set_estimate(t, row, "ppl_ratio", (Mean){ exp(delta.value), exp(delta.value) * delta.se });
    set_prediction(q, t, row, m, mirrored);
}

static int measure_choice(double *kl, Quantizers *q, int c)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)q->n_layers);
    Measurement m = { 0 }, other = { 0 };
    LayerMap map = map_of(entry, q, c, false);
    int status = run_measure(&m, q->run, &map);
    map.mirrored = true;
    if (status == OK && q->mirrored) status = run_measure(&other, q->run, &map);
    if (status == OK) {
        add_whole(q, c, &m, q->mirrored ? &other : NULL);
        memcpy(kl, m.kl, sizeof *kl * (size_t)q->n_windows);
    }
    measurement_free(&m);
    measurement_free(&other);
    free(entry);
    return status;
}

static void add_rivals(Quantizers *q, int better, int other, const double *kl)
{
    const double *a = kl + (int64_t)better * q->n_windows, *b = kl + (int64_t)other * q->n_windows;
    double *difference = xmalloc(sizeof *difference * (size_t)q->n_windows);
    for (int w = 0; w < q->n_windows; w++) difference[w] = b[w] - a[w];
    const Mean mean = mean_of(q, difference);
    const int64_t row = table_add_row(q->rivals);
    table_set_text(q->rivals, row, "choice", quantizers_choice(q, better)->name);
    table_set_text(q->rivals, row, "rival", quantizers_choice(q, other)->name);
    table_set_number(q->rivals, row, "bits", table_number(q->whole, better, "bits"));
    table_set_number(q->rivals, row, "rival_bits", table_number(q->whole, other, "bits"));
    set_estimate(q->rivals, row, "kl_ratio", ratio_of(q, a, b));
    set_estimate(q->rivals, row, "difference", mean);
    const int units = corpus_units(study_corpus(q->run->study));
    table_set_integer(q->rivals, row, "sure", units > 1 && mean.value > student_quantile(.95, units - 1) * mean.se);
    free(difference);
}

int whole_measure(Quantizers *q)
{
    double *kl = xmalloc(sizeof *kl * (size_t)(q->n_choices * q->n_windows));
    int status = OK;
    q->whole = whole_table();
    q->rivals = rivals_table();
    for (int c = 0; c < q->n_choices && status == OK; c++) status = measure_choice(kl + (int64_t)c * q->n_windows, q, c);
    for (int c = 0; c < q->n_choices && status == OK; c++)
        for (int d = 0; d < q->n_choices; d++) {
            const bool near = fabs(table_number(q->whole, c, "bits") - table_number(q->whole, d, "bits")) <= NEARLY_EQUAL;
            const double mine = table_number(q->whole, c, "kl"), yours = table_number(q->whole, d, "kl");
            if (c != d && near && (mine < yours || (mine == yours && c < d))) add_rivals(q, c, d, kl);
        }
    free(kl);
    return status;
}
