/*
 * accuracies.c - what a model answers rightly, in tables of whole models on a task (core/estimate/accuracy.h)
 */
#include <stdlib.h>

#include "core/base/err.h"
#include "core/estimate/accuracy.h"
#include "experiments/run/run.h"

/* The two rules by which a choice is the best one. */
static const struct { const char *name, *meaning; } RULES[] = {
    { "acc", "items of the task answered rightly: by log-likelihood" }, { "acc_norm", "items of the task answered rightly: by log-likelihood / length of the choice" },
};
enum { N_RULES = sizeof RULES / sizeof *RULES };

static void add_number(Table *t, const char *rule, const char *ending, const char *meaning)
{
    char *name = xformat("%s%s", rule, ending);
    table_add_column(t, COLUMN_NUMBER, name, "", meaning);
    free(name);
}

static void add_columns(Table *t)
{
    for (int r = 0; r < N_RULES; r++) {
        add_number(t, RULES[r].name, "", RULES[r].meaning);
        add_number(t, RULES[r].name, "_se", "its standard error over items");
        add_number(t, RULES[r].name, "_change", "against the clean model on the same items");
        add_number(t, RULES[r].name, "_change_se", "its standard error over items, paired");
        add_number(t, RULES[r].name, "_gained", "items answered rightly, and wrongly by the clean model");
        add_number(t, RULES[r].name, "_lost", "the reverse");
        add_number(t, RULES[r].name, "_p", "exact sign test of the change");
        add_number(t, RULES[r].name, "_below_error", "1: the change is not larger than its standard error");
    }
}

static void set_number(Table *t, int64_t row, const char *rule, const char *ending, double value)
{
    char *name = xformat("%s%s", rule, ending);
    table_set_number(t, row, name, value);
    free(name);
}

static void set_rule(Table *t, int64_t row, const char *rule, const bool *right, const bool *clean, int n)
{
    const Share share = accuracy(right, n);
    const AccuracyChange change = accuracy_change(right, clean, n);
    const struct { const char *ending; double value; } cell[] = {
        { "", share.value }, { "_se", share.se }, { "_change", change.value }, { "_change_se", change.se }, { "_gained", change.gained }, { "_lost", change.lost },
        { "_p", change.p }, { "_below_error", change.below_error },
    };
    for (size_t i = 0; i < sizeof cell / sizeof *cell; i++) set_number(t, row, rule, cell[i].ending, cell[i].value);
}

void set_accuracies(Table *t, int64_t row, const Losses *l)
{
    const CorpusTask *task = l->corpus->task;
    Answers model, clean;
    answers_init(&model, task, l->nll, l->tokens);
    answers_init(&clean, task, l->clean, l->tokens);
    if (!table_column(t, RULES[0].name)) add_columns(t);
    set_rule(t, row, RULES[0].name, model.right, clean.right, task->n_items);
    set_rule(t, row, RULES[1].name, model.right_norm, clean.right_norm, task->n_items);
    answers_free(&model);
    answers_free(&clean);
}

/* ---- the summary ---- */

static void say_clean(Run *run, const CorpusTask *task, const Table *t)
{
    char *share[N_RULES];
    for (int r = 0; r < N_RULES; r++) {
        char *change = xformat("%s_change", RULES[r].name);
        const double p = table_number(t, 0, RULES[r].name) - table_number(t, 0, change);
        share[r] = with_error(100 * p, 100 * accuracy_se(p, task->n_items));
        free(change);
    }
    run_say(run, "The clean model answers %s %% of %d items rightly, by length %s %%; guessing %.3g %%.", share[0], task->n_items, share[1], 100 * accuracy_of_chance(task));
    for (int r = 0; r < N_RULES; r++) free(share[r]);
}

static char *change_text(const Table *t, int64_t row, const char *rule)
{
    char *change = xformat("%s_change", rule), *se = xformat("%s_change_se", rule), *below = xformat("%s_below_error", rule);
    char *value = with_error(100 * table_number(t, row, change), 100 * table_number(t, row, se));
    char *text = xformat("%.3g %% (change %s%s)", 100 * table_number(t, row, rule), value, table_number(t, row, below) != 0 ? ", below its error" : "");
    char *all[] = { change, se, below, value };
    for (int i = 0; i < 4; i++) free(all[i]);
    return text;
}

void run_say_accuracies(Run *run, const Table *t, const char *name)
{
    const CorpusTask *task = study_corpus(run->study)->task;
    if (!task || t->n_rows == 0 || !table_column(t, RULES[0].name)) return;
    say_clean(run, task, t);
    for (int64_t row = 0; row < t->n_rows; row++) {
        char *acc = change_text(t, row, RULES[0].name), *norm = change_text(t, row, RULES[1].name);
        run_say(run, "%-28s %.3f bits: %s, by length %s", table_text(t, row, name), table_number(t, row, "bits"), acc, norm);
        free(acc);
        free(norm);
    }
}
