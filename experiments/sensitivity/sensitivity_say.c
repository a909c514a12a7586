/*
 * sensitivity_say.c - what the experiment `sensitivity` says at the end
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/sensitivity/sensitivity.h"

typedef struct { int layers, known, curved, n_errors; double sum, largest, *relative; const char *name; } Overview;

static void look(Overview *o, const Table *t, const char *estimator)
{
    for (int64_t row = 0; row < t->n_rows; row++) {
        if (!strcmp(table_text(t, row, "estimator"), "kl")) o->curved += table_integer(t, row, "levels") > 1;
        if (strcmp(table_text(t, row, "estimator"), estimator)) continue;
        double a = table_number(t, row, "alpha"), se = table_number(t, row, "alpha_se");
        o->layers++;
        if (!isfinite(a)) continue;
        o->known++;
        o->sum += a;
        if (!(a <= o->largest)) o->largest = a, o->name = table_text(t, row, "layer");
        if (isfinite(se / a)) o->relative[o->n_errors++] = fabs(se / a);
    }
}

static void say_sum(Run *run, const Overview *o)
{
    char *which = o->known < o->layers ? xformat("%d of %d layers (the others did not rise above %d times the noise floor)", o->known, o->layers, FLOOR_FACTOR)
                                       : xformat("%d layers", o->layers);
    run_say(run, "Coefficients of %s, KL per unit of relative squared error: sum %.4g; the largest is %s with %.3g (%.0f %%).", which, o->sum, o->name,
            o->largest, 100 * o->largest / o->sum);
    free(which);
}

void say_coefficients(Run *run, const Table *t)
{
    Overview o = { .largest = -INFINITY, .relative = xmalloc(sizeof(double) * (size_t)t->n_rows), .name = "" };
    look(&o, t, uses_fisher(run) ? "fisher" : "kl");
    if (o.known) say_sum(run, &o);
    else run_say(run, "There are no coefficients: no layer rose above %d times the noise floor; raise noise.t2 or use more text.", FLOOR_FACTOR);
    if (o.n_errors)
        run_say(run, "Their standard error over windows is %.0f %% for the median layer and %.0f %% for the worst.", 100 * quantile(o.relative, o.n_errors, .5),
                100 * quantile(o.relative, o.n_errors, 1));
    if (o.known && o.curved < o.layers)
        run_say(run, "Curvature was looked at in %d of %d layers; one level alone cannot tell it (check.layers adds levels).", o.curved, o.layers);
    free(o.relative);
}
