/*
 * lsaq_say.c - the summary of the experiment `lsaq`
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/lsaq/lsaq.h"

static void say_texts(const Lsaq *l)
{
    const Dynamic *d = &l->d;
    if (d->same_text) run_say(l->run, "Importances, coefficients and losses come from the same text; coefficients.from takes them from other text, as they would be used.");
    else run_say(l->run, "Importances and coefficients from %d windows of other text (%s), losses from %d windows.", d->n_windows,
                 options_text(l->run->options, "coefficients.from"), d->n_measured);
}

/* "0 29 1 28 2 .. 14 15": the most and the least important. */
static char *ends_of(const Lsaq *l, const int *order)
{
    enum { SHOWN = 5 };
    char *text = xstrdup("");
    for (int i = 0; i < l->n_blocks; i++) {
        const bool hole = l->n_blocks > 2 * SHOWN + 1 && i == SHOWN;
        if (hole) i = l->n_blocks - SHOWN;
        char *longer = xformat("%s%s%s%d", text, i ? " " : "", hole ? ".. " : "", order[i]);
        free(text);
        text = longer;
    }
    return text;
}

static void say_orders(const Lsaq *l)
{
    run_say(l->run, "Blocks from the most to the least important:");
    for (int o = 0; o < l->n_orders; o++) {
        const Order *order = &l->order[o];
        char *blocks = ends_of(l, order->importance.order);
        run_say(l->run, "  %-14s %s%s", order->name, blocks, order->importance.ties ? " (some are tied)" : "");
        free(blocks);
    }
}

static bool is_exact(const BlockPlan *p) { return p->kind != PLAN_BY_ORDER; }

static void say_plan(const Lsaq *l, const BlockPlan *p)
{
    const Mean kl = measured_mean(&l->d, plan_model(l, p)->kl);
    const BlockPlan *best = exact_of_size(l, p, PLAN_LAYERS);
    const Mean more = plan_ratio(l, p, best);
    const Interval predicted = predicted_interval(&l->d, plan_model(l, p), false);
    char *measured = with_error(kl.value, kl.se), *times = p == best ? xstrdup("") : xformat(", %.3g +- %.2g times that of exact layers", more.value, more.se);
    char *cost = plan_cost(p), *by = is_exact(p) && (p->cost != l->d.cost || p->sloped) ? xformat(", by %s", cost) : xstrdup("");
    run_say(l->run, "  %-14s KL %-16s predicted %.3g%s%s%s", plan_rule(p), measured, predicted.value,
            kl.value >= predicted.low && kl.value <= predicted.high ? "" : " (outside its interval)", times, by);
    free(cost);
    free(by);
    free(measured);
    free(times);
}

/* The models of one choice are the same by all rules. */
static void say_end(const Lsaq *l, const BlockPlan *p)
{
    const Mean kl = measured_mean(&l->d, plan_model(l, p)->kl);
    char *measured = with_error(kl.value, kl.se);
    run_say(l->run, "%s, %s of %d blocks high, %.4g bits: KL %s", l->pair[p->pair].name, p->high ? "all" : "none", l->n_blocks, plan_model(l, p)->bits, measured);
    free(measured);
}

static void say_plans(const Lsaq *l)
{
    for (int p = 0; p < l->n_plans; p++) {
        const BlockPlan *plan = &l->plan[p];
        const bool first = p == 0 || l->plan[p - 1].pair != plan->pair || l->plan[p - 1].high != plan->high, end = plan->high == 0 || plan->high == l->n_blocks;
        if (first && end) say_end(l, plan);
        if (first && !end)
            run_say(l->run, "%s, %d of %d blocks high, %.4g bits, %lld bytes:", l->pair[plan->pair].name, plan->high, l->n_blocks, plan_model(l, plan)->bits, (long long)plan_bytes(plan));
        if (!end) say_plan(l, plan);
    }
}

static void say_correlations(const Lsaq *l)
{
    int n;
    Correlation *all = correlations(l, &n);
    for (int i = 0; i < n; i++) {
        const Order *a = &l->order[all[i].a], *b = &l->order[all[i].b];
        if (!a->measured || !b->measured || isnan(all[i].rho.low) || !strcmp(a->rule->name, "random") || !strcmp(b->rule->name, "random")) continue;
        run_say(l->run, "Ranks by %s and %s: correlation %.2f (%.2f to %.2f)", a->name, b->name, all[i].rho.value, all[i].rho.low, all[i].rho.high);
    }
    free(all);
}

void lsaq_say(Lsaq *l)
{
    say_texts(l);
    say_orders(l);
    say_plans(l);
    say_correlations(l);
}
