#include "core/text/corpus.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/text/corpus_gptq.h"
#include "core/text/corpus_job.h"

enum { DEFAULT_CONTEXT = 512, GPTQ_WINDOWS = 256 };

struct Protocol {
    const char *name;
    int shortest;                   /* context that leaves something to score */
    int (*cut)(Cut *cut, const Job *job);
    bool task;                      /* reads questions with choices; windows are as long as they are, and counted in items */
};

int corpus_encode(Ids *ids, const Job *job, const char *text, size_t n, bool with_bos, bool parse_special)
{
    int64_t first = ids->n;
    if (with_bos) ids_push(ids, job->bos_id);
    int status = tokenizer_encode(ids, job->tokenizer, text, n, parse_special);
    if (status != OK) return err_context(status, "%s", job->path);
    for (int64_t i = first; i < ids->n; i++)
        if (job->vocabulary > 0 && ids->id[i] >= job->vocabulary)
            FAIL(ERR_FORMAT, "%s: the tokenizer gives token id %d, but the model's vocabulary has %d; is the tokenizer another model's?",
                 job->path, (int)ids->id[i], job->vocabulary);
    return OK;
}

/* The text in one piece: the file, or its JSON documents with an empty line between them. */
static int read_whole(Text *out, const Job *job)
{
    if (job->kind != TEXT_JSONL) return text_read(out, job->path);
    Documents documents;
    TRY(documents_read_jsonl(&documents, job->path));
    documents_join(out, &documents, "\n\n");
    documents_free(&documents);
    return OK;
}

/* How many windows the ids fill, at most as many as were asked for. */
static int count_windows(int *out, const Job *job, int64_t n_ids)
{
    int64_t windows = n_ids / job->context;
    if (windows == 0)
        FAIL(ERR_FORMAT, "%s: %lld tokens do not fill one context of %d; give a longer text or a smaller context",
             job->path, (long long)n_ids, job->context);
    if (job->windows > 0 && windows > job->windows) windows = job->windows;
    *out = (int)windows;
    return OK;
}

static int cut_hf(Cut *cut, const Job *job)
{
    Text text;
    TRY(read_whole(&text, job));
    Ids ids = { 0 };
    int windows = 0, status = corpus_encode(&ids, job, text.bytes, text.n, job->bos, true);
    if (status == OK) status = count_windows(&windows, job, ids.n);
    if (status == OK) cut_windows(cut, ids.id, windows, job->context);
    ids_free(&ids);
    text_free(&text);
    return status;
}

static int cut_llama_cpp(Cut *cut, const Job *job)
{
    Text text;
    TRY(read_whole(&text, job));
    size_t n = text.n;
    if (job->kind == TEXT_PLAIN && n && text.bytes[n - 1] == '\n') n--;
    Ids ids = { 0 };
    int windows = 0, status = corpus_encode(&ids, job, text.bytes, n, false, false);
    if (status == OK) status = count_windows(&windows, job, ids.n);
    if (status == OK) cut_half_windows(cut, ids.id, windows, job->context, job->bos ? job->bos_id : -1);
    ids_free(&ids);
    text_free(&text);
    return status;
}

static int read_documents(Documents *out, const Job *job)
{
    if (job->kind == TEXT_JSONL) {
        TRY(documents_read_jsonl(out, job->path));
    } else {
        Text text;
        TRY(text_read(&text, job->path));
        documents_split(out, &text, job->separator);
    }
    documents_strip(out);
    return OK;
}

/* A document of a single id predicts nothing; it goes the way of the empty ones. */
static int encode_documents(IdLists *lists, const Job *job, const Documents *documents)
{
    for (int i = 0; i < documents->n && !(job->windows > 0 && lists->n == job->windows); i++) {
        Span span = documents->span[i];
        int64_t first = lists->ids.n;
        TRY(corpus_encode(&lists->ids, job, documents->text.bytes + span.start, span.n, job->bos, true));
        if (lists->ids.n - first >= 2) id_lists_end(lists);
        else lists->ids.n = first;
    }
    if (lists->n == 0) FAIL(ERR_FORMAT, "%s: no document has two tokens, so there is nothing to predict", job->path);
    return OK;
}

/* The lines of an .ids file, BOS put in front of each where the user asked for it. */
static int read_id_lines(IdLists *out, const Job *job)
{
    if (!job->bos) return id_lists_read(out, job->path, job->vocabulary, 2, job->windows);
    IdLists lines;
    TRY(id_lists_read(&lines, job->path, job->vocabulary, 1, job->windows));
    for (int i = 0; i < lines.n; i++) {
        ids_push(&out->ids, job->bos_id);
        for (int64_t t = lines.start[i]; t < lines.start[i + 1]; t++) ids_push(&out->ids, lines.ids.id[t]);
        id_lists_end(out);
    }
    id_lists_free(&lines);
    return OK;
}

