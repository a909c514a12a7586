/*
 * quantizers_say.c - the lines of the summary
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/quantizers/quantizers.h"

static void say_choice(Quantizers *q, int64_t row)
{
    const Table *t = q->whole;
    char *kl = with_error(table_number(t, row, "kl"), table_number(t, row, "kl_se")), *ratio = with_error(table_number(t, row, "ratio"), table_number(t, row, "ratio_se"));
    char *ppl = with_error(table_number(t, row, "ppl_ratio"), table_number(t, row, "ppl_ratio_se")), *both = xstrdup("");
    if (q->mirrored) {
        char *pair = with_error(table_number(t, row, "pair_ratio"), table_number(t, row, "pair_ratio_se"));
        free(both);
        both = xformat(" (with both signs of the error %s)", pair);
        free(pair);
    }
    run_say(q->run, "%-28s %.3f bits (%.3f of codes), t2 %.4g: KL %s, perplexity %.4g (x %s), KL / sum of a t2 %s%s%s", table_text(t, row, "choice"), table_number(t, row, "bits"),
            table_number(t, row, "code_bits"), table_number(t, row, "t2"), kl, table_number(t, row, "ppl"), ppl, ratio, both, table_integer(t, row, "near_floor") ? ", near the noise floor" : "");
    char *all[] = { kl, ratio, ppl, both };
    for (int i = 0; i < 4; i++) free(all[i]);
}

/* Of the predictors the one whose ratios scatter least over layers, all choices together. */
static void say_predictors(Quantizers *q)
{
    const Table *t = q->predictors;
    for (Predictor p = 0; p < PREDICTORS && t->n_rows; p++) {
        double mean = 0, spread = 0;
        int n = 0;
        for (int64_t row = 0; row < t->n_rows; row++) {
            if (strcmp(table_text(t, row, "predictor"), predictor_row[p].name) || strcmp(table_text(t, row, "sign"), "plus") || !(table_number(t, row, "ratio") > 0)) continue;
            mean += log(table_number(t, row, "ratio"));
            spread += pow(log(table_number(t, row, "ratio")), 2) + pow(table_number(t, row, "sd"), 2);
            n++;
        }
        if (n) run_say(q->run, "One layer at a time, KL over %s: geometric mean %.3f over %d choices, typical factor off for one layer and choice %.2f.", predictor_row[p].meaning,
                       exp(mean / n), n, exp(sqrt(spread / n)));
    }
}

void quantizers_say(Quantizers *q)
{
    for (int64_t row = 0; row < q->whole->n_rows; row++) say_choice(q, row);
    run_say_accuracies(q->run, q->whole, "choice");
    say_predictors(q);
    run_say_first_token(q->run);
    if (units_count(study_corpus(q->run->study)) < 2) run_say(q->run, "One window (or item) of text: nothing here has an error or an interval.");
}
