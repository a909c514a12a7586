/*
 * tacq_tables.c - the tables of the experiment `tacq`: masks (all models), mask_rivals, stages
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/distribution.h"
#include "core/estimate/fit.h"
#include "core/estimate/predict.h"
#include "core/measure/evidence.h"
#include "experiments/tacq/tacq.h"

/* ---- models ---- */

static Table *mask_table(void)
{
    Table *t = table_new("masks", "whole models on each text: measured, and what forms of their errors say");
    table_add_column(t, COLUMN_TEXT, "text", "", "what is measured on");
    table_add_column(t, COLUMN_INTEGER, "side", "", "1: the run's text, 2: that of coefficients.from");
    table_add_column(t, COLUMN_TEXT, "label", "", "choice of a uniform model; of an allocation, its size");
    table_add_column(t, COLUMN_TEXT, "method", "", "quantizer, with its score and `ordered` columns where those are not the default; allocated");
    table_add_column(t, COLUMN_NUMBER, "ratio", "", "share of the weights that is kept");
    table_add_column(t, COLUMN_NUMBER, "code_bits", "bits/weight", "average of the codes alone");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "average, all that is stored counted");
    table_add_column(t, COLUMN_NUMBER, "t2", "", "relative squared error, mean over weights");
    add_model_losses(t);
    add_estimate(t, "same_top", "", "share of positions whose most likely token stays");
    add_estimate(t, "linear", "nats/token", "KL predicted as sum of a^G t2: a^G and all G here of this very text, E of layers alone");
    add_estimate(t, "square", "nats/token", "as sum over layers of <G, E>^2 / 2T");
    add_estimate(t, "joint", "nats/token", "as <G, E>^2 / 2T with all layers in G and E");
    add_estimate(t, "first", "nats/token", "delta-NLL predicted to first order, <g, E> / T with the gradient of the NLL itself");
    add_estimate(t, "linear_ratio", "", "KL / linear");
    add_estimate(t, "square_ratio", "", "KL / square");
    add_estimate(t, "joint_ratio", "", "KL / joint");
    table_add_column(t, COLUMN_INTEGER, "near_floor", "", "1: KL below 20 times that of the null run");
    return t;
}

static const Options *mask_options(const Tacq *t, const MaskModel *m)
{
    const Choice *c = tacq_choice(t, m->choice[0]);
    return !strcmp(m->kind, "uniform") && c->perturbation->mask ? c->options : NULL;
}

/* "tacq", "tacq qal", "gptq", "gptq ordered", "allocated". */
static char *method_of(const Tacq *t, const MaskModel *m)
{
    const char *name = tacq_choice(t, m->choice[0])->perturbation->name;
    const Options *options = tacq_choice(t, m->choice[0])->options;
    if (strcmp(m->kind, "uniform")) return xstrdup(m->kind);
    const char *score = mask_options(t, m) && options_has(options, "score") ? options_text(options, "score") : "tacq";
    const bool scored = strcmp(score, "tacq") != 0, ordered = options_has(options, "act_order") && options_flag(options, "act_order");
    return xformat("%s%s%s%s", name, scored ? " " : "", scored ? score : "", ordered ? " ordered" : "");
}

static double kept_share(const Tacq *t, const MaskModel *m)
{
    const Options *options = mask_options(t, m);
    return options ? options_number(options, "ratio") : 0;
}

Mean kl_ratio(const Side *side, const double *kl, const double *other) { return corpus_ratio(side->corpus, kl, other); }

static void set_forms(Table *table, int64_t row, const Side *side, const OnSide *on)
{
    const Forms *f = &on->forms;
    const struct { const char *name, *ratio; const double *form; } cell[] = {
        { "linear", "linear_ratio", f->linear }, { "square", "square_ratio", f->square }, { "joint", "joint_ratio", f->joint },
    };
    for (int i = 0; i < 3; i++) {
        set_estimate(table, row, cell[i].name, side_mean(side, cell[i].form));
        set_estimate(table, row, cell[i].ratio, kl_ratio(side, on->kl, cell[i].form));
    }
    set_estimate(table, row, "first", side_mean(side, f->first));
}

static void add_model(Table *table, const Tacq *t, const MaskModel *m, int s)
{
    const Side *side = &t->side[s];
    const OnSide *on = &m->on[s];
    const int64_t row = table_add_row(table);
    char *method = method_of(t, m);
    table_set_text(table, row, "text", side->name);
    table_set_integer(table, row, "side", s + 1);
    table_set_text(table, row, "label", m->label);
    table_set_text(table, row, "method", method);
    table_set_number(table, row, "ratio", kept_share(t, m));
    table_set_number(table, row, "code_bits", m->code_bits);
    table_set_number(table, row, "bits", m->bits);
    table_set_number(table, row, "t2", m->t2);
    set_model_losses(table, row, &(Losses){ side->corpus, side->n_windows, side->tokens, on->kl, on->nll, side->clean, side->floor_kl });
    set_estimate(table, row, "same_top", side_mean(side, on->same_top));
    set_forms(table, row, side, on);
    free(method);
}

/* ---- against others of the same size ---- */

