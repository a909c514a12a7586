/*
 * dynamic_costs.c - what every choice does to every layer, and what each kind of cost says of it
 *
 * Of the error's own form <G, E>^2 / 2T a window and probe tell one number: 16 of them leave 35 % of noise in each layer and choice, and
 * an allocator picks the lucky ones.  `scaled` takes from these forms what they know well, by which factor a choice does better or
 * worse than a^G t2 in layers of a kind (slope_ratios.h), and leaves the differences between layers to a^G.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/influence.h"
#include "experiments/dynamic/dynamic.h"
#include "experiments/estimators/slope_ratios.h"

static const char MEASURED[] = "measured", SCALED[] = "scaled";
static const double LEAST_SCALE = .01;

static int find_cost(CostKind *out, const char *name)
{
    const char *names[PREDICTORS + 2];
    int n = 0;
    for (Predictor p = 0; p < PREDICTORS; p++)
        if (p != PREDICTOR_KRONECKER) names[n++] = predictor_row[p].name;
    names[n++] = MEASURED, names[n++] = SCALED;
    *out = (CostKind){ .predictor = PREDICTOR_SHRINKAGE, .measured = !strcmp(name, MEASURED), .scaled = !strcmp(name, SCALED) };
    bool found = out->measured || out->scaled;
    for (Predictor p = 0; p < PREDICTORS && !found; p++)
        if (p != PREDICTOR_KRONECKER && !strcmp(name, predictor_row[p].name)) out->predictor = p, found = true;
    const char *near = err_nearest(name, names, n);
    if (!found && near) FAIL(ERR_ARGUMENT, "dynamic.costs: there is no cost '%s'; did you mean '%s'?", name, near);
    if (!found) FAIL(ERR_ARGUMENT, "dynamic.costs: there is no cost '%s'; there are sigma, group, shrinkage, square, scaled, measured", name);
    out->name = xstrdup(name);
    return OK;
}

static bool any_square(const Dynamic *d)
{
    for (int k = 0; k < d->n_costs; k++)
        if (d->cost[k].scaled || (!d->cost[k].measured && d->cost[k].predictor == PREDICTOR_SQUARE)) return true;
    return false;
}

int costs_singles(const Dynamic *d)
{
    for (int k = 0; k < d->n_costs; k++)
        if (d->cost[k].measured) return d->n_rows;
    return 0;
}

int costs_init(Dynamic *d)
{
    const Options *options = d->run->options;
    const int n = options_count(options, "dynamic.costs");
    d->cost = xcalloc((size_t)n, sizeof *d->cost);
    for (; d->n_costs < n; d->n_costs++) {
        TRY(find_cost(&d->cost[d->n_costs], options_text_at(options, "dynamic.costs", d->n_costs)));
        d->cost[d->n_costs].by_window = xcalloc((size_t)d->n_rows * (size_t)d->n_windows, sizeof(double));
    }
    return OK;
}

/* ---- errors ---- */

static int apply_choices(Dynamic *d)
{
    Study *study = d->run->study;
    for (int i = 0; i < d->n_layers; i++)
        for (int c = 0; c < d->n_choices; c++) {
            const MapEntry entry = { d->run->layer[i], dynamic_choice(d, c)->perturbation, dynamic_choice(d, c)->options };
            const int row = row_of(d, i, c);
            PerturbationError error;
            TRY(study_apply(NULL, &error, study, &entry, (Draw){ study_seed(study), 0, 0 }));
            d->t2[row] = error.t2, d->kappa[row] = error.kappa, d->bits[row] = error.bits, d->code_bits[row] = error.code_bits;
        }
    return OK;
}

/* ---- the errors' own Fisher forms ---- */

static int plan_errors(void *context, const GradientRequest *request, int first)
{
    (void)first;
    plan_add_gradients(context, request);
    return OK;
}

typedef struct { double *square; Run *run; } Squares;

static int measure_errors(void *context, const GradientRequest *request, int first)
{
    const Squares *s = context;
    return add_error_pass(s->square, s->run, request, first);
}

static int *all_places(const Dynamic *d)
{
    int *place = xmalloc(sizeof *place * (size_t)d->n_layers);
    for (int i = 0; i < d->n_layers; i++) place[i] = i;
    return place;
}

/* square[n_choices][n_layers][n_windows]; NULL where no cost asks for it. */
static int measure_squares(double **square, Dynamic *d)
{
    *square = NULL;
    if (!any_square(d)) return OK;
    *square = xcalloc((size_t)d->n_rows * (size_t)d->n_windows, sizeof **square);
    int *place = all_places(d);
    Squares squares = { *square, d->run };
    int status = each_error_pass(d->run, place, d->n_layers, measure_errors, &squares);
    free(place);
    return status;
}

void costs_plan(Plan *out, Dynamic *d)
{
    estimator_fisher.plan(out, d->run);                 /* cannot fail: nothing is read */
    if (!any_square(d)) return;
    int *place = all_places(d);
    each_error_pass(d->run, place, d->n_layers, plan_errors, out);
    free(place);
}

/* ---- costs ---- */

