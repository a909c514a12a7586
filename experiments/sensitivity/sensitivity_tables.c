/*
 * sensitivity_tables.c - the tables of the experiment `sensitivity`, and the fits in them
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"
#include "experiments/sensitivity/sensitivity.h"

static void add_layer_columns(Table *t)
{
    table_add_column(t, COLUMN_TEXT, "layer", "", "name of the layer");
    table_add_column(t, COLUMN_INTEGER, "block", "", "block, from 0");
    table_add_column(t, COLUMN_TEXT, "type", "", "q k v o gate up down");
}

static int64_t add_layer_row(Table *t, const Layer *layer)
{
    int64_t row = table_add_row(t);
    table_set_text(t, row, "layer", layer->name);
    table_set_integer(t, row, "block", layer->block);
    table_set_text(t, row, "type", layer_type_name[layer->type]);
    return row;
}

static void set_mean(Table *t, int64_t row, const char *name, const double *x, const Responses *r)
{
    double mean, se;
    char *se_name = xformat("%s_se", name);
    weighted_mean(&mean, &se, x, r->clean.tokens, r->n_windows);
    table_set_number(t, row, name, mean);
    table_set_number(t, row, se_name, se);
    free(se_name);
}

static void add_loss_columns(Table *t)
{
    table_add_column(t, COLUMN_NUMBER, "kl", "nats/token", "KL(clean || perturbed), mean over scored tokens");
    table_add_column(t, COLUMN_NUMBER, "kl_se", "nats/token", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "delta_nll", "nats/token", "NLL perturbed - NLL clean, same tokens");
    table_add_column(t, COLUMN_NUMBER, "delta_nll_se", "nats/token", "its standard error over windows");
}

static void set_losses(Table *t, int64_t row, const double *kl, const double *nll, const Responses *r)
{
    double *delta = window_difference(nll, r->clean.nll, r->n_windows);
    set_mean(t, row, "kl", kl, r);
    set_mean(t, row, "delta_nll", delta, r);
    free(delta);
}

Table *response_table(const Run *run, const Responses *r)
{
    Table *t = table_new("responses", "loss under noise in a single layer");
    add_layer_columns(t);
    table_add_column(t, COLUMN_INTEGER, "draw", "", "independent draw");
    table_add_column(t, COLUMN_NUMBER, "t2_asked", "", "relative squared error asked for");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error that came out, mean over windows");
    add_loss_columns(t);
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: the mean KL of this level is below 20 times that of the null run; not used in fits");
    for (int i = 0; i < r->n_layers; i++)
        for (int j = 0; j < r->layer[i].n_points; j++) {
            const LayerResponse *l = &r->layer[i];
            int64_t row = add_layer_row(t, model_layer(study_model(run->study), l->layer)), at = (int64_t)j * r->n_windows;
            table_set_integer(t, row, "draw", l->draw[j]);
            table_set_number(t, row, "t2_asked", l->t2_asked[j]);
            table_set_number(t, row, "t2", l->t2[j]);
            set_losses(t, row, l->kl + at, l->nll + at, r);
            table_set_integer(t, row, "near_floor", !l->used[j]);
        }
    return t;
}

Table *floor_table(const Responses *r)
{
    Table *t = table_new("floor", "the null run: nothing perturbed, every matrix product rounded another way; deltas near it mean nothing");
    add_loss_columns(t);
    set_losses(t, table_add_row(t), r->null_run.kl, r->null_run.nll, r);
    return t;
}

static Table *empty_coefficients(void)
{
    Table *t = table_new("coefficients", "growth of the loss per unit of relative squared error of a layer");
    add_layer_columns(t);
    table_add_column(t, COLUMN_INTEGER, "weights", "", "number of weights");
    table_add_column(t, COLUMN_TEXT, "estimator", "", "fisher: one backward pass; kl: least squares of KL/t2 on (1, t2); paper: PPL through the origin (Algorithm 3)");
    table_add_column(t, COLUMN_TEXT, "metric", "", "nats/token (KL) or PPL, per unit t2");
    table_add_column(t, COLUMN_TEXT, "scale", "", "noise follows each group's rms (group) or has one sigma (matrix)");
    table_add_column(t, COLUMN_NUMBER, "alpha", "metric per unit t2",
                     "kl: the intercept; with one level KL/t2 there, curvature included; paper: the slope through the origin");
    table_add_column(t, COLUMN_NUMBER, "alpha_se", "metric per unit t2", "its standard error, bootstrap over windows; under noise.fresh: shared that holds no noise of the draw, "
                     "which is added (estimator kl) where there are several draws");
    table_add_column(t, COLUMN_NUMBER, "alpha_low", "metric per unit t2", "95 % interval, lower end: BCa over windows, below 6 of them +- Student's t x standard error; several shared draws add theirs in squares");
    table_add_column(t, COLUMN_NUMBER, "alpha_high", "metric per unit t2", "its upper end");
    table_add_column(t, COLUMN_NUMBER, "b", "metric per unit t2^2", "curvature; empty with one level");
    table_add_column(t, COLUMN_NUMBER, "b_se", "metric per unit t2^2", "its standard error over windows (shared draws not counted)");
    table_add_column(t, COLUMN_INTEGER, "levels", "", "noise levels in the fit");
    table_add_column(t, COLUMN_NUMBER, "range5", "", "t2 at which curvature is 5 % of the linear term; beyond the largest level an extrapolation");
    table_add_column(t, COLUMN_NUMBER, "range10", "", "t2 at which curvature is 10 % of the linear term; beyond the largest level an extrapolation");
    table_add_column(t, COLUMN_NUMBER, "lack_of_fit", "", "largest residual of KL/t2 relative to alpha; empty below three levels");
    table_add_column(t, COLUMN_NUMBER, "contrast_se", "", "relative standard error once a factor common to all layers is taken out, which costs an allocation nothing");
    table_add_column(t, COLUMN_NUMBER, "alpha_robust", "metric per unit t2", "mean with each window capped at 5 times the layer's median window");
    table_add_column(t, COLUMN_NUMBER, "alpha_robust_se", "metric per unit t2", "its standard error over the capped windows");
    table_add_column(t, COLUMN_INTEGER, "windows_capped", "", "how many windows were capped");
    table_add_column(t, COLUMN_INTEGER, "top_window", "", "window with the largest influence on alpha");
    table_add_column(t, COLUMN_NUMBER, "top_share", "", "its share of alpha");
    table_add_column(t, COLUMN_NUMBER, "top_size", "", "its value relative to the median window's");
    table_add_column(t, COLUMN_NUMBER, "alpha_sigma", "metric per unit t2", "coefficient for one sigma per matrix (the paper's)");
    table_add_column(t, COLUMN_NUMBER, "alpha_sigma_se", "metric per unit t2", "its standard error over windows");
    table_add_column(t, COLUMN_NUMBER, "rho", "metric per unit t2", "coefficient for error along the weights themselves");
    table_add_column(t, COLUMN_NUMBER, "rho_se", "metric per unit t2", "its standard error over windows");
    table_add_column(t, COLUMN_TEXT, "first_token", "", "what windows begin with; part of a coefficient's definition: a special token (bos) inflates the first block's");
    table_add_column(t, COLUMN_NUMBER, "r2", "", "R^2 of the fit through the origin (it says little: it follows the grid of levels)");
    return t;
}

/* The used points, levels as asked and responses scaled to them. */
typedef struct { int n; double *t2, *kl, *nll; } Points;

