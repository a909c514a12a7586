/*
 * sensitivity_fisher.c - what a backward pass adds to the tables of the experiment `sensitivity`
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/contrast.h"
#include "core/estimate/distribution.h"
#include "core/estimate/equivalence.h"
#include "core/estimate/fit.h"
#include "core/estimate/influence.h"
#include "core/estimate/predict.h"
#include "experiments/sensitivity/sensitivity.h"

static const Layer *layer_of(const Run *run, const Coefficients *c, int i) { return model_layer(study_model(run->study), c->layer[i]); }

static int64_t *weights_of(const Run *run, const Coefficients *c)
{
    int64_t *weights = xmalloc(sizeof *weights * (size_t)c->n_layers);
    for (int i = 0; i < c->n_layers; i++) weights[i] = layer_of(run, c, i)->rows * layer_of(run, c, i)->cols;
    return weights;
}

static int set_coefficient(Table *t, int64_t row, const char *name, const Coefficients *c, const double *by_window, int place, const Run *run)
{
    Estimate e;
    char *se = xformat("%s_se", name);
    int status = coefficient_estimate(&e, c, by_window, place, run);
    if (status == OK) {
        table_set_number(t, row, name, e.value);
        table_set_number(t, row, se, e.se);
    }
    if (status == OK && !strcmp(name, "alpha")) {
        table_set_number(t, row, "alpha_low", e.low);
        table_set_number(t, row, "alpha_high", e.high);
    }
    free(se);
    return status;
}

int fisher_rows(Table *t, const Run *run, const Coefficients *c)
{
    const size_t layers = (size_t)c->n_layers;
    double *contrast = xmalloc(sizeof *contrast * layers), *robust = xmalloc(sizeof *robust * layers), *robust_se = xmalloc(sizeof *robust_se * layers);
    int *capped = xmalloc(sizeof *capped * layers), status = OK;
    int64_t *weights = weights_of(run, c);
    contrast_errors(contrast, c->a, c->tokens, weights, c->n_layers, c->n_windows);
    influence_robust_mean(robust, robust_se, capped, c->a, c->tokens, c->n_layers, c->n_windows, ROBUST_CAP);
    for (int i = 0; i < c->n_layers && status == OK; i++) {
        int64_t row = add_coefficient_row(t, run, layer_of(run, c, i), "fisher", "nats/token", c->scale, 0);
        const Influence top = influence_largest(c->a + (int64_t)i * c->n_windows, c->tokens, c->n_windows);
        table_set_number(t, row, "contrast_se", contrast[i]);
        table_set_number(t, row, "alpha_robust", robust[i]);
        table_set_number(t, row, "alpha_robust_se", robust_se[i]);
        table_set_integer(t, row, "windows_capped", capped[i]);
        table_set_integer(t, row, "top_window", top.window);
        table_set_number(t, row, "top_share", top.share);
        table_set_number(t, row, "top_size", top.size);
        status = set_coefficient(t, row, "alpha", c, c->a, i, run);
        if (status == OK) status = set_coefficient(t, row, "alpha_sigma", c, c->sigma, i, run);
        if (status == OK) status = set_coefficient(t, row, "rho", c, c->rho, i, run);
    }
    free(contrast);
    free(robust);
    free(robust_se);
    free(capped);
    free(weights);
    return status;
}

Table *window_table(const Run *run, const Coefficients *c)
{
    Table *t = table_new("coefficient_windows", "the coefficient of each layer in each window: all that errors, covariances and resamplings of them follow from");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "window", "", "number of the window, from 0");
    table_add_column(t, COLUMN_INTEGER, "tokens", "", "scored tokens of the window: its weight in the mean");
    table_add_column(t, COLUMN_NUMBER, "alpha", "nats/token per unit t2", "coefficient (estimator fisher)");
    table_add_column(t, COLUMN_NUMBER, "alpha_sigma", "nats/token per unit t2", "for one sigma per matrix");
    table_add_column(t, COLUMN_NUMBER, "rho", "nats/token per unit t2", "for error along the weights");
    for (int i = 0; i < c->n_layers; i++)
        for (int w = 0; w < c->n_windows; w++) {
            int64_t row = table_add_row(t), at = (int64_t)i * c->n_windows + w;
            table_set_text(t, row, "layer", layer_of(run, c, i)->name);
            table_set_integer(t, row, "window", w);
            table_set_integer(t, row, "tokens", c->tokens[w]);
            table_set_number(t, row, "alpha", c->a[at]);
            table_set_number(t, row, "alpha_sigma", c->sigma[at]);
            table_set_number(t, row, "rho", c->rho[at]);
        }
    return t;
}

Table *covariance_table(const Run *run, const Coefficients *c)
{
    Table *t = table_new("covariance", "covariance over windows of the coefficients of two layers (estimator fisher), each pair once");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of a layer");
    table_add_column(t, COLUMN_TEXT, "other", "", "the same one or a later one");
    table_add_column(t, COLUMN_NUMBER, "covariance", "(nats/token per unit t2)^2", "of the two means; of a layer with itself alpha's squared standard error over windows");
    for (int i = 0; i < c->n_layers; i++)
        for (int j = i; j < c->n_layers && c->n_windows > 1; j++) {
            int64_t row = table_add_row(t);
            table_set_text(t, row, "layer", layer_of(run, c, i)->name);
            table_set_text(t, row, "other", layer_of(run, c, j)->name);
            table_set_number(t, row, "covariance", covariance_of_means(c->a + (int64_t)i * c->n_windows, c->a + (int64_t)j * c->n_windows, c->tokens, c->n_windows));
        }
    return t;
}

/* ---- the check: layers disturbed one by one ---- */

