/*
 * additivity_tables.c - whole models: what was measured, beside what each rule predicts
 */
#include "experiments/additivity/additivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/additivity.h"
#include "core/estimate/fit.h"
#include "core/estimate/ppl_law.h"

/* ---- columns ---- */

static void add_loss_columns(Table *t)
{
    add_estimate(t, "kl", "nats/token", "measured KL(clean || perturbed)");
    add_estimate(t, "delta_nll", "nats/token", "measured, NLL perturbed - NLL clean");
    add_estimate(t, "dnll_per_kl", "", "delta_nll / kl");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
}

static void add_rule_columns(Table *t)
{
    static const char *const meaning[RULES] = {
        "sum of a t2, a from Fisher information", "half of the slope without noise and half of that at this point", "spline through the slopes at all smaller levels and this one",
    };
    for (int r = 0; r < RULES; r++) {
        char *predicted = xformat("predicted_%s", rule_name[r]), *low = xformat("%s_low", predicted), *high = xformat("%s_high", predicted);
        char *ratio = xformat("ratio_%s", rule_name[r]), *inside = xformat("inside_%s", rule_name[r]);
        table_add_column(t, COLUMN_NUMBER, predicted, "nats/token", meaning[r]);
        table_add_column(t, COLUMN_NUMBER, low, "nats/token", "where the KL measured on the same text should fall, 95 %: lower end");
        table_add_column(t, COLUMN_NUMBER, high, "nats/token", "its upper end");
        add_estimate(t, ratio, "", "measured / predicted");
        table_add_column(t, COLUMN_INTEGER, inside, "", "1: the measured KL lies in that interval");
        char *all[] = { predicted, low, high, ratio, inside };
        for (int i = 0; i < 5; i++) free(all[i]);
    }
    add_estimate(t, "slope_ratio", "", "slope of the loss at this point / that without noise, all layers together");
}

static void add_ppl_columns(Table *t)
{
    table_add_column(t, COLUMN_NUMBER, "clean_ppl", "", "perplexity of the clean model");
    add_estimate(t, "ppl", "", "measured perplexity");
    add_estimate(t, "ppl_linear", "", "clean_ppl (1 + c S): the paper's law; S = predicted_linear, c = dnll_per_kl of the smallest level of the ladder");
    add_estimate(t, "ppl_exponential", "", "clean_ppl exp(c S)");
    add_estimate(t, "ppl_ladder", "", "clean_ppl exp(c S) with S = predicted_ladder");
}

static Table *ladder_table(void)
{
    Table *t = table_new("ladder", "noise of one relative squared error in all layers: KL measured, and predicted from slopes");
    table_add_column(t, COLUMN_TEXT, "law", "", "noise: noise.law, means of pairs of opposite signs");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error asked for in every layer");
    add_loss_columns(t);
    add_rule_columns(t);
    add_ppl_columns(t);
    return t;
}

static Table *whole_table(void)
{
    Table *t = table_new("additivity", "quantized models and noise that stands for them: do losses add up?");
    table_add_column(t, COLUMN_TEXT, "choice", "", "quantizer and its options, in all layers");
    table_add_column(t, COLUMN_TEXT, "law", "", "quantizer: its own error; noise: noise with its t2 in each layer, means of pairs of opposite signs");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "of the choice, all scales and zero points counted");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error of the median layer");
    add_loss_columns(t);
    table_add_column(t, COLUMN_NUMBER, "kl_mirrored", "nats/token", "KL with the sign of every error turned; slopes are means of both signs");
    add_estimate(t, "pair_over_ladder", "", "mean KL of both signs / predicted_ladder: how good the integral is by itself");
    add_rule_columns(t);
    add_ppl_columns(t);
    table_add_column(t, COLUMN_NUMBER, "singles", "nats/token", "sum over layers of the KL of that layer alone");
    add_estimate(t, "interaction", "", "kl / singles, of the errors as they are (+)");
    add_estimate(t, "lambda", "tokens/nat", "sum of f(singles) = f(kl) for f(x) = (exp(lambda x) - 1) / lambda; 0: losses add, 1: perplexities do");
    add_estimate(t, "own", "nats/token", "singles - sum of a t2: what layers bend by themselves; of a quantizer also what its error does that noise of its size does not");
    add_estimate(t, "cross", "nats/token", "all layers at once, as they are (+), - singles: what they do to each other");
    return t;
}

/* ---- cells ---- */

static void set_rules(Table *t, int64_t row, const NodePrediction *p, double kl)
{
    for (int r = 0; r < RULES; r++) {
        const RulePrediction *rule = &p->rule[r];
        char *predicted = xformat("predicted_%s", rule_name[r]), *low = xformat("%s_low", predicted), *high = xformat("%s_high", predicted);
        char *ratio = xformat("ratio_%s", rule_name[r]), *inside = xformat("inside_%s", rule_name[r]);
        table_set_number(t, row, predicted, rule->interval.value);
        table_set_number(t, row, low, rule->interval.low);
        table_set_number(t, row, high, rule->interval.high);
        set_estimate(t, row, ratio, rule->ratio);
        table_set_integer(t, row, inside, kl >= rule->interval.low && kl <= rule->interval.high);
        char *all[] = { predicted, low, high, ratio, inside };
        for (int i = 0; i < 5; i++) free(all[i]);
    }
    set_estimate(t, row, "slope_ratio", p->slope_ratio);
}