static int used_points(Points *out, const LayerResponse *l)
{
    size_t bytes = sizeof(double) * (size_t)l->n_points * (size_t)l->n_windows;
    Points p = { .t2 = xmalloc(sizeof(double) * (size_t)l->n_points), .kl = xmalloc(bytes), .nll = xmalloc(bytes) };
    for (int j = 0; j < l->n_points; j++) {
        if (!l->used[j] || l->t2[j] == 0) continue;
        for (int w = 0; w < l->n_windows; w++) {
            int64_t from = (int64_t)j * l->n_windows + w, to = (int64_t)p.n * l->n_windows + w;
            p.kl[to] = l->kl[from] * l->t2_asked[j] / l->t2[j];
            p.nll[to] = l->nll[from];
        }
        p.t2[p.n++] = l->t2_asked[j];
    }
    *out = p;
    return p.n;
}

int64_t add_coefficient_row(Table *t, const Run *run, const Layer *layer, const char *estimator, const char *metric, const char *scale, int levels)
{
    int64_t row = add_layer_row(t, layer);
    table_set_integer(t, row, "weights", layer->rows * layer->cols);
    table_set_text(t, row, "estimator", estimator);
    table_set_text(t, row, "metric", metric);
    table_set_text(t, row, "scale", scale);
    table_set_text(t, row, "first_token", study_corpus(run->study)->first_token);
    table_set_integer(t, row, "levels", levels);
    return row;
}

