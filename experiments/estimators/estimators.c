/*
 * estimators.c - which estimator of the coefficients is worth its cost, and which ones agree?
 *
 * All of them on the same windows: standard error against cost, and each one's ratio to the backward pass, paired by
 * window.  Those that look at one layer at a time do so for the layers of check.layers; what all layers would cost is
 * extrapolated, and so is the cost of a standard error of 5 % (error^2 goes as 1 / cost).
 * Cost: linearity run --dry-run; the paper's recipe is most of it.  Feeds table 3 of paper-repro.md.
 */
#include "experiments/estimators/estimators.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

static int plan(Plan *out, int *later, Run *run)
{
    *later = 0;
    for (int i = 0; i < options_count(run->options, "estimators"); i++) {
        const Estimator *e = NULL;
        TRY(estimator_find(&e, options_text_at(run->options, "estimators", i)));
        TRY(e->plan(out, run));
    }
    return OK;
}

static int clean_perplexity(double *ppl, Run *run)
{
    Measurement clean;
    double mean, se;
    TRY(study_clean(&clean, run->study));
    weighted_mean(&mean, &se, clean.nll, clean.tokens, clean.n_windows);
    *ppl = exp(mean);
    measurement_free(&clean);
    return OK;
}

static int estimate_all(Comparisons *all)
{
    Run *run = all->run;
    const int n = options_count(run->options, "estimators");
    all->compared = xcalloc((size_t)n, sizeof *all->compared);
    for (; all->n < n; all->n++) {
        const Estimator *e = NULL;
        Coefficients *c = &all->compared[all->n].coefficients;
        TRY(estimator_find(&e, options_text_at(run->options, "estimators", all->n)));
        TRY(e->run(c, run));
        if (!all->reference || !strcmp(e->name, "fisher")) all->reference = c;
    }
    TRY(clean_perplexity(&all->clean_ppl, run));
    for (int i = 0; i < n; i++) TRY(compare_estimator(&all->compared[i], all));
    return OK;
}

static int run(Run *run)
{
    Comparisons all = { .run = run };
    int status = estimate_all(&all);
    if (status == OK) {
        say_comparisons(&all);
        run_emit(run, comparison_table(&all));
        run_emit(run, estimate_table(&all));
    }
    for (int i = 0; all.compared && i < options_count(run->options, "estimators"); i++) {
        coefficients_free(&all.compared[i].coefficients);
        free(all.compared[i].layer);
    }
    free(all.compared);
    return status;
}

const Experiment experiment_estimators = {
    .name = "estimators", .summary = "all estimators of the coefficients on the same text: error against cost, agreement, bias",
    .plan = plan, .run = run,
};
