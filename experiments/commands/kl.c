/*
 * kl.c - how far another file of the same model is from it: KL, delta-NLL, t^2 of every layer
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/estimate/fit.h"
#include "core/measure/compare.h"
#include "core/perturb/perturbation.h"
#include "core/store/table.h"
#include "experiments/command.h"
#include "experiments/experiment.h"

/* Errors are over windows, of a task over its items. */
typedef struct { Mean kl, delta; double nll, other_nll, same_top; } Summary;

static void summarize(Summary *out, const Comparison *c, const Corpus *corpus)
{
    double *delta = window_difference(c->other_nll, c->nll, c->n_windows);
    *out = (Summary){ corpus_mean(corpus, c->kl), corpus_mean(corpus, delta), corpus_mean(corpus, c->nll).value,
                      corpus_mean(corpus, c->other_nll).value, corpus_mean(corpus, c->same_top).value };
    free(delta);
}

/* t^2 = ||other - model||^2 / ||model||^2 of every layer. */
static int layer_errors(double *t2, const Model *model, const Model *other)
{
    if (model_layer_count(model) != model_layer_count(other))
        FAIL(ERR_ARGUMENT, "%s has %d layers and %s %d: they are not the same model", model_path(model), model_layer_count(model), model_path(other), model_layer_count(other));
    for (int l = 0; l < model_layer_count(model); l++) {
        const Layer *a = model_layer(model, l), *b = model_layer(other, l);
        if (a->rows != b->rows || a->cols != b->cols)
            FAIL(ERR_ARGUMENT, "%s is %lld x %lld in %s and %lld x %lld in %s: they are not the same model", a->name, (long long)a->rows,
                 (long long)a->cols, model_path(model), (long long)b->rows, (long long)b->cols, model_path(other));
        int64_t n = a->rows * a->cols;
        float *w = xmalloc(sizeof *w * (size_t)n), *v = xmalloc(sizeof *v * (size_t)n);
        int status = model_read(w, model, a->type, a->block, 0, a->rows);
        if (status == OK) status = model_read(v, other, b->type, b->block, 0, b->rows);
        PerturbationError error;
        if (status == OK) perturbation_measure(&error, v, w, n);
        free(w);
        free(v);
        TRY(status);
        t2[l] = error.t2;
    }
    return OK;
}

static void print_json(const Summary *s, const Corpus *corpus, const Model *model, const double *t2)
{
    const struct { const char *name; double value; } pair[] = {
        { "kl", s->kl.value }, { "kl_se", s->kl.se }, { "delta_nll", s->delta.value }, { "delta_nll_se", s->delta.se },
        { "ppl", exp(s->nll) }, { "ppl_other", exp(s->other_nll) }, { "same_top", s->same_top },
    };
    putchar('{');
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        printf("\"%s\":", pair[i].name);
        json_number(stdout, pair[i].value);
        putchar(',');
    }
    printf("\"tokens\":%lld,\"layers\":[", (long long)corpus->n_scored);
    for (int l = 0; l < model_layer_count(model); l++) {
        printf("%s{\"name\":\"%s\",\"t2\":", l ? "," : "", model_layer(model, l)->name);
        json_number(stdout, t2[l]);
        putchar('}');
    }
    puts("]}");
}

static void print_mean(const char *name, Mean mean)
{
    if (isfinite(mean.se)) printf("%s %.6g +- %.2g nats/token\n", name, mean.value, mean.se);
    else printf("%s %.6g nats/token (one window or item: no standard error)\n", name, mean.value);
}

static void print_text(const Summary *s, const Corpus *corpus, const Model *model, const double *t2)
{
    int n = model_layer_count(model), worst = 0;
    double sum = 0;
    for (int l = 0; l < n; l++) {
        sum += t2[l] / n;
        if (t2[l] > t2[worst]) worst = l;
    }
    print_mean("KL       ", s->kl);
    print_mean("delta NLL", s->delta);
    printf("PPL       %.4f -> %.4f\n", exp(s->nll), exp(s->other_nll));
    printf("same most likely token: %.2f %%\n", 100 * s->same_top);
    printf("t^2: mean of %d layers %.4g, largest %.4g (%s)\n", n, sum, t2[worst], model_layer(model, worst)->name);
    printf("%lld tokens scored in %d windows; protocol %s, context %d, %s\n", (long long)corpus->n_scored, corpus->n_windows,
           corpus->protocol, corpus->context, corpus->bos ? "with BOS" : "no BOS");
}

static int compare(const Model *model, const Model *other, const Corpus *corpus, const Kernels *kernels, const Arguments *a)
{
    double *t2 = xmalloc(sizeof *t2 * (size_t)model_layer_count(model));
    int status = layer_errors(t2, model, other);
    Comparison c = { 0 };
    if (status == OK) {
        Progress *progress = progress_begin(corpus->n_segments, (double)corpus->n_inputs, "segments", options_flag(a->options, "quiet"));
        status = compare_models(&c, model, other, corpus, kernels, chosen_memory(a->options, kernels), show_progress, progress);
        progress_end(progress);
    }
    if (status == OK) {
        Summary s;
        summarize(&s, &c, corpus);
        if (options_flag(a->options, "json")) print_json(&s, corpus, model, t2);
        else print_text(&s, corpus, model, t2);
    }
    comparison_free(&c);
    free(t2);
    return status;
}

static int run(const Arguments *a)
{
    Model *model = NULL, *other = NULL;
    Corpus corpus = { 0 };
    const Kernels *kernels;
    TRY(chosen_kernels(&kernels, a->options));
    int status = model_open(&model, a->positional[0]);
    if (status == OK) status = model_open(&other, a->positional[1]);
    if (status == OK) status = open_corpus(&corpus, a->positional[2], model, a->options, "");
    if (status == OK) status = compare(model, other, &corpus, kernels, a);
    corpus_free(&corpus);
    model_close(&other);
    model_close(&model);
    return status;
}

const Command command_kl = {
    .name = "kl", .arguments = "MODEL OTHER TEXT", .summary = "KL and delta-NLL of another file of the same model, quantized or not",
    .settings = text_settings, .least = 3, .most = 3, .json = true, .run = run,
};
