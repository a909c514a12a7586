/*
 * tasks.c - multiple-choice questions: how many a model answers rightly, and whether another file of it answers otherwise
 *
 * Definitions in core/estimate/accuracy.h: acc and acc_norm of lm-evaluation-harness, paired changes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/estimate/accuracy.h"
#include "core/estimate/fit.h"
#include "core/measure/compare.h"
#include "core/store/table.h"
#include "experiments/command.h"
#include "experiments/experiment.h"

typedef struct {
    const Corpus *corpus;
    const Comparison *losses;
    const char *file, *model, *other;       /* names without folders; other NULL: one model */
    Answers answers, other_answers;
    double seconds;
} Result;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static double log_likelihood(const Result *r, const double *nll, int window) { return -nll[window] * (double)r->corpus->tokens[window]; }

/* Mean log-likelihood of the right choices, [nats]; before: its change from that (NULL: none). */
static Share right_choices(const Result *r, const double *nll, const double *before)
{
    const CorpusTask *task = r->corpus->task;
    double *x = xmalloc(sizeof *x * (size_t)task->n_items);
    int64_t *one = xmalloc(sizeof *one * (size_t)task->n_items);
    for (int i = 0; i < task->n_items; i++) {
        const int window = task->first[i] + task->label[i];
        x[i] = log_likelihood(r, nll, window) - (before ? log_likelihood(r, before, window) : 0);
        one[i] = 1;
    }
    Share mean;
    weighted_mean(&mean.value, &mean.se, x, one, task->n_items);
    free(x);
    free(one);
    return mean;
}

/* KL of all scored tokens, its error over items. */
static Share task_kl(const Result *r)
{
    const Mean kl = corpus_mean(r->corpus, r->losses->kl);
    return (Share){ kl.value, kl.se };
}

/* ---- JSON ---- */

static void put_pair(const char *name, const char *of, Share x)
{
    printf(",\"%s%s\":", name, of);
    json_number(stdout, x.value);
    printf(",\"%s%s_se\":", name, of);
    json_number(stdout, x.se);
}

static void put_model(const Result *r, const char *of, const Answers *answers, const double *nll)
{
    put_pair("acc", of, accuracy(answers->right, answers->n_items));
    put_pair("acc_norm", of, accuracy(answers->right_norm, answers->n_items));
    put_pair("loglikelihood", of, right_choices(r, nll, NULL));
}

static void put_change(const char *name, AccuracyChange c)
{
    put_pair(name, "_change", (Share){ c.value, c.se });
    printf(",\"%s_gained\":%d,\"%s_lost\":%d,\"%s_below_error\":%s,\"%s_p\":", name, c.gained, name, c.lost, name, c.below_error ? "true" : "false", name);
    json_number(stdout, c.p);
}

static void put_list(const Result *r, const char *name, const double *nll, int item)
{
    const CorpusTask *task = r->corpus->task;
    printf("\"%s\":[", name);
    for (int w = task->first[item]; w < task->first[item + 1]; w++) {
        if (w > task->first[item]) putchar(',');
        if (nll) json_number(stdout, log_likelihood(r, nll, w));
        else printf("%lld", (long long)r->corpus->tokens[w]);
    }
    fputs("],", stdout);
}

