/*
 * ppl.c - perplexity of a model on a text, by a named protocol
 *
 *     NLL = sum over scored tokens of -log p / their number [nats/token],  PPL = exp(NLL)
 *     standard error over windows (tokens inside a window are not independent), of a task over its items
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/measure/compare.h"
#include "core/store/table.h"
#include "experiments/command.h"
#include "experiments/experiment.h"

static void print_json(const Comparison *c, const Corpus *corpus, Mean nll, double seconds)
{
    printf("{\"nll\":");
    json_number(stdout, nll.value);
    printf(",\"nll_se\":");
    json_number(stdout, nll.se);
    printf(",\"ppl\":");
    json_number(stdout, exp(nll.value));
    printf(",\"tokens\":%lld,\"windows\":%d,\"window_nll\":[", (long long)corpus->n_scored, corpus->n_windows);
    for (int w = 0; w < c->n_windows; w++) {
        if (w) putchar(',');
        json_number(stdout, c->nll[w]);
    }
    printf("],\"protocol\":");
    json_text(stdout, corpus->protocol);
    printf(",\"context\":%d,\"bos\":%s,\"seconds\":", corpus->context, corpus->bos ? "true" : "false");
    json_number(stdout, seconds);
    printf(",\"tokens_per_second\":");
    json_number(stdout, (double)corpus->n_inputs / seconds);
    puts("}");
}

static void print_text(const Corpus *corpus, Mean nll, double seconds)
{
    const double ppl = exp(nll.value);
    if (isfinite(nll.se)) printf("NLL %.5f +- %.5f nats/token   PPL %.4f +- %.4f\n", nll.value, nll.se, ppl, ppl * nll.se);
    else printf("NLL %.5f nats/token   PPL %.4f   (one window or item: no standard error)\n", nll.value, ppl);
    printf("%lld tokens scored in %d windows; protocol %s, context %d, %s; %.1f s, %.0f tokens/s\n", (long long)corpus->n_scored,
           corpus->n_windows, corpus->protocol, corpus->context, corpus->bos ? "with BOS" : "no BOS", seconds, (double)corpus->n_inputs / seconds);
}

static int measure_text(const Model *model, const Corpus *corpus, const Kernels *kernels, const Arguments *a)
{
    Progress *progress = progress_begin(corpus->n_segments, (double)corpus->n_inputs, "segments", options_flag(a->options, "quiet"));
    double start = clock_seconds();
    Comparison c;
    int status = compare_models(&c, model, NULL, corpus, kernels, chosen_memory(a->options, kernels), show_progress, progress);
    const double seconds = clock_seconds() - start;
    progress_end(progress);
    TRY(status);
    const Mean nll = corpus_mean(corpus, c.nll);
    if (options_flag(a->options, "json")) print_json(&c, corpus, nll, seconds);
    else print_text(corpus, nll, seconds);
    comparison_free(&c);
    return OK;
}

static int run(const Arguments *a)
{
    Model *model = NULL;
    Corpus corpus = { 0 };
    const Kernels *kernels;
    TRY(chosen_kernels(&kernels, a->options));
    TRY(model_open(&model, a->positional[0]));
    int status = open_corpus(&corpus, a->positional[1], model, a->options, "");
    if (status == OK) status = measure_text(model, &corpus, kernels, a);
    corpus_free(&corpus);
    model_close(&model);
    return status;
}

const Command command_ppl = {
    .name = "ppl", .arguments = "MODEL TEXT", .summary = "perplexity of a model on a text, by a named protocol",
    .settings = text_settings, .least = 2, .most = 2, .json = true, .run = run,
};