/* Layers with points above the noise floor: coefficients by injection and from the backward pass, [n][windows] each. */
typedef struct { int n; int *response; double *injected, *fisher, *capped_injected, *capped_fisher; } Checks;

static void checks_init(Checks *c, const Responses *r)
{
    const size_t windows = (size_t)r->n_windows, cells = (size_t)r->n_layers * windows;
    double *capped = xmalloc(sizeof *capped * (size_t)r->fisher.n_layers * windows);
    int *count = xmalloc(sizeof *count * (size_t)r->fisher.n_layers);
    *c = (Checks){ 0, xmalloc(sizeof(int) * (size_t)r->n_layers), xmalloc(sizeof(double) * cells), xmalloc(sizeof(double) * cells),
                   xmalloc(sizeof(double) * cells), xmalloc(sizeof(double) * cells) };
    influence_cap(capped, count, r->fisher.a, r->fisher.n_layers, r->n_windows, ROBUST_CAP);
    for (int i = 0; i < r->n_layers; i++) {
        double *a = c->injected + (size_t)c->n * windows;
        const size_t from = (size_t)coefficients_place(&r->fisher, r->layer[i].layer) * windows, to = (size_t)c->n * windows;
        response_coefficients(a, &r->layer[i], r->layer[i].used, NULL);
        if (!isfinite(a[0])) continue;
        memcpy(c->fisher + to, r->fisher.a + from, sizeof(double) * windows);
        memcpy(c->capped_fisher + to, capped + from, sizeof(double) * windows);
        c->response[c->n++] = i;
    }
    influence_cap(c->capped_injected, count, c->injected, c->n, r->n_windows, ROBUST_CAP);
    free(capped);
    free(count);
}

static void checks_free(Checks *c)
{
    void *all[] = { c->response, c->injected, c->fisher, c->capped_injected, c->capped_fisher };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void set_ratio(Table *t, int64_t row, const char *name, const double *injected, const double *fisher, const Responses *r)
{
    double se, ratio = paired_ratio(&se, injected, fisher, r->clean.tokens, r->n_windows);
    char *se_name = xformat("%s_se", name);
    table_set_number(t, row, name, ratio);
    table_set_number(t, row, se_name, se);
    free(se_name);
}

Table *check_table(const Run *run, const Responses *r)
{
    if (r->n_layers == 0 || r->fisher.n_layers == 0) return NULL;
    Table *t = table_new("checks", "coefficients by noise in single layers beside those of the backward pass, on the same windows");
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
    table_add_column(t, COLUMN_NUMBER, "injected", "nats/token per unit t2", "from the KL under noise (levels above the noise floor)");
    table_add_column(t, COLUMN_NUMBER, "fisher", "nats/token per unit t2", "from the backward pass");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "injected / fisher");
    table_add_column(t, COLUMN_NUMBER, "ratio_se", "", "its standard error over windows, paired");
    table_add_column(t, COLUMN_NUMBER, "ratio_half", "", "half its 95 % interval (Student's t over windows)");
    table_add_column(t, COLUMN_NUMBER, "ratio_robust", "", "the same of both robust means: windows capped at 5 times the layer's median one");
    table_add_column(t, COLUMN_NUMBER, "ratio_robust_se", "", "its standard error over windows, paired");
    Checks c;
    checks_init(&c, r);
    for (int i = 0; i < c.n; i++) {
        const Layer *layer = model_layer(study_model(run->study), r->layer[c.response[i]].layer);
        const size_t at = (size_t)i * (size_t)r->n_windows;
        double mean, se;
        int64_t row = table_add_row(t);
        table_set_text(t, row, "layer", layer->name);
        table_set_integer(t, row, "block", layer->block);
        table_set_text(t, row, "type", layer_type_name[layer->type]);
        weighted_mean(&mean, &se, c.injected + at, r->clean.tokens, r->n_windows);
        table_set_number(t, row, "injected", mean);
        weighted_mean(&mean, &se, c.fisher + at, r->clean.tokens, r->n_windows);
        table_set_number(t, row, "fisher", mean);
        set_ratio(t, row, "ratio", c.injected + at, c.fisher + at, r);
        table_set_number(t, row, "ratio_half", student_quantile(0.95, r->n_windows - 1) * table_number(t, row, "ratio_se"));
        set_ratio(t, row, "ratio_robust", c.capped_injected + at, c.capped_fisher + at, r);
    }
    checks_free(&c);
    return t;
}