/* A draw shared by all windows is a second thing that a mean was taken over; windows do not show it. */
static void add_shared_draws(ResponseFit *fit, const Run *run, const Responses *r, const LayerResponse *l)
{
    const int n = (int)options_integer(run->options, "noise.draws");
    if (n < 2 || strcmp(options_text(run->options, "noise.fresh"), "shared")) return;
    double *a = xmalloc(sizeof *a * (size_t)n), mean, se;
    int64_t *once = xmalloc(sizeof *once * (size_t)n);
    for (int d = 0; d < n; d++) once[d] = 1;
    response_by_draw(a, n, l, l->used, NULL, r->clean.tokens);
    weighted_mean(&mean, &se, a, once, n);
    free(a);
    free(once);
    const double half = student_quantile(0.95, n - 1) * se;
    fit->a_se = hypot(fit->a_se, se);
    fit->a_low = fit->a - hypot(fit->a - fit->a_low, half);
    fit->a_high = fit->a + hypot(fit->a_high - fit->a, half);
}

static int fit_layer(Table *t, const Run *run, const Responses *r, const LayerResponse *l)
{
    const Layer *layer = model_layer(study_model(run->study), l->layer);
    int resamples = (int)options_integer(run->options, "bootstrap"), levels = response_levels(l, l->used);
    const char *scale = options_text(run->options, "noise.scale");
    int64_t kl = add_coefficient_row(t, run, layer, "kl", "nats/token", scale, levels), paper = add_coefficient_row(t, run, layer, "paper", "PPL", scale, levels);
    Points p;
    int n = used_points(&p, l), status = OK;
    ResponseFit fit;
    double alpha, se, r2;
    if (n) status = fit_response(&fit, p.kl, p.t2, r->clean.tokens, n, r->n_windows, resamples, study_seed(run->study));
    if (n && status == OK) {
        add_shared_draws(&fit, run, r, l);
        const struct { const char *name; double value; } cell[] = {
            { "alpha", fit.a }, { "alpha_se", fit.a_se }, { "alpha_low", fit.a_low }, { "alpha_high", fit.a_high }, { "b", fit.b }, { "b_se", fit.b_se },
            { "range5", fit.range5 }, { "range10", fit.range10 }, { "lack_of_fit", fit.lack_of_fit },
        };
        for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) table_set_number(t, kl, cell[i].name, cell[i].value);
        status = fit_through_origin(&alpha, &se, &r2, p.nll, r->clean.nll, p.t2, r->clean.tokens, n, r->n_windows, resamples, study_seed(run->study));
    }
    if (n && status == OK) {
        table_set_number(t, paper, "alpha", alpha);
        table_set_number(t, paper, "alpha_se", se);
        table_set_number(t, paper, "r2", r2);
    }
    free(p.t2);
    free(p.kl);
    free(p.nll);
    return status;
}

int coefficient_table(Table **out, const Run *run, const Responses *r)
{
    Table *t = empty_coefficients();
    int status = r->fisher.n_layers ? fisher_rows(t, run, &r->fisher) : OK;
    for (int i = 0; i < r->n_layers && status == OK; i++) status = fit_layer(t, run, r, &r->layer[i]);
    if (status != OK) table_free(t);
    else *out = t;
    return status;
}
