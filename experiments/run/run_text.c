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

/* The file that keeps the sample: its name follows from all that decides it. */
static char *sample_path(const Model *model, const Options *options, const char *folder)
{
    char hash[HASH_TEXT], digest[HASH_TEXT];
    if (model_hash(hash, model) != OK) return NULL;
    char *spec = xformat("sample 1 model %s windows %d length %d seed %lld", hash, integer(options, "text.sample.windows"),
                         integer(options, "text.sample.length"), (long long)options_integer(options, "text.sample.seed"));
    hash_bytes(digest, spec, strlen(spec));
    free(spec);
    return xformat("%s/sampled-%.12s.ids", folder, digest);
}

bool corpus_to_sample(const Model *model, const Options *options, const char *folder)
{
    if (!options_is_set(options, "text.sample.windows")) return false;
    char *path = sample_path(model, options, folder);
    bool there = path && access(path, R_OK) == 0;
    free(path);
    return !there;
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

static int sample(const char *path, const Model *model, const Options *options, const Kernels *kernels)
{
    int windows = integer(options, "text.sample.windows"), length = integer(options, "text.sample.length");
    if (length > model_shape(model)->context)
        FAIL(ERR_ARGUMENT, "text.sample.length %d is longer than the model's context of %d", length, model_shape(model)->context);
    int32_t *ids = xmalloc(sizeof *ids * (size_t)windows * (size_t)length);
    int status = sample_text(ids, model, kernels, options_integer(options, "memory"), 0, windows, length,
                             (uint64_t)options_integer(options, "text.sample.seed"), "text.random does without");
    if (status == OK) status = write_ids(path, ids, windows, length);
    free(ids);
    return status;
}

static int sampled_corpus(Corpus *out, const Model *model, const Options *options, const Kernels *kernels, const char *folder, bool quiet)
{
    char *path = sample_path(model, options, folder);
    if (!path) return ERR_FILE;
    int status = OK;
    if (access(path, R_OK) != 0) {
        if (!quiet) fprintf(stderr, "sampling %d windows of %d tokens from the model\n", integer(options, "text.sample.windows"), integer(options, "text.sample.length"));
        status = sample(path, model, options, kernels);
    }
    Corpus kept = { 0 };
    CorpusOptions ids = { .context = integer(options, "text.sample.length"), .model_context = model_shape(model)->context, .vocabulary = model_shape(model)->vocabulary };
    if (status == OK) status = corpus_open(&kept, path, NULL, &ids);
    if (status == OK) {
        int windows = integer(options, "text.sample.windows"), length = integer(options, "text.sample.length");
        int32_t *all = xmalloc(sizeof *all * (size_t)windows * (size_t)length);
        bool whole = kept.n_segments == windows;
        for (int w = 0; w < windows && whole; w++) {
            whole = kept.segment[w].length == length - 1;
            if (!whole) break;
            memcpy(all + (int64_t)w * length, kept.segment[w].inputs, sizeof *all * (size_t)(length - 1));
            all[(int64_t)(w + 1) * length - 1] = kept.segment[w].targets[length - 2];
        }
        if (whole) status = corpus_from_ids(out, all, windows, length, "sampled", -1);
        else status = err_set(ERR_FORMAT, "%s does not hold %d windows of %d tokens; remove it and it is sampled again", path, windows, length);
        free(all);
    }
    corpus_free(&kept);
    free(path);
    return status;
}

int run_corpus(Corpus *out, const Model *model, const Options *options, const Kernels *kernels, const char *folder, bool quiet)
{
    if (options_is_set(options, "text.file")) return open_corpus(out, options_text(options, "text.file"), model, options, "text.");
    if (options_is_set(options, "text.sample.windows")) return sampled_corpus(out, model, options, kernels, folder, quiet);
    return corpus_random(out, integer(options, "text.random.windows"), integer(options, "text.random.length"), model_shape(model)->vocabulary,
                         (uint64_t)options_integer(options, "text.random.seed"));
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
