#include "core/text/task_file.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/json_lines.h"
#include "core/text/task_csv.h"
#include "core/text/task_formats.h"

/* A file of JSON lines being read. */
typedef struct {
    TaskItems *items;
    const TaskFormat *format;       /* of the first line; NULL before it */
    const char *path;
    int most;
    IdLists labels;                 /* of the file beside it, one a line; n = 0: none */
} Reader;

/* PIQA's own release keeps its labels in another file: of train.jsonl they are in train-labels.lst. */
static int read_labels(Reader *reader)
{
    const char *dot = strstr(reader->path, ".jsonl");
    if (!dot) return OK;
    char *path = xformat("%.*s-labels.lst", (int)(dot - reader->path), reader->path);
    FILE *file = fopen(path, "rb");
    int status = file ? id_lists_read(&reader->labels, path, 0, 1, 0) : OK;
    if (file) fclose(file);
    free(path);
    return status;
}

static int add_label(Reader *reader, json_t *line, Place place)
{
    if (reader->items->n == 0) TRY(read_labels(reader));
    if (reader->labels.n == 0) return OK;
    if (reader->items->n >= reader->labels.n)
        FAIL(ERR_FORMAT, "%s:%d: the file of labels beside it has only %d", place.path, place.line, reader->labels.n);
    json_object_set_new(line, "label", json_integer(reader->labels.ids.id[reader->labels.start[reader->items->n]]));
    return OK;
}

/* Of all questions: more labels than these are those of another file. */
static int check_labels(const Reader *reader)
{
    const int n = reader->items->n;
    if (reader->labels.n > n && !(reader->most > 0 && n == reader->most))
        FAIL(ERR_FORMAT, "%s: %d questions, and the file of labels beside it has %d: it belongs to another", reader->path, n, reader->labels.n);
    return OK;
}

static int same_format(const Reader *reader, const json_t *line, Place place)
{
    for (int i = 0; reader->format->field[i]; i++)
        if (!json_object_get(line, reader->format->field[i]))
            FAIL(ERR_FORMAT, "%s:%d: \"%s\" is missing, which the lines of %s have", place.path, place.line, reader->format->field[i], reader->format->name);
    return OK;
}

static int read_line(void *context, json_t *line, Span span, int number)
{
    (void)span;
    Reader *reader = context;
    TaskItems *items = reader->items;
    const Place place = { reader->path, number };
    if (reader->most > 0 && items->n == reader->most) return OK;
    if (json_object_get(line, "goal") && !json_object_get(line, "label")) TRY(add_label(reader, line, place));
    if (!reader->format) TRY(task_format_find(&reader->format, line, place));
    TRY(same_format(reader, line, place));
    TaskItem item = { .line = number };
    int status = reader->format->read(&item, line, place);
    if (status != OK) {
        task_item_free(&item);
        return status;
    }
    items->item = xrealloc(items->item, (size_t)(items->n + 1) * sizeof *items->item);
    items->item[items->n++] = item;
    items->format = reader->format->name;
    return OK;
}

static bool is_csv(const char *path)
{
    size_t n = strlen(path);
    if (n > 3 && !strcmp(path + n - 3, ".gz")) n -= 3;
    return n > 4 && !strncmp(path + n - 4, ".csv", 4);
}

int task_file_read(TaskItems *out, const char *path, int most)
{
    Text text;
    TRY(text_read(&text, path));
    TaskItems items = { .format = "MMLU" };
    Reader reader = { .items = &items, .path = path, .most = most };
    int status;
    if (is_csv(path)) status = task_csv_read(&items, &text, path, most);
    else if (text_kind(path) == TEXT_JSONL) status = json_lines(&text, path, false, read_line, &reader);
    else status = err_set(ERR_FORMAT, "%s: questions with choices are .jsonl, one a line, or .csv (question,A,B,C,D,answer)", path);
    if (status == OK) status = check_labels(&reader);
    id_lists_free(&reader.labels);
    text_free(&text);
    if (status == OK) *out = items;
    else task_items_free(&items);
    return status;
}

void task_items_free(TaskItems *items)
{
    if (!items) return;
    for (int i = 0; i < items->n; i++) task_item_free(&items->item[i]);
    free(items->item);
    *items = (TaskItems){ 0 };
}