static void print_json(const Result *r)
{
    const CorpusTask *task = r->corpus->task;
    printf("{\"task\":");
    json_text(stdout, r->file);
    printf(",\"format\":");
    json_text(stdout, task->format);
    printf(",\"items\":%d,\"tokens\":%lld,\"bos\":%s,\"shortened\":%d,\"chance\":", task->n_items, (long long)r->corpus->n_scored,
           r->corpus->bos ? "true" : "false", r->corpus->shortened);
    json_number(stdout, accuracy_of_chance(task));
    put_model(r, "", &r->answers, r->losses->nll);
    if (r->other) {
        put_model(r, "_other", &r->other_answers, r->losses->other_nll);
        put_change("acc", accuracy_change(r->other_answers.right, r->answers.right, task->n_items));
        put_change("acc_norm", accuracy_change(r->other_answers.right_norm, r->answers.right_norm, task->n_items));
        put_pair("loglikelihood", "_change", right_choices(r, r->losses->other_nll, r->losses->nll));
        put_pair("kl", "", task_kl(r));
    }
    printf(",\"rows\":[");
    for (int i = 0; i < task->n_items; i++) {
        fputs(i ? ",{" : "{", stdout);
        put_list(r, "loglikelihood", r->losses->nll, i);
        if (r->other) put_list(r, "loglikelihood_other", r->losses->other_nll, i);
        put_list(r, "tokens", NULL, i);
        printf("\"label\":%d}", task->label[i]);
    }
    printf("],\"seconds\":");
    json_number(stdout, r->seconds);
    puts("}");
}

/* ---- for people ---- */

static void print_share(double value, double se, const char *sign)
{
    char text[64];
    if (isfinite(se)) snprintf(text, sizeof text, "%s%.1f %% +- %.1f", value < 0 ? "" : sign, 100 * value, 100 * se);
    else snprintf(text, sizeof text, "%s%.1f %%", value < 0 ? "" : sign, 100 * value);
    printf("  %-17s", text);
}

static void print_nats(Share x)
{
    if (isfinite(x.se)) printf("  %.2f +- %.2f\n", x.value, x.se);
    else printf("  %.2f\n", x.value);
}

static void print_model(const Result *r, const char *name, const Answers *answers, const double *nll)
{
    const Share acc = accuracy(answers->right, answers->n_items), norm = accuracy(answers->right_norm, answers->n_items), right = right_choices(r, nll, NULL);
    printf("%-36.36s", name);
    print_share(acc.value, acc.se, "");
    print_share(norm.value, norm.se, "");
    print_nats(right);
}

static void print_change(const char *name, AccuracyChange c)
{
    if (c.gained + c.lost == 0) printf("%s: every item is answered as before\n", name);
    else printf("%s: %d answered rightly now and wrongly before, %d the reverse; the change is %s its standard error (sign test p = %.2g)\n", name, c.gained, c.lost,
                c.below_error ? "below" : "above", c.p);
}

static void print_both(const Result *r)
{
    const int n = r->answers.n_items;
    const AccuracyChange acc = accuracy_change(r->other_answers.right, r->answers.right, n), norm = accuracy_change(r->other_answers.right_norm, r->answers.right_norm, n);
    printf("%-36s", "change");
    print_share(acc.value, acc.se, "+");
    print_share(norm.value, norm.se, "+");
    print_nats(right_choices(r, r->losses->other_nll, r->losses->nll));
    print_change("accuracy", acc);
    print_change("by length", norm);
    const Share kl = task_kl(r);
    printf("KL of the tokens of the choices: %.4g", kl.value);
    if (isfinite(kl.se)) printf(" +- %.2g", kl.se);
    puts(" nats/token");
}

static void print_text(const Result *r)
{
    const Corpus *c = r->corpus;
    printf("%s (%s): %d item%s, %d choices of %lld tokens in all; %s; %.1f s\n", r->file, c->task->format, c->task->n_items, c->task->n_items == 1 ? "" : "s", c->n_windows, (long long)c->n_scored,
           c->bos ? "with BOS" : "no BOS", r->seconds);
    if (c->shortened) printf("%d choices and their contexts are longer than %d tokens and lost their beginning\n", c->shortened, c->context);
    printf("%-36s  %-17s  %-17s  %s\n", "", "accuracy", "by length", "log-likelihood of the right choice, nats");
    print_model(r, r->model, &r->answers, r->losses->nll);
    if (r->other) print_model(r, r->other, &r->other_answers, r->losses->other_nll);
    printf("%-36s  %.1f %%\n", "guessing", 100 * accuracy_of_chance(c->task));
    if (r->other) print_both(r);
}

/* ---- the run ---- */

