/*
 * corpus_task.c - questions with choices as windows: protocols choices and answers
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/corpus_job.h"
#include "core/text/python_text.h"
#include "core/text/task_file.h"

/* A choice as ids: those from `scored` on are its own. */
typedef struct { Ids ids; int scored; } Encoded;

/* The tokens of the context, then those of context and choice together beyond that number, as lm-evaluation-harness has it: white space
 * at the end of a context counts with the choice, and a context without tokens is BOS, or EOS where there is none. */
static int encode_choice(Encoded *out, const Job *job, const TaskItem *item, int c)
{
    const TaskChoice *choice = &item->choice[c];
    const size_t n = strlen(choice->context) - python_white_end(choice->context);
    char *text = xformat("%s%s", choice->context, choice->text);
    Ids whole = { 0 };
    int status = corpus_encode(&out->ids, job, text, n, job->bos, true);
    if (status == OK) status = corpus_encode(&whole, job, text, strlen(text), job->bos, true);
    const int64_t before = out->ids.n;
    if (status == OK && whole.n <= before)
        status = err_set(ERR_FORMAT, "%s:%d: choice %d adds no token to its context, so there is nothing to score", job->path, item->line, c + 1);
    if (status == OK && before == 0) {
        const int32_t first = job->bos_id >= 0 ? job->bos_id : tokenizer_eos(job->tokenizer);
        if (first < 0) status = err_set(ERR_ARGUMENT, "%s:%d: the context is empty, and the tokenizer has no BOS or EOS token to stand for it", job->path, item->line);
        ids_push(&out->ids, first);
    }
    out->scored = (int)out->ids.n;
    for (int64_t i = before; i < whole.n; i++) ids_push(&out->ids, whole.id[i]);
    ids_free(&whole);
    free(text);
    return status;
}

/* As one window that fits the context: what is too long loses its beginning.  whole: every token is scored, and not the choice's alone. */
static int cut_choice(Cut *cut, const Job *job, const TaskItem *item, int c, bool whole, int window)
{
    Encoded e = { 0 };
    int status = encode_choice(&e, job, item, c);
    const int64_t over = e.ids.n - 1 > job->context ? e.ids.n - 1 - job->context : 0;
    if (status == OK && !whole && e.scored <= over)
        status = err_set(ERR_ARGUMENT, "%s:%d: choice %d alone has %lld tokens, more than the context of %d", job->path, item->line, c + 1, (long long)(e.ids.n - e.scored), job->context);
    if (status == OK) {
        cut_segment(cut, window, e.ids.id + over, (int)(e.ids.n - over), whole ? 1 : e.scored - (int)over);
        cut->shortened += over > 0;
    }
    ids_free(&e.ids);
    return status;
}

static int read_items(TaskItems *out, const Job *job)
{
    TRY(task_file_read(out, job->path, job->windows));
    if (out->n > job->skip) return OK;
    const int n = out->n;
    task_items_free(out);
    FAIL(ERR_ARGUMENT, "%s: there are %d items, and the first %d of them are to be skipped", job->path, n, job->skip);
}

static void task_init(CorpusTask *task, const TaskItems *items, int skip)
{
    int windows = 0;
    task->format = items->format;
    task->n_items = items->n - skip;
    task->first = xmalloc(sizeof *task->first * (size_t)(task->n_items + 1));
    task->label = xmalloc(sizeof *task->label * (size_t)task->n_items);
    for (int i = 0; i < task->n_items; i++) {
        task->first[i] = windows;
        task->label[i] = items->item[skip + i].label;
        windows += items->item[skip + i].n;
    }
    task->first[task->n_items] = windows;
    task->length = xmalloc(sizeof *task->length * (size_t)windows);
    for (int i = 0; i < task->n_items; i++)
        for (int c = 0; c < items->item[skip + i].n; c++) task->length[task->first[i] + c] = items->item[skip + i].choice[c].length;
}

int cut_choices(Cut *cut, const Job *job)
{
    TaskItems items;
    TRY(read_items(&items, job));
    int status = OK;
    cut->task = xcalloc(1, sizeof *cut->task);
    task_init(cut->task, &items, job->skip);
    for (int i = 0; i < cut->task->n_items && status == OK; i++) {
        const TaskItem *item = &items.item[job->skip + i];
        if (item->n < 2)
            status = err_set(ERR_FORMAT, "%s:%d: %d answer%s of %s and nothing to choose from; take it as text with protocol answers", job->path, item->line, item->n,
                             item->n == 1 ? "" : "s", items.format);
        for (int c = 0; c < item->n && status == OK; c++) status = cut_choice(cut, job, item, c, false, cut->task->first[i] + c);
    }
    task_items_free(&items);
    return status;
}

int cut_answers(Cut *cut, const Job *job)
{
    TaskItems items;
    TRY(read_items(&items, job));
    int status = OK;
    for (int i = job->skip; i < items.n && status == OK; i++) status = cut_choice(cut, job, &items.item[i], items.item[i].label, true, i - job->skip);
    task_items_free(&items);
    return status;
}
