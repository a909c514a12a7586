#include "core/allocate/stability.h"

#include <math.h>
#include <stdlib.h>

#include "core/allocate/classes.h"
#include "core/base/err.h"
#include "core/estimate/fit.h"

static const double QUANTILE = 0.95;        /* of the regrets: regret_high */

/* What is solved again and again. */
typedef struct { const ChoiceTable *table; const Constraints *constraints; const Budget *budget; } Problem;

static int solve(Allocation *out, const Problem *p, const double *cost)
{
    Classes classes;
    ChoiceTable table = *p->table;
    if (cost) table.row_cost = cost;
    TRY(classes_init(&classes, &table, p->constraints));
    const int status = allocate_classes(out, &classes, p->budget);
    classes_free(&classes);
    return status;
}

/* [n_layers] rows; the caller frees.  Table and budget have been found good: what is refused here is the costs, and
 * the answer is NULL. */
static int *solve_again(const Problem *p, const double *cost)
{
    Allocation best;
    return solve(&best, p, cost) == OK ? best.row : NULL;
}

static void solve_all(int **out, const Problem *p, int n_resamples, CostResample resample, void *context)
{
    #pragma omp parallel for schedule(dynamic)
    for (int b = 0; b < n_resamples; b++) {
        double *cost = xmalloc((size_t)p->table->n_choices * sizeof *cost);
        #pragma omp critical(cost_resample)
        resample(cost, context, b);
        out[b] = solve_again(p, cost);
        free(cost);
    }
}

static double cost_of(const ChoiceTable *table, const int *row)
{
    double cost = 0;
    for (int l = 0; l < table->n_layers; l++)
        if (row[l] >= 0) cost += fmax(table->row_cost[row[l]], 0);
    return cost;
}

static void compare(Stability *out, const ChoiceTable *table, const Allocation *chosen, const Allocation *best, int *const *resolved, int n_resamples)
{
    const double least = cost_of(table, best->row), weights = (double)best->weights;
    double *regret = xmalloc((size_t)n_resamples * sizeof *regret);
    for (int b = 0; b < n_resamples; b++) {
        if (!resolved[b]) continue;
        for (int l = 0; l < table->n_layers; l++) out->keep[l] += resolved[b][l] == chosen->row[l];
        regret[out->n_resamples] = least > 0 ? cost_of(table, resolved[b]) / least - 1 : NAN;
        out->regret += regret[out->n_resamples++];
    }
    out->regret /= out->n_resamples;
    out->regret_high = quantile(regret, out->n_resamples, QUANTILE);
    for (int l = 0; l < table->n_layers; l++) {
        out->keep[l] /= out->n_resamples;
        if (best->row[l] >= 0) out->kept += out->keep[l] * (double)table->weights[l] / weights;
    }
    free(regret);
}

static int count_solved(int *const *resolved, int n)
{
    int solved = 0;
    for (int b = 0; b < n; b++) solved += resolved[b] != NULL;
    return solved;
}

int allocation_stability_under(Stability *out, const ChoiceTable *table, const Constraints *constraints, const Budget *budget,
                               const Allocation *chosen, int n_resamples, CostResample resample, void *context)
{
    const Problem problem = { table, constraints, budget };
    if (n_resamples < 1) FAIL(ERR_ARGUMENT, "stability needs at least one resample, not %d", n_resamples);
    Allocation best;
    TRY(solve(&best, &problem, NULL));
    int **resolved = xcalloc((size_t)n_resamples, sizeof *resolved);
    solve_all(resolved, &problem, n_resamples, resample, context);
    const int solved = count_solved(resolved, n_resamples);
    if (solved > 0) {
        Stability stability = { .keep = xcalloc((size_t)table->n_layers, sizeof *stability.keep) };
        compare(&stability, table, chosen, &best, resolved, n_resamples);
        *out = stability;
    }
    for (int b = 0; b < n_resamples; b++) free(resolved[b]);
    free(resolved);
    allocation_free(&best);
    if (solved == 0) FAIL(ERR_ARGUMENT, "none of the %d resamples has costs that are all numbers", n_resamples);
    return OK;
}

int allocation_stability(Stability *out, const ChoiceTable *table, double budget, const Allocation *chosen, int n_resamples,
                         CostResample resample, void *context)
{
    return allocation_stability_under(out, table, NULL, &(Budget){ .average = budget }, chosen, n_resamples, resample, context);
}

void stability_free(Stability *stability)
{
    if (!stability) return;
    free(stability->keep);
    stability->keep = NULL;
}
