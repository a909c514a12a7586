/*
 * lsaq.c - do orders of the blocks by importance know where bits are needed?
 *
 *     the n most important blocks at the high choice, the others at the low one (LSAQ, arXiv 2412.18135), for several n and rules,
 *     against the exact allocation of the same two choices by sum a_l t_l^2 at the same bytes: layer by layer, and block by block
 *
 * Importances and coefficients come from one text (coefficients.from), losses from another.  The plans of all rules at one n have one size
 * where blocks have one shape, so what differs is the order alone.
 * Cost: a forward pass for each plan that is not another's; one for the importances that look at states, with the head on the last
 * positions (on all where lsaq.positions asks), and a backward pass, over the text of the coefficients; with lsaq.slopes two more over some of its
 * windows for each of two exact allocations.
 */
#include "experiments/lsaq/lsaq.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"

void add_stage(Lsaq *l, const char *name, double seconds)
{
    int i = 0;
    while (i < l->n_stages && strcmp(l->stage[i].name, name)) i++;
    if (i == l->n_stages) {
        l->stage = xrealloc(l->stage, sizeof *l->stage * (size_t)(l->n_stages + 1));
        l->stage[l->n_stages++] = (Stage){ xstrdup(name), 0, 0 };
    }
    l->stage[i].count++, l->stage[i].seconds += seconds;
}

static void lsaq_free(Lsaq *l)
{
    for (int i = 0; i < l->n_stages; i++) free(l->stage[i].name);
    for (int p = 0; p < l->n_pairs; p++) free(l->pair[p].name);
    orders_free(l);
    free(l->pair);
    free(l->high);
    free(l->plan);
    free(l->stage);
    dynamic_close(&l->d);
}

static int lsaq_init(Lsaq *l, Run *run)
{
    const Model *model = study_model(run->study);
    *l = (Lsaq){ .run = run, .n_blocks = model_shape(model)->n_blocks };
    if (run->n_layers != model_layer_count(model))
        FAIL(ERR_ARGUMENT, "%s: the experiment lsaq orders whole blocks, all of them; leave 'layers' out", run->config->path);
    TRY(dynamic_open(&l->d, run, "lsaq"));
    int status = orders_init(l);
    if (status == OK) status = pairs_init(l);
    if (status != OK) lsaq_free(l);
    return status;
}

/* The models of one choice are plans of every rule. */
static int plan_ends(Plan *out, const Lsaq *l)
{
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)l->d.n_layers);
    int ends = 0;
    for (int c = 0; c < l->d.n_choices; c++) {
        bool used = false;
        for (int p = 0; p < l->n_pairs; p++) used |= (l->pair[p].low == c && l->high[0] == 0) || (l->pair[p].high == c && l->high[l->n_high - 1] == l->n_blocks);
        if (!used) continue;
        const Choice *choice = dynamic_choice(&l->d, c);
        for (int i = 0; i < l->d.n_layers; i++) entry[i] = (MapEntry){ l->run->layer[i], choice->perturbation, choice->options };
        plan_add(out, &(LayerMap){ .n = l->d.n_layers, .entry = entry, .label = choice->name });
        ends++;
    }
    free(entry);
    return ends;
}

static int plan(Plan *out, int *later, Run *run)
{
    Lsaq l;
    TRY(lsaq_init(&l, run));
    plan_add_null(out);
    *later = plans_at_most(&l) - plan_ends(out, &l);
    out->study = run->coefficients;
    run_turn(run);
    costs_plan(out, &l.d);
    double passes;
    int status = orders_cost(&passes, &l);
    run_turn(run);
    out->later_windows = points_at_most(&l) * 2 * l.d.n_slopes;
    out->later_passes += points_at_most(&l) * passes_of_point(&l.d);
    if (passes > 0) *later += 1, out->later_passes += passes - 1;
    lsaq_free(&l);
    return status;
}

/* Errors of all choices, coefficients, costs and importances, all that comes from the coefficients' text. */
static int look_at_text(Lsaq *l)
{
    const double start = clock_seconds();
    TRY(costs_measure(&l->d));
    add_stage(l, "coefficients", l->d.fisher.seconds);
    add_stage(l, "coefficients and errors of all choices, now", clock_seconds() - start);
    return orders_measure(l);
}

static int measure_all(Lsaq *l)
{
    TRY(dynamic_clean(&l->d));
    run_turn(l->run);
    int status = look_at_text(l);
    run_turn(l->run);
    TRY(status);
    TRY(plans_make(l));
    TRY(models_measure(&l->d));
    for (int p = 0; p < l->n_plans; p++) add_stage(l, "measuring plans", plan_model(l, &l->plan[p])->seconds);
    return OK;
}

static int run(Run *run)
{
    Lsaq l;
    TRY(lsaq_init(&l, run));
    int status = measure_all(&l);
    if (status == OK) {
        lsaq_tables(&l);
        lsaq_say(&l);
    }
    lsaq_free(&l);
    return status;
}

const Experiment experiment_lsaq = {
    .name = "lsaq", .summary = "blocks in order of importance (LSAQ, LIM, ZD) against exact allocation at equal bytes", .other_text = true, .plan = plan, .run = run,
};
