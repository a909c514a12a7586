/*
 * text.c - what all commands that read a model and a text share
 */
#include <stdio.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/progress.h"
#include "core/network/device.h"
#include "core/text/text_file.h"
#include "experiments/command.h"

const char *const text_settings[] = { "text.protocol", "text.context", "text.windows", "text.skip", "text.bos", "text.separator", "text.seed", NULL };

static BosRule bos_rule(const char *word)
{
    return !strcmp(word, "yes") ? BOS_YES : !strcmp(word, "no") ? BOS_NO : BOS_AUTO;
}

/* The names of text settings are "text.context" in a config and "context" on the command line. */
typedef struct { const Options *options; const char *prefix; char name[64]; } Settings;

static const char *named(Settings *s, const char *name)
{
    snprintf(s->name, sizeof s->name, "%s%s", s->prefix, name);
    return s->name;
}

static const char *text_of(Settings *s, const char *name)
{
    return options_has(s->options, named(s, name)) && options_is_set(s->options, s->name) ? options_text(s->options, s->name) : NULL;
}

static int64_t integer_of(Settings *s, const char *name)
{
    return options_has(s->options, named(s, name)) && options_is_set(s->options, s->name) ? options_integer(s->options, s->name) : 0;
}

/* The default of the table, or the model's own limit where that is smaller; for questions always that. */
static int context_of(Settings *s, const char *protocol, int limit)
{
    const bool whole = protocol && (!strcmp(protocol, "choices") || !strcmp(protocol, "answers"));
    const int context = (int)integer_of(s, "context");
    if (whole && !options_is_given(s->options, s->name)) return 0;
    return !options_is_given(s->options, s->name) && limit > 0 && context > limit ? limit : context;
}

int open_corpus(Corpus *out, const char *path, const Model *model, const Options *options, const char *prefix)
{
    Settings s = { options, prefix, "" };
    return open_corpus_as(out, text_of(&s, "protocol"), path, model, options, prefix);
}

int open_corpus_as(Corpus *out, const char *protocol, const char *path, const Model *model, const Options *options, const char *prefix)
{
    Settings s = { options, prefix, "" };
    CorpusOptions c = {
        .protocol = protocol, .windows = (int)integer_of(&s, "windows"), .skip = (int)integer_of(&s, "skip"), .separator = text_of(&s, "separator"),
        .seed = (uint64_t)integer_of(&s, "seed"), .bos = bos_rule(text_of(&s, "bos")),
        .model_context = model_shape(model)->context, .vocabulary = model_shape(model)->vocabulary,
    };
    c.context = context_of(&s, c.protocol, model_shape(model)->context);
    if (text_kind(path) == TEXT_IDS && c.bos == BOS_AUTO) return corpus_open(out, path, NULL, &c);
    Tokenizer *tokenizer = NULL;
    int status = tokenizer_open(&tokenizer, model_path(model));
    if (status != OK && text_kind(path) != TEXT_IDS) return err_set(status, "%s; token ids in an .ids file need no tokenizer", err_last());
    if (status == OK) status = corpus_open(out, path, tokenizer, &c);
    tokenizer_close(&tokenizer);
    return status;
}

int chosen_kernels(const Kernels **out, const Options *options)
{
    kernels_set_threads(options_is_set(options, "threads") ? (int)options_integer(options, "threads") : 0);
    const char *why, *name = options_text(options, "backend");
    *out = kernels_choose(name, options_text(options, "precision"), &why);
    if (!*out) FAIL(ERR_UNSUPPORTED, "back end %s: %s", name, why);
    return OK;
}

int64_t chosen_memory(const Options *options, const Kernels *kernels)
{
    const int64_t memory = options_integer(options, "memory"), there = kernels_memory(kernels, memory);
    return options_is_given(options, "memory") && memory < there ? memory : kernels->free_memory ? there : memory;
}

void show_progress(void *context, double inputs) { progress_step(context, inputs, NULL); }
