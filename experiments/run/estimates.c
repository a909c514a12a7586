/*
 * estimates.c - values with their standard errors: as two columns of a table, and for people; losses of a model
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/accuracy.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"
#include "experiments/run/run.h"

void add_estimate(Table *t, const char *name, const char *unit, const char *meaning)
{
    char *se = xformat("%s_se", name);
    table_add_column(t, COLUMN_NUMBER, name, unit, meaning);
    table_add_column(t, COLUMN_NUMBER, se, unit, "its standard error over windows, of a task over items");
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

int corpus_units(const Corpus *corpus) { return corpus->task ? corpus->task->n_items : corpus->n_windows; }

Units corpus_by_unit(const Corpus *corpus, const double *by_window)
{
    const CorpusTask *task = corpus->task;
    Units u = { .n = corpus_units(corpus) };
    u.x = xmalloc(sizeof *u.x * (size_t)u.n);
    u.tokens = xmalloc(sizeof *u.tokens * (size_t)u.n);
    if (task) item_means(u.x, u.tokens, task, by_window, corpus->tokens);
    else memcpy(u.x, by_window, sizeof *u.x * (size_t)u.n), memcpy(u.tokens, corpus->tokens, sizeof *u.tokens * (size_t)u.n);
    return u;
}

void units_free(Units *units)
{
    free(units->x);
    free(units->tokens);
    *units = (Units){ 0 };
}

Mean corpus_mean(const Corpus *corpus, const double *by_window)
{
    Mean mean;
    Units u = corpus_by_unit(corpus, by_window);
    weighted_mean(&mean.value, &mean.se, u.x, u.tokens, u.n);
    units_free(&u);
    return mean;
}

Mean corpus_ratio(const Corpus *corpus, const double *a, const double *b)
{
    Mean ratio;
    Units x = corpus_by_unit(corpus, a), y = corpus_by_unit(corpus, b);
    ratio.value = paired_ratio(&ratio.se, x.x, y.x, x.tokens, x.n);
    units_free(&x);
    units_free(&y);
    return ratio;
}

Mean set_model_losses(Table *t, int64_t row, const Losses *l)
{
    double *difference = window_difference(l->nll, l->clean, l->n_windows);
    const Mean kl = corpus_mean(l->corpus, l->kl), nll = corpus_mean(l->corpus, l->nll), delta = corpus_mean(l->corpus, difference);
    free(difference);
    set_estimate(t, row, "kl", kl);
    set_estimate(t, row, "delta_nll", delta);
    set_estimate(t, row, "ppl", (Mean){ exp(nll.value), exp(nll.value) * nll.se });
    table_set_integer(t, row, "near_floor", !(kl.value > FLOOR_FACTOR * l->floor_kl));
    if (l->corpus->task) set_accuracies(t, row, l);
    return delta;
}