/* exp(mean clean + mean delta). */
static Mean measured_ppl(const Additivity *a, const double *delta)
{
    double *nll = xmalloc(sizeof *nll * (size_t)a->n_windows);
    for (int w = 0; w < a->n_windows; w++) nll[w] = a->clean[w] + (delta ? delta[w] : 0);
    const Mean mean = mean_over_windows(a, nll);
    free(nll);
    return (Mean){ exp(mean.value), exp(mean.value) * mean.se };
}

static Mean lawful_ppl(const Additivity *a, const double *predicted, PplScale scale)
{
    const Node *small = &a->ladder.node[0];
    const PplLaw law = { a->n_windows, a->tokens, a->clean, predicted, small->delta, small->kl };
    Mean e;
    e.value = ppl_law(&e.se, &law, scale);
    return e;
}

static void set_losses(Table *t, int64_t row, const Additivity *a, const double *kl, const double *delta, const NodePrediction *p)
{
    const Mean mean = mean_over_windows(a, kl);
    set_estimate(t, row, "kl", mean);
    set_estimate(t, row, "delta_nll", mean_over_windows(a, delta));
    set_estimate(t, row, "dnll_per_kl", ratio_over_windows(a, delta, kl));
    table_set_integer(t, row, "near_floor", near_floor(a, mean.value));
    set_rules(t, row, p, mean.value);
    table_set_number(t, row, "clean_ppl", measured_ppl(a, NULL).value);
    set_estimate(t, row, "ppl", measured_ppl(a, delta));
    set_estimate(t, row, "ppl_linear", lawful_ppl(a, p->rule[LADDER_LINEAR].window, PPL_LINEAR));
    set_estimate(t, row, "ppl_exponential", lawful_ppl(a, p->rule[LADDER_LINEAR].window, PPL_EXPONENTIAL));
    set_estimate(t, row, "ppl_ladder", lawful_ppl(a, p->rule[LADDER_COMPOSITE].window, PPL_EXPONENTIAL));
}

/* ---- rows ---- */

static int ladder_row(Additivity *a, int k)
{
    const Node *node = &a->ladder.node[k];
    NodePrediction p;
    int status = node_predict(&p, a, &a->ladder, k, node->kl, false);
    if (status == OK) {
        int64_t row = table_add_row(a->ladder_table);
        table_set_text(a->ladder_table, row, "law", law_name[LAW_NOISE]);
        table_set_number(a->ladder_table, row, "t2", node->u);
        set_losses(a->ladder_table, row, a, node->kl, node->delta, &p);
    }
    node_prediction_free(&p);
    return status;
}

static double median_t2(const Additivity *a, int c)
{
    double *t2 = xmalloc(sizeof *t2 * (size_t)a->n_layers);
    memcpy(t2, a->t2 + c * a->n_layers, sizeof *t2 * (size_t)a->n_layers);
    const double median = quantile(t2, a->n_layers, .5);
    free(t2);
    return median;
}

/* Singles are measured with the errors as they are, so all together they are compared with + alone. */
static int set_singles(Additivity *a, int64_t row, int c, Law law, const double *linear)
{
    Singles singles;
    TRY(singles_measure(&singles, a, c, law));
    const double *all = last_node(&a->choice[c][law])->kl_plus;
    double *own = window_difference(singles.sum, linear, a->n_windows), *cross = window_difference(all, singles.sum, a->n_windows);
    Mean interaction, lambda;
    interaction.value = additivity_interaction(&interaction.se, singles.kl, all, a->tokens, a->n_layers, a->n_windows);
    lambda.value = additivity_scale(&lambda.se, singles.kl, all, a->tokens, a->n_layers, a->n_windows);
    table_set_number(a->whole_table, row, "singles", mean_over_windows(a, singles.sum).value);
    set_estimate(a->whole_table, row, "interaction", interaction);
    set_estimate(a->whole_table, row, "lambda", lambda);
    set_estimate(a->whole_table, row, "own", mean_over_windows(a, own));
    set_estimate(a->whole_table, row, "cross", mean_over_windows(a, cross));
    free(own);
    free(cross);
    singles_free(&singles);
    return OK;
}

static int whole_row(Additivity *a, int c, Law law)
{
    const Ray *ray = &a->choice[c][law];
    const Node *node = last_node(ray);
    const bool one_draw = law == LAW_QUANTIZER;
    const double *kl = one_draw ? node->kl_plus : node->kl, *delta = one_draw ? node->delta_plus : node->delta;
    NodePrediction p;
    int status = node_predict(&p, a, ray, ray->n_nodes - 1, kl, one_draw);
    if (status == OK) {
        Table *t = a->whole_table;
        int64_t row = table_add_row(t);
        table_set_text(t, row, "choice", additivity_choice(a, c)->name);
        table_set_text(t, row, "law", law_name[law]);
        table_set_number(t, row, "bits", choice_bits(a, c));
        table_set_number(t, row, "t2", median_t2(a, c));
        table_set_number(t, row, "kl_mirrored", 2 * mean_over_windows(a, node->kl).value - mean_over_windows(a, node->kl_plus).value);
        set_losses(t, row, a, kl, delta, &p);
        set_estimate(t, row, "pair_over_ladder", ratio_over_windows(a, node->kl, p.rule[LADDER_COMPOSITE].window));
        if (with_singles(a)) status = set_singles(a, row, c, law, p.rule[LADDER_LINEAR].window);
    }
    node_prediction_free(&p);
    return status;
}

int whole_models(Additivity *a)
{
    a->ladder_table = ladder_table();
    a->whole_table = whole_table();
    for (int k = 0; k < a->ladder.n_nodes; k++) TRY(ladder_row(a, k));
    for (int c = 0; c < a->n_choices; c++)
        for (Law law = 0; law < LAWS; law++) TRY(whole_row(a, c, law));
    return OK;
}
