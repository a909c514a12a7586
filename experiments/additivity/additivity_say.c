/*
 * additivity_say.c - what the experiment `additivity` says at the end
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/additivity/additivity.h"

static const double GOOD = 0.1;         /* a law that is off by more has ended */

/* "1.17 +- 0.056"; the caller frees. */
static char *cell_with_error(const Table *t, int64_t row, const char *name)
{
    char *se = xformat("%s_se", name), *text = with_error(table_number(t, row, name), table_number(t, row, se));
    free(se);
    return text;
}

static double deviation(const Table *t, int64_t row, int rule)
{
    char *name = xformat("ratio_%s", rule_name[rule]);
    const double ratio = table_number(t, row, name);
    free(name);
    return fabs(ratio - 1);
}

/* Largest deviation of a rule over the levels above the floor, and the last level up to which it stays within GOOD. */
static double worst(double *last_good, const Table *t, int rule)
{
    double most = 0;
    bool ended = false;
    *last_good = 0;
    for (int64_t row = 0; row < t->n_rows; row++) {
        if (table_integer(t, row, "near_floor")) continue;
        most = fmax(most, deviation(t, row, rule));
        ended |= !(deviation(t, row, rule) <= GOOD);
        if (!ended) *last_good = table_number(t, row, "t2");
    }
    return most;
}

static int64_t first_above_floor(const Table *t)
{
    for (int64_t row = 0; row < t->n_rows; row++)
        if (!table_integer(t, row, "near_floor")) return row;
    return -1;
}

static void say_ladder(Additivity *a)
{
    const Table *t = a->ladder_table;
    const int64_t first = first_above_floor(t), last = t->n_rows - 1;
    if (first < 0) {
        run_say(a->run, "No level of noise in all layers rose above %d times the noise floor (KL %.1e nats/token); raise additivity.t2.", FLOOR_FACTOR, a->floor_kl);
        return;
    }
    char *low = cell_with_error(t, first, "ratio_linear"), *high = cell_with_error(t, last, "ratio_linear"), *slope = cell_with_error(t, last, "slope_ratio");
    double good, unused;
    const double linear = worst(&good, t, LADDER_LINEAR), trapezoid = worst(&unused, t, LADDER_TRAPEZOID), ladder = worst(&unused, t, LADDER_COMPOSITE);
    run_say(a->run, "Noise in all %d layers at once: the measured KL is %s times sum a t2 at t2 = %g and %s times at %g, where the loss has %s times "
            "the slope of small noise.", a->n_layers, low, table_number(t, first, "t2"), high, table_number(t, last, "t2"), slope);
    const char *largest = good == table_number(t, last, "t2") ? ", the largest looked at" : "";
    if (good > 0) run_say(a->run, "So by these means the law is within %.0f %% up to t2 = %g%s.", 100 * GOOD, good, largest);
    else run_say(a->run, "So by these means the law is off by more than %.0f %% at the smallest level already.", 100 * GOOD);
    run_say(a->run, "Over all levels the linear law is off by up to %.1f %%, with one slope taken at the point (trapezoid) by %.1f %%, with slopes at all "
            "levels (ladder) by %.1f %%.", 100 * linear, 100 * trapezoid, 100 * ladder);
    free(low);
    free(high);
    free(slope);
}

/* All rules predict the mean of an error and its mirror image; where a quantizer's are far apart, that is why it is missed. */
static char *sign_matters(const Table *t, int64_t row)
{
    const double kl = table_number(t, row, "kl"), other = table_number(t, row, "kl_mirrored");
    if (strcmp(table_text(t, row, "law"), law_name[LAW_QUANTIZER]) || !(fabs(kl - other) > GOOD * (kl + other))) return xstrdup("");
    char *pair = cell_with_error(t, row, "pair_over_ladder"), *text;
    text = xformat("; the same error with the opposite sign has KL %.3g, and what the rules predict is the mean of both, which is %s times the ladder's",
                   other, pair);
    free(pair);
    return text;
}

static void say_model(Additivity *a, int64_t row)
{
    const Table *t = a->whole_table;
    char *kl = cell_with_error(t, row, "kl"), *ratio[RULES], *sign = sign_matters(t, row);
    for (int r = 0; r < RULES; r++) {
        char *name = xformat("ratio_%s", rule_name[r]);
        ratio[r] = cell_with_error(t, row, name);
        free(name);
    }
    const bool noise = !strcmp(table_text(t, row, "law"), law_name[LAW_NOISE]);
    run_say(a->run, "%s%s, %.4g bits/weight: KL %s; over its prediction %s (linear), %s (trapezoid), %s (ladder)%s%s.", noise ? "Noise in place of " : "",
            table_text(t, row, "choice"), table_number(t, row, "bits"), kl, ratio[0], ratio[1], ratio[2],
            table_integer(t, row, "near_floor") ? ", near the noise floor" : "", sign);
    free(kl);
    free(sign);
    for (int r = 0; r < RULES; r++) free(ratio[r]);
}

