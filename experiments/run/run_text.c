/*
 * run_text.c - the text of a run: from a file, random, or sampled from the model itself
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/glob.h"
#include "experiments/command.h"
#include "experiments/run/run.h"
#include "experiments/run/sample_text.h"

static int integer(const Options *options, const char *name) { return (int)options_integer(options, name); }

/* And the words for where it cannot be had. */
typedef struct { int windows, length; uint64_t seed; const char *length_key, *otherwise; } Sample;

/* The file that keeps the sample: its name follows from all that decides it. */
static char *sample_path(const TextSource *source, const Sample *wanted)
{
    char hash[HASH_TEXT], digest[HASH_TEXT];
    if (model_hash(hash, source->model) != OK) return NULL;
    const char *precision = source->kernels->precision;        /* named where it is not the first that there was */
    char *spec = xformat("sample 1 model %s windows %d length %d seed %lld%s%s", hash, wanted->windows, wanted->length, (long long)wanted->seed,
                         strcmp(precision, "fp32") ? " precision " : "", strcmp(precision, "fp32") ? precision : "");
    hash_bytes(digest, spec, strlen(spec));
    free(spec);
    return xformat("%s/sampled-%.12s.ids", source->folder, digest);
}

static int write_ids(const char *path, const int32_t *ids, int windows, int length)
{
    char *temporary = xformat("%s.tmp", path);
    FILE *file = fopen(temporary, "w");
    int failed = !file;
    for (int64_t i = 0; file && i < (int64_t)windows * length; i++) failed |= fprintf(file, "%d%c", ids[i], (i + 1) % length ? ' ' : '\n') < 0;
    if (file) failed |= fflush(file) != 0 || fsync(fileno(file)) != 0;
    if (file) failed |= fclose(file) != 0;
    failed = failed || rename(temporary, path) != 0;
    free(temporary);
    if (failed) FAIL(ERR_FILE, "%s: cannot be written", path);
    return OK;
}

static int sample(const char *path, const TextSource *source, const Sample *wanted)
{
    if (wanted->length > model_shape(source->model)->context)
        FAIL(ERR_ARGUMENT, "%s %d is longer than the model's context of %d", wanted->length_key, wanted->length, model_shape(source->model)->context);
    int32_t *ids = xmalloc(sizeof *ids * (size_t)wanted->windows * (size_t)wanted->length);
    if (!source->quiet) fprintf(stderr, "sampling %d windows of %d tokens from the model\n", wanted->windows, wanted->length);
    int status = sample_text(ids, source->model, source->kernels, source->memory, 0, wanted->windows, wanted->length,
                             wanted->seed, wanted->otherwise);
    if (status == OK) status = write_ids(path, ids, wanted->windows, wanted->length);
    free(ids);
    return status;
}

/* The windows of the file, which must be those that were asked for. */
static int read_sample(Corpus *out, const char *path, const Corpus *kept, const Sample *wanted)
{
    const int windows = wanted->windows, length = wanted->length;
    bool whole = kept->n_segments == windows;
    for (int w = 0; w < windows && whole; w++) whole = kept->segment[w].length == length - 1;
    if (!whole) FAIL(ERR_FORMAT, "%s does not hold %d windows of %d tokens; remove it and it is sampled again", path, windows, length);
    int32_t *all = xmalloc(sizeof *all * (size_t)windows * (size_t)length);
    for (int w = 0; w < windows; w++) {
        memcpy(all + (int64_t)w * length, kept->segment[w].inputs, sizeof *all * (size_t)(length - 1));
        all[(int64_t)(w + 1) * length - 1] = kept->segment[w].targets[length - 2];
    }
    int status = corpus_from_ids(out, all, windows, length, "sampled", -1);
    free(all);
    return status;
}

