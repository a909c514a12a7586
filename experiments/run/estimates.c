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
    table_add_column(t, COLUMN_NUMBER, se, unit, "its standard error over windows, or over the items of a task");
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

int units_count(const Corpus *corpus) { return corpus->task ? corpus->task->n_items : corpus->n_windows; }

Units units_of(const Corpus *corpus, const double *by_window, int rows)
{
    Units u = { .n = units_count(corpus) };
    const size_t n = (size_t)u.n;
    u.x = xmalloc(sizeof *u.x * n * (size_t)rows);
    u.tokens = xmalloc(sizeof *u.tokens * n);
    memcpy(u.tokens, corpus->tokens, sizeof *u.tokens * n);
    for (int i = 0; i < rows; i++) {
        const double *x = by_window + (int64_t)i * corpus->n_windows;
        if (corpus->task) item_means(u.x + (int64_t)i * u.n, u.tokens, corpus->task, x, corpus->tokens);
        else memcpy(u.x + (int64_t)i * u.n, x, sizeof *x * n);
    }
    return u;
}

void units_free(Units *u)
{
    free(u->x);
    free(u->tokens);
}

Mean corpus_mean(const Corpus *corpus, const double *by_window)
{
    Mean mean;
    Units u = units_of(corpus, by_window, 1);
    weighted_mean(&mean.value, &mean.se, u.x, u.tokens, u.n);
    units_free(&u);
    return mean;
}

Mean corpus_ratio(const Corpus *corpus, const double *a, const double *b)
{
    Mean ratio;
    Units x = units_of(corpus, a, 1), y = units_of(corpus, b, 1);
    ratio.value = paired_ratio(&ratio.se, x.x, y.x, x.tokens, x.n);
    units_free(&x);
    units_free(&y);
    return ratio;
}

double share_between(double from, double to, double size)
{
    const double slack = 1e-6;
    if (!(from <= size + slack && to >= size - slack)) return -1;
    return to - from > slack ? fmin(fmax((size - from) / (to - from), 0), 1) : 0;
}

Mean corpus_ratio_to_path(const Corpus *corpus, const double *x, const double *a, const double *b, double share)
{
    const double mine = corpus_mean(corpus, x).value, first = corpus_mean(corpus, a).value, second = corpus_mean(corpus, b).value;
    double *influence = xmalloc(sizeof *influence * (size_t)corpus->n_windows);
    for (int w = 0; w < corpus->n_windows; w++) influence[w] = x[w] / mine - (1 - share) * a[w] / first - share * b[w] / second;
    Mean ratio = { mine / (pow(first, 1 - share) * pow(second, share)), corpus_mean(corpus, influence).se };
    ratio.se *= ratio.value;
    free(influence);
    return ratio;
}

void add_model_losses(Table *t)
{
    add_estimate(t, "kl", "nats/token", "measured KL(clean || quantized)");
    add_estimate(t, "delta_nll", "nats/token", "measured, NLL quantized - NLL clean");
    add_estimate(t, "ppl", "", "perplexity");
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