static int measure_single(double *kl, Dynamic *d, int i, int c)
{
    const MapEntry entry = { d->run->layer[i], dynamic_choice(d, c)->perturbation, dynamic_choice(d, c)->options };
    char *label = xformat("%s %s", dynamic_layer(d, i)->name, dynamic_choice(d, c)->name);
    Measurement m;
    int status = run_measure(&m, d->run, &(LayerMap){ .n = 1, .entry = &entry, .label = label });
    free(label);
    if (status != OK) return status;
    memcpy(kl, m.kl, sizeof *kl * (size_t)d->n_windows);
    measurement_free(&m);
    return OK;
}

static int loss_of_row(Dynamic *d, CostKind *cost, int i, int c, const double *square)
{
    const int row = row_of(d, i, c);
    double *out = cost->by_window + (int64_t)row * d->n_windows;
    if (cost->measured && d->t2[row] >= options_number(d->run->options, "dynamic.measured")) return measure_single(out, d, i, c);
    const ErrorSize error = { .t2 = d->t2[row], .kappa = d->kappa[row], .square = square ? square + ((int64_t)c * d->n_layers + i) * d->n_windows : NULL };
    predictor_loss(out, cost->predictor, &d->fisher, i, &error);
    return OK;
}

/* What bounds a wild window in a layer's coefficient bounds it in all that the layer costs. */
static void bound_windows(Dynamic *d)
{
    double *capped = xmalloc(sizeof *capped * (size_t)d->n_layers * (size_t)d->n_windows);
    int *n = xmalloc(sizeof *n * (size_t)d->n_layers);
    const bool robust = options_flag(d->run->options, "robust");
    influence_cap(capped, n, d->fisher.a, d->n_layers, d->n_windows, robust ? ROBUST_CAP : INFINITY);
    for (int64_t k = 0; k < (int64_t)d->n_layers * d->n_windows; k++) d->calm[k] = robust && d->fisher.a[k] > 0 ? capped[k] / d->fisher.a[k] : 1;
    free(capped);
    free(n);
}

static int fill_row(Dynamic *d, CostKind *cost, int i, int c, const double *square)
{
    double *out = cost->by_window + (int64_t)row_of(d, i, c) * d->n_windows;
    TRY(loss_of_row(d, cost, i, c, square));
    for (int w = 0; w < d->n_windows; w++) out[w] *= d->calm[(int64_t)i * d->n_windows + w];
    return OK;
}

/* a^G t2 of one choice in all layers, times the shrunken ratio of its errors' own forms to it. */
static void fill_scaled(Dynamic *d, CostKind *cost, int c, const double *square)
{
    Mean *ratio = xmalloc(sizeof *ratio * (size_t)d->n_layers), *shrunk = xmalloc(sizeof *shrunk * (size_t)d->n_layers);
    double *own = xmalloc(sizeof *own * (size_t)d->n_windows);
    for (int i = 0; i < d->n_layers; i++) {
        double *out = cost->by_window + (int64_t)row_of(d, i, c) * d->n_windows;
        for (int w = 0; w < d->n_windows; w++) {
            const int64_t at = (int64_t)i * d->n_windows + w;
            out[w] = d->calm[at] * d->fisher.a[at] * d->t2[row_of(d, i, c)];
            own[w] = d->calm[at] * square[(int64_t)c * d->n_layers * d->n_windows + at];
        }
        ratio[i].value = paired_ratio(&ratio[i].se, own, out, d->tokens, d->n_windows);
    }
    shrink_slope_ratios(shrunk, ratio, d->run);
    for (int i = 0; i < d->n_layers; i++) {
        const double factor = isfinite(shrunk[i].value) ? fmax(shrunk[i].value, LEAST_SCALE) : 1;
        for (int w = 0; w < d->n_windows; w++) cost->by_window[(int64_t)row_of(d, i, c) * d->n_windows + w] *= factor;
    }
    free(ratio);
    free(shrunk);
    free(own);
}

static int fill_costs(Dynamic *d, const double *square)
{
    for (int k = 0; k < d->n_costs; k++)
        for (int c = 0; c < d->n_choices && d->cost[k].scaled; c++) fill_scaled(d, &d->cost[k], c, square);
    for (int k = 0; k < d->n_costs; k++)
        for (int c = 0; c < d->n_choices && !d->cost[k].scaled; c++)
            for (int i = 0; i < d->n_layers; i++) TRY(fill_row(d, &d->cost[k], i, c, square));
    return OK;
}

int costs_measure(Dynamic *d)
{
    double *square;
    TRY(apply_choices(d));
    TRY(estimator_fisher.run(&d->fisher, d->run));
    bound_windows(d);
    int status = measure_squares(&square, d);
    if (status == OK) status = fill_costs(d, square);
    free(square);
    TRY(status);
    for (int64_t k = 0; k < (int64_t)d->n_layers * d->n_windows; k++) d->fisher.a[k] *= d->calm[k];
    const WindowCoefficients fresh = { .n_layers = d->n_layers, .n_windows = d->n_windows, .n_draws = d->fisher.n_draws, .a = d->fisher.a, .tokens = d->tokens };
    draw_variance(d->v, &fresh);
    return OK;
}
