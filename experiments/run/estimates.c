/*
 * estimates.c - values with their standard errors: as two columns of a table, and for people; losses of a model
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/accuracy.h"
#include "core/estimate/fit.h"
#include "experiments/run/run.h"

void add_estimate(Table *t, const char *name, const char *unit, const char *meaning)
{
    char *se = xformat("%s_se", name);
    table_add_column(t, COLUMN_NUMBER, name, unit, meaning);
    table_add_column(t, COLUMN_NUMBER, se, unit, "its standard error over windows");
    free(se);
}

void set_estimate(Table *t, int64_t row, const char *name, Mean mean)
{
    char *se = xformat("%s_se", name);
    table_set_number(t, row, name, mean.value);
    table_set_number(t, row, se, mean.se);
    free(se);
}

char *with_error(double value, double se)
{
    if (!isfinite(value)) return xstrdup("unknown");
    return isfinite(se) ? xformat("%.3g +- %.2g", value, se) : xformat("%.3g", value);
}

static Mean mean_over(const Losses *l, const double *by_window)
{
    Mean mean;
    const CorpusTask *task = l->corpus->task;
    if (!task) {
        weighted_mean(&mean.value, &mean.se, by_window, l->tokens, l->n_windows);
        return mean;
    }
    double *x = xmalloc(sizeof *x * (size_t)task->n_items);
    int64_t *tokens = xmalloc(sizeof *tokens * (size_t)task->n_items);
    item_means(x, tokens, task, by_window, l->tokens);
    weighted_mean(&mean.value, &mean.se, x, tokens, task->n_items);
    free(x);
    free(tokens);
    return mean;
}

Mean set_model_losses(Table *t, int64_t row, const Losses *l)
{
    double *difference = window_difference(l->nll, l->clean, l->n_windows);
    const Mean kl = mean_over(l, l->kl), nll = mean_over(l, l->nll), delta = mean_over(l, difference);
    free(difference);
    set_estimate(t, row, "kl", kl);
    set_estimate(t, row, "delta_nll", delta);
    set_estimate(t, row, "ppl", (Mean){ exp(nll.value), exp(nll.value) * nll.se });
    table_set_integer(t, row, "near_floor", !(kl.value > FLOOR_FACTOR * l->floor_kl));
    if (l->corpus->task) set_accuracies(t, row, l);
    return delta;
}
