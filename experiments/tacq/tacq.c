/*
 * tacq.c - does keeping single weights beat spending the same bytes otherwise, and who knows in advance?
 *
 *     kept weights cost 32 bits each and their rows' numbers; an allocation of the same size, exact and by the same calibration text, may put
 *     these bits anywhere else
 *
 * Each choice in all layers, on the run's text and on that of coefficients.from (say, the task that was calibrated on, and other text): KL,
 * delta-NLL, perplexity over total bits; against plain quantizers of equal size (tacq.allocate); against what forms of the errors say, layer by
 * layer and all in one.  Evidence, masks and quantized models are made once for both texts.
 * Cost: a forward pass over each text for each choice and each allocation, two backward passes over each text for 16 choices; for masks a backward pass over
 * the calibration text, and the quantizing, once for each choice and each width that scores look at.
 */
#include "experiments/tacq/tacq.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

Mean side_mean(const Side *side, const double *by_window) { return corpus_mean(side->corpus, by_window); }

static void tacq_free(Tacq *t)
{
    for (int m = 0; m < t->n_models; m++) {
        MaskModel *model = &t->model[m];
        for (int s = 0; s < SIDES; s++) {
            OnSide *on = &model->on[s];
            double *all[] = { on->kl, on->nll, on->same_top, on->forms.linear, on->forms.square, on->forms.joint, on->forms.first };
            for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
        }
        free(model->label);
        free(model->choice);
    }
    for (int s = 0; s < SIDES; s++) free(t->side[s].name), free(t->side[s].clean);
    void *all[] = { t->weights, t->plain, t->t2, t->bits, t->model };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The file of a text, without its folder, or how it came about. */
static char *text_name(const Options *options, const char *key, const Corpus *corpus)
{
    if (!options_is_set(options, key)) return xstrdup(corpus->protocol);
    const char *path = options_text(options, key), *slash = strrchr(path, '/');
    return xstrdup(slash ? slash + 1 : path);
}

static void side_init(Side *side, const Run *run, Study *study, const char *key)
{
    const Corpus *corpus = study_corpus(study);
    *side = (Side){ .name = text_name(run->options, key, corpus), .corpus = corpus, .n_windows = corpus->n_windows, .tokens = corpus->tokens };
    side->clean = xcalloc((size_t)corpus->n_windows, sizeof *side->clean);
}

static bool is_named(const Options *options, const char *method)
{
    for (int i = 0; i < options_count(options, "tacq.allocate"); i++)
        if (!strcmp(options_text_at(options, "tacq.allocate", i), method)) return true;
    return false;
}

static int check(const Run *run)
{
    if (run->config->n_choices == 0)
        FAIL(ERR_ARGUMENT, "%s: the experiment tacq needs choices, for example choices: [{gptq: {bits: [2, 3], group: 0}}, {tacq: {bits: [2, 3]}}]",
             run->config->path);
    for (int i = 0; i < options_count(run->options, "tacq.allocate"); i++) {
        const char *method = options_text_at(run->options, "tacq.allocate", i);
        bool found = false;
        for (int c = 0; c < run->config->n_choices; c++) found |= !strcmp(run->config->choice[c].perturbation->name, method);
        if (!found && options_is_given(run->options, "tacq.allocate")) FAIL(ERR_ARGUMENT, "tacq.allocate: none of the choices is '%s'", method);
    }
    return run_check_choices(run);
}

static int tacq_init(Tacq *t, Run *run)
{
    TRY(check(run));
    const size_t layers = (size_t)run->n_layers, choices = (size_t)run->config->n_choices;
    *t = (Tacq){ .run = run, .n_layers = run->n_layers, .n_choices = run->config->n_choices, .n_sides = run->coefficients == run->study ? 1 : 2 };
    t->weights = xmalloc(layers * sizeof *t->weights), t->plain = xcalloc(choices, sizeof *t->plain);
    t->t2 = xcalloc(layers * choices, sizeof *t->t2), t->bits = xcalloc(layers * choices, sizeof *t->bits);
    for (int i = 0; i < t->n_layers; i++) t->weights[i] = tacq_layer(t, i)->rows * tacq_layer(t, i)->cols;
    for (int c = 0; c < t->n_choices; c++) t->plain[c] = is_named(run->options, tacq_choice(t, c)->perturbation->name);
    side_init(&t->side[0], run, run->study, "text.file");
    if (t->n_sides == 2) side_init(&t->side[1], run, run->coefficients, "coefficients.file");
    return OK;
}

static int count_rivals(const Tacq *t)
{
    int plain = 0;
    for (int c = 0; c < t->n_choices; c++) plain += t->plain[c];
    return plain > 1 ? t->n_choices - plain : 0;
}

static int plan(Plan *out, int *later, Run *run)
{
    Tacq t;
    TRY(tacq_init(&t, run));
    MapEntry *entry = xmalloc(sizeof *entry * (size_t)t.n_layers);
    int *choice = xmalloc(sizeof *choice * (size_t)t.n_layers);
    for (int s = 0; s < t.n_sides; s++) {
        out->study = s ? run->coefficients : run->study;
        plan_add_null(out);
        for (int c = 0; c < t.n_choices; c++) {
            for (int i = 0; i < t.n_layers; i++) choice[i] = c;
            mask_map(entry, &t, choice);
            plan_add(out, &(LayerMap){ .n = t.n_layers, .entry = entry, .label = tacq_choice(&t, c)->name });
        }
        forms_plan(out, run);
    }
    *later = count_rivals(&t) * t.n_sides;
    if (*later) out->later_passes += allocation_passes(run), out->later_windows += allocation_windows(run);
    free(entry);
    free(choice);
    tacq_free(&t);
    return OK;
}

static int measure_clean(Tacq *t, Side *side)
{
    Measurement m;
    TRY(run_measure(&m, t->run, &(LayerMap){ .null_run = true, .label = "null run" }));
    side->floor_kl = side_mean(side, m.kl).value;
    measurement_free(&m);
    TRY(study_clean(&m, t->run->study));
    memcpy(side->clean, m.nll, sizeof *side->clean * (size_t)side->n_windows);
    measurement_free(&m);
    return OK;
}

static int measure_sides(Tacq *t)
{
    TRY(measure_clean(t, &t->side[0]));
    if (t->n_sides == 1) return OK;
    run_turn(t->run);
    int status = measure_clean(t, &t->side[1]);
    run_turn(t->run);
    return status;
}

static int measure_uniform(Tacq *t)
{
    int *choice = xmalloc(sizeof *choice * (size_t)t->n_layers), status = OK;
    for (int c = 0; c < t->n_choices && status == OK; c++) {
        for (int i = 0; i < t->n_layers; i++) choice[i] = c;
        add_mask_model(t, "uniform", xstrdup(tacq_choice(t, c)->name), choice, -1);
        status = measure_mask_model(t, c);
    }
    free(choice);
    return status;
}

static int measure_all(Tacq *t)
{
    TRY(measure_sides(t));
    TRY(measure_uniform(t));
    if (count_rivals(t)) TRY(allocate_sizes(t));
    return forms_measure(t);
}

static int run(Run *run)
{
    Tacq t;
    TRY(tacq_init(&t, run));
    int status = measure_all(&t);
    if (status == OK) {
        tacq_say(&t);
        tacq_tables(&t);
    }
    tacq_free(&t);
    return status;
}

const Experiment experiment_tacq = {
    .name = "tacq", .summary = "weights kept out of quantized models, against others and allocations of the same size, on two texts",
    .other_text = true, .by_item = true, .plan = plan, .run = run,
};