/* ---- what is said ---- */

void say_fisher(Run *run, const Coefficients *c)
{
    const double target = 0.002;
    int64_t *weights = weights_of(run, c);
    double regret = contrast_regret(c->a, c->tokens, weights, c->n_layers, c->n_windows), more = contrast_windows(regret, c->n_windows, target);
    if (isfinite(regret))
        run_say(run, "All of them come from %s over %d windows (%.1f forward passes). An allocation by them is expected to lose %.2g %% to their errors%s",
                c->n_draws > 1 ? "backward passes" : "one backward pass", c->n_windows, c->passes, 100 * regret, regret <= target ? "." : ";");
    if (isfinite(regret) && regret > target) run_say(run, "about %.0f windows would bring that to %.1f %%.", more, 100 * target);
    free(weights);
    int heavy = 0;
    for (int i = 0; i < c->n_layers; i++) heavy += influence_largest(c->a + (int64_t)i * c->n_windows, c->tokens, c->n_windows).size > 20;
    if (heavy) run_say(run, "In %d layers one window is over 20 times the median one: see the columns top_window and alpha_robust.", heavy);
    run_say_first_token(run);
}

/* Log ratios in a column, of the checked layers of one type (NULL: all), with standard errors; returns how many. */
static int log_ratios(double *log_ratio, double *se, const Table *t, const char *column, const char *type)
{
    int n = 0;
    char *error_column = xformat("%s_se", column);
    for (int64_t row = 0; row < t->n_rows; row++) {
        double ratio = table_number(t, row, column), error = table_number(t, row, error_column);
        if (!(ratio > 0) || !isfinite(error) || (type && strcmp(type, table_text(t, row, "type")))) continue;
        log_ratio[n] = log(ratio);
        se[n++] = error / ratio;
    }
    free(error_column);
    return n;
}

static void say_types(Run *run, const Table *t, const char *column, double *log_ratio, double *se)
{
    enum { FEW = 4 };                   /* layers of a type that are worth a mean */
    char *text = xstrdup("");
    for (int type = 0; type < LAYER_TYPES; type++) {
        int n = log_ratios(log_ratio, se, t, column, layer_type_name[type]);
        if (n < FEW) continue;
        Equivalence e = equivalence_test(log_ratio, se, n, 1.1);
        char *longer = xformat("%s%s%s %.3f +- %.3f", text, *text ? ", " : "", layer_type_name[type], exp(e.mean), exp(e.mean) * e.se);
        free(text);
        text = longer;
    }
    if (*text) run_say(run, "By type: %s.", text);
    free(text);
}

static void say_column(Run *run, const Table *t, const char *column, const char *what)
{
    const int n_windows = study_corpus(run->study)->n_windows;
    double *log_ratio = xmalloc(sizeof(double) * (size_t)(t->n_rows + 1)), *se = xmalloc(sizeof(double) * (size_t)(t->n_rows + 1));
    int n = log_ratios(log_ratio, se, t, column, NULL);
    if (n > 1) {
        Equivalence e = equivalence_test(log_ratio, se, n, 1.1);
        run_say(run, "Noise injected into %d single layers gives %.3f +- %.3f times %s (geometric mean); they differ by %.0f %% beyond their errors, and %.0f %% of them agree "
                "within their 95 %% interval.", n, exp(e.mean), exp(e.mean) * e.se, what, 100 * e.between, 100 * equivalence_share(log_ratio, se, n, n_windows));
        say_types(run, t, column, log_ratio, se);
    }
    free(log_ratio);
    free(se);
}

/* Was any window capped that changes a ratio? */
static bool any_capped(const Table *t)
{
    for (int64_t row = 0; row < t->n_rows; row++)
        if (table_number(t, row, "ratio") != table_number(t, row, "ratio_robust")) return true;
    return false;
}

void say_checks(Run *run, const Table *t)
{
    say_column(run, t, "ratio", "these coefficients");
    if (!any_capped(t)) return;
    say_column(run, t, "ratio_robust", "them where no window counts more than 5 times the median one");
}
