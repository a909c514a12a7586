/*
 * dynamic_say.c - the summary of the experiment `dynamic`
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/dynamic/dynamic.h"

static void say_text(const Dynamic *d)
{
    if (d->same_text)
        run_say(d->run, "Coefficients and losses come from the same text; coefficients.from takes them from other text, as they would be used.");
    else
        run_say(d->run, "Coefficients from %d windows of other text (%s), losses from %d windows.", d->n_windows, options_text(d->run->options, "coefficients.from"), d->n_measured);
}

static void say_bounded(const Dynamic *d)
{
    int bounded = 0, layers = 0;
    for (int i = 0; i < d->n_layers; i++) {
        const int before = bounded;
        for (int w = 0; w < d->n_windows; w++) bounded += d->calm[(int64_t)i * d->n_windows + w] < 1;
        layers += bounded > before;
    }
    if (bounded) run_say(d->run, "%d windows of %d layers count as 5 times the layer's usual one, which they exceed (robust).", bounded, layers);
}

/* The rule of this budget with the smallest KL; NULL where there is none. */
static const Whole *best_rule(const Dynamic *d, double budget)
{
    const Whole *best = NULL;
    for (int m = 0; m < d->n_models; m++) {
        const Whole *model = &d->model[m];
        if (!strcmp(model->kind, "allocated") || model->budget != budget) continue;
        if (!best || measured_mean(d, model->kl).value < measured_mean(d, best->kl).value) best = model;
    }
    return best;
}

static void say_model(const Dynamic *d, const Whole *m)
{
    const Mean kl = measured_mean(d, m->kl);
    const Interval predicted = predicted_interval(d, m, m->curved);
    const EqualSize uniform = equal_size(d, m);
    char *measured = with_error(kl.value, kl.se), *gain = with_error(100 * (1 - uniform.ratio.value), 100 * uniform.ratio.se);
    const bool outside = !(kl.value >= predicted.low && kl.value <= predicted.high);
    char *interval = isnan(predicted.low) ? xstrdup("") : xformat(" (%.3g to %.3g)%s", predicted.low, predicted.high, outside ? ", outside" : "");
    char *below = isnan(uniform.kl) ? xstrdup("") : xformat("; %s %% below uniform, predicted %.3g %%", gain, 100 * (1 - coefficient_mean(d, m->predicted).value / uniform.predicted));
    run_say(d->run, "%g bits by %s: KL %s, predicted %.3g%s%s", m->budget, m->label, measured, predicted.value, interval, below);
    free(interval);
    free(below);
    free(measured);
    free(gain);
}

static void say_trust(const Dynamic *d, const Whole *m)
{
    if (isnan(m->kept) || isnan(m->regret)) return;
    run_say(d->run, "  %.0f %% of the weights keep their choice when windows are drawn again, which costs %.2g %% (95 %%: %.2g %%); %s", 100 * m->kept, 100 * m->regret,
            100 * m->regret_high, m->optimal ? "optimal, proven" : "not proven optimal");
}

static void say_rule(const Dynamic *d, double budget)
{
    const Whole *rule = best_rule(d, budget);
    if (!rule) return;
    const Mean kl = measured_mean(d, rule->kl);
    char *measured = with_error(kl.value, kl.se);
    run_say(d->run, "  best simple rule: %s, KL %s", rule->kind, measured);
    free(measured);
}

void dynamic_say(Dynamic *d)
{
    say_text(d);
    say_bounded(d);
    for (int m = 0; m < d->n_models; m++) {
        const Whole *model = &d->model[m];
        if (strcmp(model->kind, "allocated")) continue;
        say_model(d, model);
        if (strcmp(model->label, d->cost[0].name)) continue;
        say_trust(d, model);
        say_rule(d, model->budget);
    }
}