/* Which scale is linear: the choice with the largest KL tells most. */
static void say_perplexity(Additivity *a)
{
    const Table *t = a->whole_table;
    int64_t most = -1;
    for (int64_t row = 0; row < t->n_rows; row++)
        if (!strcmp(table_text(t, row, "law"), law_name[LAW_QUANTIZER]) && (most < 0 || table_number(t, row, "kl") > table_number(t, most, "kl"))) most = row;
    if (most < 0) return;
    char *c = cell_with_error(a->ladder_table, 0, "dnll_per_kl"), *there = cell_with_error(t, most, "dnll_per_kl");
    run_say(a->run, "Perplexity of %s: %.4g, from %.4g; PPL0 (1 + c S) says %.4g, PPL0 exp(c S) %.4g, and with the ladder's S %.4g; "
            "c = delta-NLL / KL is %s at the smallest level, %s there.", table_text(t, most, "choice"), table_number(t, most, "ppl"), table_number(t, most, "clean_ppl"), table_number(t, most, "ppl_linear"),
            table_number(t, most, "ppl_exponential"), table_number(t, most, "ppl_ladder"), c, there);
    free(c);
    free(there);
}

static void say_halves(Additivity *a)
{
    const Table *t = a->halves_table;
    if (t->n_rows == 0) return;
    double sum = 0, squares = 0, se = 0;
    const double n = (double)t->n_rows;
    for (int64_t row = 0; row < t->n_rows; row++) sum += table_number(t, row, "ratio") / n, se += table_number(t, row, "ratio_se") / n;
    for (int64_t row = 0; row < t->n_rows; row++) squares += pow(table_number(t, row, "ratio") - sum, 2);
    char *ratio = with_error(sum, hypot(se, n > 1 ? sqrt(squares / (n * (n - 1))) : 0));
    run_say(a->run, "Half of the layers and the other half, noise as %s: the two KL add up to %s of the whole (mean of %d random splits); 1 means no interaction.",
            table_text(t, 0, "choice"), ratio, (int)n);
    free(ratio);
}

static void say_slopes(Additivity *a)
{
    const Table *t = a->slopes_table;
    double *shrunk = xmalloc(sizeof *shrunk * (size_t)(a->n_layers ? a->n_layers : 1));
    for (int c = 0; c < a->n_choices; c++) {
        int n = 0, unknown = 0;
        for (int64_t row = (int64_t)c * a->n_layers; row < (int64_t)(c + 1) * a->n_layers; row++) {
            unknown += !(table_number(t, row, "ratio") > 0);
            if (isfinite(table_number(t, row, "shrunk"))) shrunk[n++] = table_number(t, row, "shrunk");
        }
        if (n == 0) continue;
        const double least = quantile(shrunk, n, .05), median = quantile(shrunk, n, .5), most = quantile(shrunk, n, .95);
        char *none = unknown ? xformat("; %d raw slopes are not positive", unknown) : xstrdup("");
        run_say(a->run, "Slopes of single layers at noise as %s, over those without noise and shrunken: median %.3g, 5-95 %% of layers %.3g to %.3g%s.",
                additivity_choice(a, c)->name, median, least, most, none);
        free(none);
    }
    free(shrunk);
}

static void say_singles(Additivity *a)
{
    const Table *t = a->whole_table;
    for (int64_t row = 0; row < t->n_rows; row++) {
        char *interaction = cell_with_error(t, row, "interaction"), *lambda = cell_with_error(t, row, "lambda");
        char *own = cell_with_error(t, row, "own"), *cross = cell_with_error(t, row, "cross");
        run_say(a->run, "%s, %s: all layers together have %s times the KL of the layers alone (lambda %s); beyond the law's sum the single layers hold %s nats, "
                "and %s arise between them.", table_text(t, row, "choice"), table_text(t, row, "law"), interaction, lambda, own, cross);
        char *all[] = { interaction, lambda, own, cross };
        for (int i = 0; i < 4; i++) free(all[i]);
    }
}

void additivity_say(Additivity *a)
{
    say_ladder(a);
    for (int64_t row = 0; row < a->whole_table->n_rows; row++) say_model(a, row);
    say_perplexity(a);
    say_halves(a);
    say_slopes(a);
    if (with_singles(a)) say_singles(a);
    run_say_first_token(a->run);
    if (a->n_windows < 2) run_say(a->run, "One window of text: nothing here has an error or an interval.");
}
