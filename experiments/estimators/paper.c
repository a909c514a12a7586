/*
 * paper.c - the recipe of the paper (arXiv 2411.17525, Algorithm 3)
 *
 *     alpha = sum_j [PPL(t_j) - PPL] t_j^2 / sum_j t_j^4
 *
 * 15 noise levels (paper.t2), one sigma per matrix, a draw of its own for each level that serves all windows, least squares through the
 * origin.  paper.draws sweeps are made; their scatter is the noise of the draws, which windows do not show.
 * Cost: .6 passes per layer, level and sweep.
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/estimators/estimator.h"

typedef struct { Run *run; const Perturbation *law; int n_levels, n_sweeps; int *layer, n_layers; } Recipe;

static int recipe_init(Recipe *r, Run *run)
{
    *r = (Recipe){ .run = run, .law = perturbation_find("gaussian"), .n_levels = options_count(run->options, "paper.t2"),
                   .n_sweeps = (int)options_integer(run->options, "paper.draws") };
    if (r->n_levels * r->n_sweeps > 65535) FAIL(ERR_ARGUMENT, "paper.draws: %d sweeps of %d levels are more draws than can be told apart", r->n_sweeps, r->n_levels);
    estimator_layers(&r->layer, &r->n_layers, &estimator_paper, run);
    return OK;
}

typedef struct { Options *options; MapEntry entry; LayerMap map; char *label; } Level;

static int level_init(Level *out, const Recipe *r, int layer, int sweep, int j)
{
    const double t2 = options_number_at(r->run->options, "paper.t2", j);
    out->options = noise_at(r->run, r->law, t2, "matrix", "shared");
    if (!out->options) return ERR_ARGUMENT;
    out->entry = (MapEntry){ layer, r->law, out->options };
    out->label = xformat("%s paper t2=%g sweep %d", model_layer(study_model(r->run->study), layer)->name, t2, sweep);
    out->map = (LayerMap){ .n = 1, .entry = &out->entry, .draw = sweep * r->n_levels + j, .label = out->label };
    return OK;
}

static void level_free(Level *level)
{
    options_free(level->options);
    free(level->label);
}

static int plan(Plan *plan, Run *run)
{
    Recipe r;
    TRY(recipe_init(&r, run));
    int status = OK;
    for (int i = 0; i < r.n_layers; i++)
        for (int s = 0; s < r.n_sweeps; s++)
            for (int j = 0; j < r.n_levels && status == OK; j++) {
                Level level;
                status = level_init(&level, &r, r.layer[i], s, j);
                if (status != OK) break;
                plan_add(plan, &level.map);
                level_free(&level);
            }
    free(r.layer);
    return status;
}

/* What window w does to alpha, to first order: the mean over windows is alpha itself. */
static void add_windows(Coefficients *out, int place, const double *nll, const double *clean, const double *t2, double alpha, int n_levels, double share)
{
    double *influence = xcalloc((size_t)out->n_windows, sizeof *influence), mean, se, squares = 0, base;
    weighted_mean(&base, &se, clean, out->tokens, out->n_windows);
    for (int j = 0; j < n_levels; j++) squares += t2[j] * t2[j];
    for (int j = 0; j < n_levels; j++) {
        const double *level = nll + (int64_t)j * out->n_windows;
        weighted_mean(&mean, &se, level, out->tokens, out->n_windows);
        for (int w = 0; w < out->n_windows; w++)
            influence[w] += t2[j] / squares * (exp(mean) * (level[w] - mean) - exp(base) * (clean[w] - base));
    }
    for (int w = 0; w < out->n_windows; w++) out->a[(int64_t)place * out->n_windows + w] += share * (alpha + influence[w]);
    free(influence);
}

static int add_sweep(Coefficients *out, const Recipe *r, int place, int sweep, const Measurement *clean)
{
    const int n = r->n_levels, windows = out->n_windows;
    double *nll = xmalloc(sizeof *nll * (size_t)(n * windows)), *t2 = xmalloc(sizeof *t2 * (size_t)n), alpha = 0, se, r2;
    int status = OK;
    for (int j = 0; j < n && status == OK; j++) {
        Level level;
        Measurement m;
        status = level_init(&level, r, r->layer[place], sweep, j);
        if (status != OK) break;
        status = run_measure(&m, r->run, &level.map);
        out->passes += measure_cost(r->run->study, &level.map);
        level_free(&level);
        if (status != OK) break;
        for (int w = 0; w < windows; w++) nll[j * windows + w] = m.nll[w];
        t2[j] = m.t2[0];
        out->seconds += m.seconds;
        measurement_free(&m);
    }
    if (status == OK) status = fit_through_origin(&alpha, &se, &r2, nll, clean->nll, t2, out->tokens, n, windows, 1, 0);
    if (status == OK) add_windows(out, place, nll, clean->nll, t2, alpha, n, 1.0 / r->n_sweeps);
    out->by_draw[(int64_t)place * r->n_sweeps + sweep] = alpha;
    free(nll);
    free(t2);
    return status;
}

static int run(Coefficients *out, Run *run)
{
    Recipe r;
    Measurement clean;
    TRY(recipe_init(&r, run));
    coefficients_init(out, &estimator_paper, run, r.layer, r.n_layers);
    out->scale = "matrix";
    out->n_draws = r.n_sweeps;
    out->by_draw = xcalloc((size_t)(r.n_layers * r.n_sweeps), sizeof *out->by_draw);
    int status = study_clean(&clean, run->study);
    if (status == OK) {
        for (int i = 0; i < r.n_layers; i++)
            for (int s = 0; s < r.n_sweeps && status == OK; s++) status = add_sweep(out, &r, i, s, &clean);
        measurement_free(&clean);
    }
    out->passes_all = out->passes * estimator_extrapolation(run, r.layer, r.n_layers);
    free(r.layer);
    if (status != OK) coefficients_free(out);
    return status;
}

const Estimator estimator_paper = {
    .name = "paper", .summary = "the paper's recipe: PPL at 15 levels of noise, one layer at a time, a line through the origin", .metric = "PPL",
    .caveat = "of the PPL; one sigma per matrix; holds curvature", .one_by_one = true, .plan = plan, .run = run,
};