static int score(const Model *model, const Model *other, const Corpus *corpus, const Kernels *kernels, const Arguments *a)
{
    Progress *progress = progress_begin(corpus->n_segments, (double)corpus->n_inputs, "choices", options_flag(a->options, "quiet"));
    const double start = clock_seconds();
    Comparison c = { 0 };
    int status = compare_models(&c, model, other, corpus, kernels, chosen_memory(a->options, kernels), show_progress, progress);
    progress_end(progress);
    TRY(status);
    Result r = { .corpus = corpus, .losses = &c, .file = base_name(a->positional[1]), .model = base_name(a->positional[0]),
                 .other = other ? base_name(a->positional[2]) : NULL, .seconds = clock_seconds() - start };
    answers_init(&r.answers, corpus->task, c.nll, corpus->tokens);
    if (other) answers_init(&r.other_answers, corpus->task, c.other_nll, corpus->tokens);
    if (options_flag(a->options, "json")) print_json(&r);
    else print_text(&r);
    answers_free(&r.answers);
    answers_free(&r.other_answers);
    comparison_free(&c);
    return OK;
}

static int run(const Arguments *a)
{
    Model *model = NULL, *other = NULL;
    Corpus corpus = { 0 };
    const Kernels *kernels;
    TRY(chosen_kernels(&kernels, a->options));
    int status = model_open(&model, a->positional[0]);
    if (status == OK && a->n_positional > 2) status = model_open(&other, a->positional[2]);
    if (status == OK) status = open_corpus_as(&corpus, "choices", a->positional[1], model, a->options, "");
    if (status == OK) status = score(model, other, &corpus, kernels, a);
    corpus_free(&corpus);
    model_close(&other);
    model_close(&model);
    return status;
}

static const Option own[] = {
    { "context", OPTION_INTEGER, false, NULL, 1, 1e7, NULL, "tokens", "the longest context with its choice; longer ones lose their beginning (default: the model's)" },
    { "windows", OPTION_INTEGER, false, NULL, 1, 1e9, NULL, "items",  "the first N items (default all)" },
    { "skip",    OPTION_INTEGER, false, "0",  0, 1e9, NULL, "items",  "leave out so many before those" },
    { 0 },
};
static const char *const settings[] = { "text.bos", NULL };

static const char details[] =
    "FILE: questions with choices, one a line, {\"context\", \"choices\", \"label\"} or as published: HellaSwag, ARC, PIQA,\n"
    "WinoGrande (.jsonl), MMLU (.csv).  A choice counts as chosen where log p(choice | context) is the largest\n"
    "(accuracy), or that by its length in characters (by length; the same for MMLU and WinoGrande, whose choices are\n"
    "equally long): acc and acc_norm of lm-evaluation-harness, 0-shot, with its prompts.  It puts no BOS in front\n"
    "unless told to: --bos no where the tokenizer adds one.  OTHER: another file of the same model, quantized or not,\n"
    "on the same items; errors of the change are paired, and a change not larger than its error is called so.\n\n"
    "--json: task, format, items, tokens (scored), bos, shortened, chance, acc, acc_se, acc_norm, acc_norm_se,\n"
    "  loglikelihood (mean of the right choices, nats), loglikelihood_se, seconds,\n"
    "  rows [{loglikelihood [of each choice], tokens [..], label}]\n"
    "  with OTHER also acc_other, acc_norm_other, loglikelihood_other and _se of each; acc_change, acc_change_se,\n"
    "  acc_gained, acc_lost, acc_below_error, acc_p (sign test) and the same of acc_norm; loglikelihood_change and\n"
    "  loglikelihood_change_se; kl, kl_se (nats/token); loglikelihood_other in rows\n";

const Command command_tasks = {
    .name = "tasks", .arguments = "MODEL FILE [OTHER]", .summary = "multiple-choice questions: accuracy, and the change of it in another file of the model",
    .details = details, .settings = settings, .own = own, .least = 2, .most = 3, .json = true, .run = run,
};