static int cut_documents(Cut *cut, const Job *job)
{
    IdLists lists = { 0 };
    int status;
    if (job->kind == TEXT_IDS) {
        status = read_id_lines(&lists, job);
    } else {
        Documents documents = { 0 };
        status = read_documents(&documents, job);
        if (status == OK) status = encode_documents(&lists, job, &documents);
        documents_free(&documents);
    }
    for (int i = 0; i < lists.n && status == OK; i++)
        cut_document(cut, i, lists.ids.id + lists.start[i], lists.start[i + 1] - lists.start[i], job->context);
    id_lists_free(&lists);
    return status;
}

/* Documents whose ids are made when first asked for, and kept: most are never drawn. */
typedef struct { const Job *job; Documents documents; Ids *ids; bool *known; } LazyDocuments;

static int lazy_length(int64_t *out, void *data, int i)
{
    LazyDocuments *lazy = data;
    Span span = lazy->documents.span[i];
    if (!lazy->known[i])
        TRY(corpus_encode(&lazy->ids[i], lazy->job, lazy->documents.text.bytes + span.start, span.n, lazy->job->bos, true));
    lazy->known[i] = true;
    *out = lazy->ids[i].n;
    return OK;
}

static int cut_gptq(Cut *cut, const Job *job)
{
    if (job->kind != TEXT_JSONL)
        FAIL(ERR_ARGUMENT, "%s: protocol gptq draws documents; give a .jsonl or .jsonl.gz file, one document a line", job->path);
    LazyDocuments lazy = { .job = job };
    TRY(documents_read_jsonl(&lazy.documents, job->path));
    int n = lazy.documents.n, windows = job->windows > 0 ? job->windows : GPTQ_WINDOWS + job->skip;
    lazy.ids = xcalloc((size_t)n, sizeof *lazy.ids);
    lazy.known = xcalloc((size_t)n, sizeof *lazy.known);
    Draw *draw = xmalloc((size_t)windows * sizeof *draw);
    int status = gptq_draw(draw, windows, n, job->context, job->seed, lazy_length, &lazy, job->path);
    for (int w = 0; w < windows && status == OK; w++)
        cut_segment(cut, w, lazy.ids[draw[w].document].id + draw[w].start, job->context, 1);
    free(draw);
    for (int i = 0; i < n; i++) ids_free(&lazy.ids[i]);
    free(lazy.known);
    free(lazy.ids);
    documents_free(&lazy.documents);
    return status;
}

static const Protocol PROTOCOLS[] = {
    { "hf", 2, cut_hf, false }, { "llama.cpp", 3, cut_llama_cpp, false }, { "documents", 1, cut_documents, false }, { "gptq", 2, cut_gptq, false },
    { "choices", 1, cut_choices, true }, { "answers", 1, cut_answers, true },
};
enum { N_PROTOCOLS = sizeof PROTOCOLS / sizeof *PROTOCOLS };

static int choose_protocol(Job *job, const char *name)
{
    if (!name) name = job->kind == TEXT_IDS ? "documents" : "hf";
    const char *names[N_PROTOCOLS];
    for (int i = 0; i < N_PROTOCOLS; i++) {
        names[i] = PROTOCOLS[i].name;
        if (strcmp(name, names[i]) == 0) job->protocol = &PROTOCOLS[i];
    }
    const char *near = err_nearest(name, names, N_PROTOCOLS);
    if (!job->protocol && near) FAIL(ERR_ARGUMENT, "unknown protocol '%s'; did you mean '%s'?", name, near);
    if (!job->protocol) FAIL(ERR_ARGUMENT, "unknown protocol '%s'; there are hf, llama.cpp, documents, gptq, choices and answers", name);
    if (job->kind == TEXT_IDS && job->protocol->cut != cut_documents)
        FAIL(ERR_ARGUMENT, "%s: protocol %s needs text; the lines of an .ids file are windows already (protocol documents)", job->path, name);
    return OK;
}

static int choose_context(Job *job, int context, int limit)
{
    if (context == 0) context = limit > 0 && (job->protocol->task || limit < DEFAULT_CONTEXT) ? limit : DEFAULT_CONTEXT;
    if (limit > 0 && context > limit) FAIL(ERR_ARGUMENT, "context %d is longer than the model's %d", context, limit);
    if (context < job->protocol->shortest)
        FAIL(ERR_ARGUMENT, "context %d leaves nothing to score; protocol %s needs at least %d", context, job->protocol->name, job->protocol->shortest);
    job->context = context;
    return OK;
}