static int sampled_corpus(Corpus *out, const TextSource *source, Sample wanted)
{
    const ModelShape *shape = model_shape(source->model);
    char *path = sample_path(source, &wanted);
    if (!path) return ERR_FILE;
    const bool there = access(path, R_OK) == 0;
    int status = OK;
    Corpus kept = { 0 };
    CorpusOptions ids = { .context = wanted.length, .model_context = shape->context, .vocabulary = shape->vocabulary };
    if (!there && source->dry) {                /* the price does not depend on the words: any ids will do */
        status = corpus_random(out, wanted.windows, wanted.length, shape->vocabulary, 1);
        if (status == OK) strcpy(out->protocol, "sampled");
    } else {
        if (!there) status = sample(path, source, &wanted);
        if (status == OK) status = corpus_open(&kept, path, NULL, &ids);
        if (status == OK) status = read_sample(out, path, &kept, &wanted);
    }
    corpus_free(&kept);
    free(path);
    return status;
}

static uint64_t seed_of(const Options *options, const char *name) { return (uint64_t)options_integer(options, name); }

int run_corpus(Corpus *out, const TextSource *source)
{
    const Options *o = source->options;
    if (options_is_set(o, "text.file")) return open_corpus(out, options_text(o, "text.file"), source->model, o, "text.");
    if (options_is_set(o, "text.sample.windows"))
        return sampled_corpus(out, source, (Sample){ integer(o, "text.sample.windows"), integer(o, "text.sample.length"), seed_of(o, "text.sample.seed"),
                                                     "text.sample.length", "text.random does without" });
    return corpus_random(out, integer(o, "text.random.windows"), integer(o, "text.random.length"), model_shape(source->model)->vocabulary, seed_of(o, "text.random.seed"));
}

static bool is_read(const Options *options)
{
    const Experiment *e = NULL;
    for (int i = 0; i < options_count(options, "experiment"); i++)
        if (experiment_find(&e, options_text_at(options, "experiment", i)) == OK && e->other_text) return true;
    return false;
}

int run_coefficient_corpus(Corpus *out, const TextSource *source)
{
    const Options *o = source->options;
    const char *from = options_text(o, "coefficients.from");
    if (strcmp(from, "text") && !is_read(o)) FAIL(ERR_ARGUMENT, "coefficients.from: only the experiments dynamic, lsaq and tacq read another text; leave it out");
    const Sample wanted = { integer(o, "coefficients.windows"), integer(o, "coefficients.context"), seed_of(o, "coefficients.seed"),
                            "coefficients.context", "coefficients.from: random does without" };
    if (!strcmp(from, "sample")) return sampled_corpus(out, source, wanted);
    if (!strcmp(from, "random")) return corpus_random(out, wanted.windows, wanted.length, model_shape(source->model)->vocabulary, wanted.seed);
    if (!strcmp(from, "text")) {
        if (!options_is_given(o, "coefficients.file")) return OK;
        FAIL(ERR_ARGUMENT, "coefficients.file is given, but coefficients.from is 'text', the text that is measured on; set it to 'file'");
    }
    if (!options_is_set(o, "coefficients.file")) FAIL(ERR_ARGUMENT, "coefficients.from is 'file', and coefficients.file does not say which");
    return open_corpus(out, options_text(o, "coefficients.file"), source->model, o, "coefficients.");
}

int run_layers(int **out, int *n, const Model *model, const Options *options)
{
    int all = model_layer_count(model), k = options_count(options, "layers");
    const char **names = xmalloc(sizeof *names * (size_t)all), **patterns = xmalloc(sizeof *patterns * (size_t)k);
    bool *selected = xcalloc((size_t)all, sizeof *selected);
    for (int l = 0; l < all; l++) names[l] = model_layer(model, l)->name;
    for (int i = 0; i < k; i++) patterns[i] = options_text_at(options, "layers", i);
    int status = glob_select(selected, patterns, k, names, all, "layers: no layer");
    int *layer = xmalloc(sizeof *layer * (size_t)all);
    *n = 0;
    for (int l = 0; l < all && status >= 0; l++)
        if (selected[l]) layer[(*n)++] = l;
    free(names);
    free(patterns);
    free(selected);
    if (status < 0) free(layer);
    else *out = layer;
    return status < 0 ? status : OK;
}