PlainPath plain_path(const Tacq *t, const MaskModel *model, int s)
{
    const Side *side = &t->side[s];
    PlainPath best = { NAN, { NAN, NAN } };
    for (int i = 0; i < t->n_choices; i++)
        for (int j = 0; j < t->n_choices; j++) {
            const double share = t->plain[i] && t->plain[j] ? share_between(t->model[i].bits, t->model[j].bits, model->bits) : -1;
            if (share < 0) continue;
            const double *a = t->model[i].on[s].kl, *b = t->model[j].on[s].kl;
            const double kl = pow(side_mean(side, a).value, 1 - share) * pow(side_mean(side, b).value, share);
            if (!(kl > 0) || kl >= best.kl) continue;
            best = (PlainPath){ kl, corpus_ratio_to_path(side->corpus, model->on[s].kl, a, b, share) };
        }
    return best;
}

static Table *rival_table(void)
{
    Table *t = table_new("mask_rivals", "models against one plain choice (log-linear between two sizes) and allocations of their size, on the same windows");
    table_add_column(t, COLUMN_TEXT, "text", "", "what is measured on");
    table_add_column(t, COLUMN_INTEGER, "side", "", "1: the run's text, 2: that of coefficients.from");
    table_add_column(t, COLUMN_TEXT, "label", "", "the model");
    table_add_column(t, COLUMN_NUMBER, "bits", "bits/weight", "its size");
    add_estimate(t, "kl", "nats/token", "its measured KL");
    table_add_column(t, COLUMN_TEXT, "rival", "", "plain: one choice in all layers; allocated");
    table_add_column(t, COLUMN_NUMBER, "rival_bits", "bits/weight", "size of that");
    table_add_column(t, COLUMN_NUMBER, "rival_kl", "nats/token", "its measured KL");
    add_estimate(t, "ratio", "", "KL of the model / that of the rival, on the same windows");
    table_add_column(t, COLUMN_INTEGER, "sure", "", "1: the 95 % interval of the ratio does not hold 1");
    return t;
}

static void add_rival(Table *table, const Side *side, int s, const MaskModel *m, const char *rival, double bits, double kl, Mean ratio)
{
    const int64_t row = table_add_row(table);
    table_set_text(table, row, "text", side->name);
    table_set_integer(table, row, "side", s + 1);
    table_set_text(table, row, "label", m->label);
    table_set_number(table, row, "bits", m->bits);
    set_estimate(table, row, "kl", side_mean(side, m->on[s].kl));
    table_set_text(table, row, "rival", rival);
    table_set_number(table, row, "rival_bits", bits);
    table_set_number(table, row, "rival_kl", kl);
    set_estimate(table, row, "ratio", ratio);
    const int units = units_count(side->corpus);
    table_set_integer(table, row, "sure", units > 1 && fabs(ratio.value - 1) > student_quantile(.95, units - 1) * ratio.se);
}

static void add_rivals(Table *table, const Tacq *t, int index, int s)
{
    const MaskModel *m = &t->model[index];
    const Side *side = &t->side[s];
    if (index < t->n_choices && t->plain[index]) return;
    const PlainPath path = plain_path(t, m, s);
    if (isfinite(path.kl)) add_rival(table, side, s, m, "plain", m->bits, path.kl, path.ratio);
    for (int a = t->n_choices; a < t->n_models; a++)
        if (t->model[a].spends == index)
            add_rival(table, side, s, m, "allocated", t->model[a].bits, side_mean(side, t->model[a].on[s].kl).value,
                      kl_ratio(side, m->on[s].kl, t->model[a].on[s].kl));
}

/* ---- stages ---- */

static Table *stage_table(void)
{
    Table *t = table_new("stages", "what quantizing took in this run: nothing of what the store had");
    table_add_column(t, COLUMN_TEXT, "stage", "", "gradients, scores, quantizing ..");
    table_add_column(t, COLUMN_TEXT, "label", "", "of which choice");
    table_add_column(t, COLUMN_NUMBER, "seconds", "s", "wall time");
    table_add_column(t, COLUMN_NUMBER, "peak", "bytes", "largest resident memory of the program in this stage: mapped files, and what earlier stages left, included");
    return t;
}

static void add_stage(Table *table, const char *stage, const char *label, const StageCost *cost)
{
    if (!(cost->seconds > 0)) return;
    const int64_t row = table_add_row(table);
    table_set_text(table, row, "stage", stage);
    table_set_text(table, row, "label", label);
    table_set_number(table, row, "seconds", cost->seconds);
    table_set_number(table, row, "peak", (double)cost->peak);
}

static void add_stages(Table *table, const Tacq *t)
{
    const EvidenceSource *source = study_source(t->run->study);
    if (!source) return;
    const EvidenceCosts costs = evidence_costs(source);
    add_stage(table, "gradients", "sums over the calibration text", &costs.gradients);
    add_stage(table, "quantized for scores", "all", &costs.quantized);
    add_stage(table, "scores", "and their largest, all", &costs.scores);
    for (int c = 0; c < t->n_choices; c++) {
        const Choice *choice = tacq_choice(t, c);
        const StageCost cost = evidence_quantizing(source, &(MapEntry){ 0, choice->perturbation, choice->options });
        add_stage(table, "quantizing", choice->name, &cost);
    }
    add_stage(table, "forms for allocations", "", &t->allocating);
}

static void emit(Run *run, Table *table)
{
    if (table->n_rows) run_emit(run, table);
    else table_free(table);
}

void tacq_tables(Tacq *t)
{
    Table *masks = mask_table(), *rivals = rival_table(), *stages = stage_table();
    for (int s = 0; s < t->n_sides; s++)
        for (int m = 0; m < t->n_models; m++) {
            add_model(masks, t, &t->model[m], s);
            add_rivals(rivals, t, m, s);
        }
    add_stages(stages, t);
    emit(t->run, masks);
    emit(t->run, rivals);
    emit(t->run, stages);
}
