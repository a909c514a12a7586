/*
 * alpha_text.c - the text that coefficients are measured on: of a file, or sampled from the model as it is needed
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "experiments/alpha/alpha.h"
#include "experiments/run/sample_text.h"

enum { FISHER_WINDOWS = 128, OTHER_WINDOWS = 16 };      /* sampled at most, where nothing is said */

/* Options that only one kind of text looks at. */
static int refuse_ignored(const Options *options, const char *path)
{
    static const char *const of_a_file[] = { "protocol", "context", "skip", "bos", "separator" };
    if (path && options_is_given(options, "length")) FAIL(ERR_ARGUMENT, "--length is of sampled text; the windows of %s have --context", path);
    for (size_t i = 0; i < sizeof of_a_file / sizeof *of_a_file && !path; i++)
        if (options_is_given(options, of_a_file[i])) FAIL(ERR_ARGUMENT, "--%s is of a TEXT, and there is none; sampled text has --length and --windows", of_a_file[i]);
    return OK;
}

static int open_file(Alpha *a, const char *path)
{
    TRY(open_corpus(&a->text.corpus, path, a->model, a->asked, ""));
    a->text.most = a->text.corpus.n_windows;
    return OK;
}

static int open_sampled(Alpha *a)
{
    AlphaText *t = &a->text;
    const int context = model_shape(a->model)->context;
    t->length = (int)options_integer(a->asked, "length");
    if (t->length > context) FAIL(ERR_ARGUMENT, "--length %d is longer than the model's context of %d", t->length, context);
    t->most = options_is_given(a->asked, "windows") ? (int)options_integer(a->asked, "windows") : a->is_fisher ? FISHER_WINDOWS : OTHER_WINDOWS;
    return OK;
}

int alpha_text_open(Alpha *a, const char *path)
{
    a->text = (AlphaText){ .path = path };
    TRY(refuse_ignored(a->asked, path));
    return path ? open_file(a, path) : open_sampled(a);
}

int alpha_text_reach(Alpha *a, int windows)
{
    AlphaText *t = &a->text;
    const int have = t->corpus.n_windows, whole = (windows + SAMPLE_GROUP - 1) / SAMPLE_GROUP * SAMPLE_GROUP;
    const int want = whole < t->most ? whole : t->most;
    if (want <= have) return OK;
    if (!a->quiet) fprintf(stderr, "sampling %d windows of %d tokens from the model\n", want - have, t->length);
    double start = clock_seconds();
    t->ids = xrealloc(t->ids, sizeof *t->ids * (size_t)want * (size_t)t->length);
    TRY(sample_text(t->ids + (int64_t)have * t->length, a->model, a->kernels, a->memory, have, want - have, t->length,
                    (uint64_t)options_integer(a->asked, "seed"), "a TEXT of token ids, .ids, does without"));
    t->seconds += clock_seconds() - start;
    corpus_free(&t->corpus);
    TRY(corpus_from_ids(&t->corpus, t->ids, want, t->length, "sampled", -1));
    a->windows = alpha_text_first(t, a->windows.n_windows);         /* which borrow from it */
    return OK;
}

/* The hash stays that of all: what is measured window by window does not look at it. */
Corpus alpha_text_first(const AlphaText *t, int n)
{
    Corpus first = t->corpus;
    if (n >= first.n_windows) return first;
    first.n_windows = n;
    first.n_segments = first.longest = 0;
    first.n_inputs = first.n_scored = 0;
    for (const Segment *s = first.segment; s->window < n; s++) {
        first.n_segments++;
        first.n_inputs += s->length;
        if (s->length > first.longest) first.longest = s->length;
    }
    for (int w = 0; w < n; w++) first.n_scored += first.tokens[w];
    return first;
}

void alpha_text_free(AlphaText *t)
{
    corpus_free(&t->corpus);
    free(t->ids);
    *t = (AlphaText){ 0 };
}