/* Ids come with their BOS or without: auto leaves them alone. */
static int choose_bos(Job *job, BosRule rule)
{
    job->bos_id = job->tokenizer ? tokenizer_bos(job->tokenizer) : -1;
    job->bos = rule == BOS_YES || (rule == BOS_AUTO && job->kind != TEXT_IDS && tokenizer_adds_bos(job->tokenizer));
    if (job->bos && job->bos_id < 0)
        FAIL(ERR_ARGUMENT, "%s: BOS is asked for, but %s; set bos to no or auto", job->path,
             job->tokenizer ? "the tokenizer has none" : "without a tokenizer it is not known");
    return OK;
}

static int plan(Job *job, const char *path, const Tokenizer *tokenizer, const CorpusOptions *options)
{
    *job = (Job){ .path = path, .kind = text_kind(path), .tokenizer = tokenizer, .vocabulary = options->vocabulary,
                  .windows = options->windows > 0 ? options->windows + options->skip : 0, .skip = options->skip, .seed = options->seed,
                  .separator = options->separator ? options->separator : "<|endoftext|>" };
    if (options->windows < 0) FAIL(ERR_ARGUMENT, "%d windows; give a positive number, or 0 for all", options->windows);
    if (options->skip < 0 || options->windows > INT_MAX - options->skip) FAIL(ERR_ARGUMENT, "skip %d; give 0 or a positive number", options->skip);
    if (!*job->separator) FAIL(ERR_ARGUMENT, "the separator of documents is empty");
    if (job->kind != TEXT_IDS && !tokenizer)
        FAIL(ERR_ARGUMENT, "%s: the model has no tokenizer to read text with; give token ids in an .ids file", path);
    TRY(choose_protocol(job, options->protocol));
    TRY(choose_context(job, options->context, options->model_context));
    return choose_bos(job, options->bos);
}

static int skip_windows(Cut *cut, const Job *job)
{
    const int n = cut->segment[cut->n_segments - 1].window + 1;
    if (n <= job->skip) FAIL(ERR_ARGUMENT, "%s: there are %d windows, and the first %d of them are to be skipped", job->path, n, job->skip);
    if (job->skip > 0) cut_drop(cut, job->skip);
    return OK;
}

int corpus_open(Corpus *out, const char *path, const Tokenizer *tokenizer, const CorpusOptions *options)
{
    Job job;
    TRY(plan(&job, path, tokenizer, options));
    Cut cut = { 0 };
    int status = job.protocol->cut(&cut, &job);
    if (status == OK && !job.protocol->task) status = skip_windows(&cut, &job);
    if (status == OK) cut_finish(out, &cut, job.protocol->name, job.context, job.bos, job.bos_id);
    cut_free(&cut);
    return status;
}

int corpus_from_ids(Corpus *out, const int32_t *ids, int windows, int length, const char *protocol, int32_t bos_id)
{
    assert(strlen(protocol) < sizeof out->protocol);
    if (windows < 1 || length < 2) FAIL(ERR_ARGUMENT, "%d windows of %d tokens; at least 1 of 2 is needed to predict anything", windows, length);
    Cut cut = { 0 };
    cut_windows(&cut, ids, windows, length);
    cut_finish(out, &cut, protocol, length, false, bos_id);
    return OK;
}

int corpus_random(Corpus *out, int windows, int length, int below, uint64_t seed)
{
    if (below < 1) FAIL(ERR_ARGUMENT, "random ids below %d: there are none", below);
    if (windows < 1 || length < 2) return corpus_from_ids(out, NULL, windows, length, "random", -1);
    int64_t n = (int64_t)windows * length;
    int32_t *ids = xmalloc((size_t)n * sizeof *ids);
    uint64_t stream = rng_stream(RNG_TEXT, 0, 0, 0);
    for (int64_t i = 0; i < n; i++)                         /* off uniform by at most below / 2^32 */
        ids[i] = (int32_t)(((uint64_t)rng_integer(seed, stream, (uint64_t)i) * (uint32_t)below) >> 32);
    int status = corpus_from_ids(out, ids, windows, length, "random", -1);
    free(ids);
    return status;
}

void corpus_free(Corpus *corpus)
{
    if (!corpus) return;
    free(corpus->segment);
    free(corpus->tokens);
    free(corpus->storage);
    corpus_task_free(corpus->task);
    *corpus = (Corpus){ 0 };
}
