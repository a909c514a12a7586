/*
 * quantizers.c - what does the error of real quantizers cost, and which prediction knows it?
 *
 *     measured KL of one layer  /  a t^2,  a^G t^2,  a K,  a^G (t^2 - kappa^2) + rho kappa^2,  E <G, E>^2 / 2T
 *
 * for every choice and layer of quantizers.singles, and their geometric means over layers (protocol.md section 5); then each
 * choice in all layers: KL and perplexity over total bits, and pairs of choices of nearly equal size on the same windows.
 * quantizers.mirrored measures E with the opposite sign too: every prediction is of the mean of both.
 * Cost: a forward pass for each choice, .6 of one for each choice and layer of singles (twice that mirrored), and the
 * quantizing; for each probe a backward pass for all coefficients and another for every 16 choices; one for the Kronecker factors.
 */
#include "experiments/quantizers/quantizers.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"

Mean mean_of(const Quantizers *q, const double *by_window) { return corpus_mean(study_corpus(q->run->study), by_window); }

Mean ratio_of(const Quantizers *q, const double *a, const double *b) { return corpus_ratio(study_corpus(q->run->study), a, b); }

static void quantizers_free(Quantizers *q)
{
    alone_free(q);
    coefficients_free(&q->fisher);
    free(q->v);
    free(q->clean);
    Table *table[] = { q->whole, q->rivals, q->layers, q->predictors };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i]) table_free(table[i]);
}

static int quantizers_init(Quantizers *q, Run *run)
{
    const Corpus *corpus = study_corpus(run->study);
    *q = (Quantizers){ .run = run, .n_layers = run->n_layers, .n_windows = corpus->n_windows, .n_choices = run->config->n_choices, .tokens = corpus->tokens,
                       .mirrored = options_flag(run->options, "quantizers.mirrored") };
    if (q->n_choices == 0)
        FAIL(ERR_ARGUMENT, "%s: the experiment quantizers needs choices, for example choices: [{rtn: {bits: [3, 4]}}, {higgs: {n: [64, 256]}}]", run->config->path);
    TRY(run_check_choices(run));
    q->v = xcalloc((size_t)q->n_layers, sizeof *q->v), q->clean = xcalloc((size_t)q->n_windows, sizeof *q->clean);
    int status = alone_init(q);
    if (status != OK) quantizers_free(q);
    return status;
}

static int plan(Plan *out, int *later, Run *run)
{
    Quantizers q;
    TRY(quantizers_init(&q, run));
    plan_add_null(out);
    int status = estimator_fisher.plan(out, run);
    whole_plan(out, &q);
    alone_plan(out, &q);
    quantizers_free(&q);
    *later = 0;
    return status;
}

static int measure_floor(Quantizers *q)
{
    Measurement m;
    TRY(run_measure(&m, q->run, &(LayerMap){ .null_run = true, .label = "null run" }));
    q->floor_kl = mean_of(q, m.kl).value;
    measurement_free(&m);
    TRY(study_clean(&m, q->run->study));
    memcpy(q->clean, m.nll, sizeof *q->clean * (size_t)q->n_windows);
    measurement_free(&m);
    return OK;
}

static int measure_fisher(Quantizers *q)
{
    TRY(estimator_fisher.run(&q->fisher, q->run));
    const WindowCoefficients fresh = { .n_layers = q->n_layers, .n_windows = q->n_windows, .n_draws = q->fisher.n_draws, .a = q->fisher.a, .tokens = q->tokens };
    draw_variance(q->v, &fresh);
    return OK;
}

static int measure_all(Quantizers *q)
{
    TRY(measure_floor(q));
    TRY(measure_fisher(q));
    TRY(whole_measure(q));
    TRY(alone_measure(q));
    predictors_tables(q);
    return OK;
}

static void emit_all(Quantizers *q)
{
    Table **table[] = { &q->whole, &q->rivals, &q->layers, &q->predictors };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (*table[i] && (*table[i])->n_rows) run_emit(q->run, *table[i]);
        else if (*table[i]) table_free(*table[i]);
        *table[i] = NULL;
    }
}

static int run(Run *run)
{
    Quantizers q;
    TRY(quantizers_init(&q, run));
    int status = measure_all(&q);
    if (status == OK) {
        quantizers_say(&q);
        emit_all(&q);
    }
    quantizers_free(&q);
    return status;
}

const Experiment experiment_quantizers = {
    .name = "quantizers", .summary = "real quantizers: KL and perplexity over bits, and which prediction knows the cost of their errors",
    .by_item = true, .plan = plan, .run = run,
};
