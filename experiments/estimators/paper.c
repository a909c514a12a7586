/*
 * paper.c - the recipe of the paper (arXiv 2411.17525, Algorithm 3)
 *
 *     alpha = sum_j [PPL(t_j) - PPL] t_j^2 / sum_j t_j^4
 *
 * 15 noise levels (paper.t2), one sigma per matrix, a draw of its own for each level that serves all windows, least squares through the
 * origin.  paper.draws sweeps are made.  The noise of the draws, which windows do not show, is told from how the levels scatter
 * about the line (crossed.h).
 * Cost: .6 passes per layer, level and sweep.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/crossed.h"
#include "core/estimate/fit.h"
#include "experiments/estimators/estimator.h"

typedef struct { Run *run; const Perturbation *law; int n_levels, n_sweeps; int *layer, n_layers; } Recipe;

static int recipe_init(Recipe *r, Run *run)
{
    *r = (Recipe){ .run = run, .law = perturbation_find("gaussian"), .n_levels = options_count(run->options, "paper.t2"),
                   .n_sweeps = (int)options_integer(run->options, "paper.draws") };
    if (r->n_levels * r->n_sweeps > 65535) FAIL(ERR_ARGUMENT, "paper.draws: %d sweeps of %d levels are more draws than can be told apart", r->n_sweeps, r->n_levels);
    return estimator_layers(&r->layer, &r->n_layers, &estimator_paper, run);
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

/* The points of one layer: levels of all sweeps, [n] t^2 and [n][windows] losses. */
typedef struct { int n, n_levels; double *t2, *nll; } Points;

static int measure_points(Points *p, Coefficients *out, const Recipe *r, int place)
{
    const size_t windows = (size_t)out->n_windows;
    *p = (Points){ 0, r->n_levels, xcalloc((size_t)(r->n_levels * r->n_sweeps), sizeof *p->t2), xcalloc((size_t)(r->n_levels * r->n_sweeps) * windows, sizeof *p->nll) };
    for (int s = 0; s < r->n_sweeps; s++)
        for (int j = 0; j < r->n_levels; j++) {
            Level level;
            Measurement m;
            TRY(level_init(&level, r, r->layer[place], s, j));
            int status = run_measure(&m, r->run, &level.map);
            out->passes += measure_cost(r->run->study, &level.map);
            level_free(&level);
            TRY(status);
            memcpy(p->nll + (size_t)p->n * windows, m.nll, sizeof *p->nll * windows);
            p->t2[p->n++] = m.t2[0];
            out->seconds += m.seconds;
            measurement_free(&m);
        }
    return OK;
}

/*
 * alpha = sum_j c_j y_j over all points, y_j the rise of the perplexity over t_j^2, c_j = t_j^4 / sum t^4 (a mean over sweeps, each
 * of which has the same levels).  Cell (j, w) holds, to first order, what window w does to point j.
 */
static void fit_points(Coefficients *out, int place, const Points *p, const double *clean)
{
    const int windows = out->n_windows;
    double *cell = xmalloc(sizeof *cell * (size_t)(p->n * windows)), *share = xmalloc(sizeof *share * (size_t)p->n), *a = out->a + (int64_t)place * windows;
    double base, mean, se, squares = 0, tokens = 0, alpha = 0;
    weighted_mean(&base, &se, clean, out->tokens, windows);
    for (int w = 0; w < windows; w++) tokens += (double)out->tokens[w];
    for (int j = 0; j < p->n; j++) squares += p->t2[j] * p->t2[j];
    for (int j = 0; j < p->n; j++) {
        const double *nll = p->nll + (int64_t)j * windows;
        weighted_mean(&mean, &se, nll, out->tokens, windows);
        const double weight = p->t2[j] / squares, rise = exp(mean) - exp(base);
        share[j] = p->t2[j] * weight;
        alpha += weight * rise;
        for (int w = 0; w < windows; w++) {
            const double influence = weight * (rise + exp(mean) * (nll[w] - mean) - exp(base) * (clean[w] - base));
            cell[j * windows + w] = (double)out->tokens[w] / tokens * influence;
            a[w] += influence;                      /* the mean over windows is alpha itself */
        }
    }
    for (int j = 0; j < p->n; j++)
        for (int w = 0; w < windows; w++) cell[j * windows + w] -= (double)out->tokens[w] / tokens * share[j] * alpha;
    out->draws[place] = crossed_draws(cell, share, p->n, windows);
    free(cell);
    free(share);
}

static int add_layer(Coefficients *out, const Recipe *r, int place, const Measurement *clean)
{
    Points p;
    int status = measure_points(&p, out, r, place);
    double largest = 0;
    for (int j = 0; j < p.n; j++) largest = fmax(largest, p.t2[j]);
    if (status == OK && largest > 0) fit_points(out, place, &p, clean->nll);        /* a matrix of zeros cannot be disturbed */
    free(p.t2);
    free(p.nll);
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
    out->draws = xcalloc((size_t)r.n_layers, sizeof *out->draws);
    int status = study_clean(&clean, run->study);
    if (status == OK) {
        for (int i = 0; i < r.n_layers && status == OK; i++) status = add_layer(out, &r, i, &clean);
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
