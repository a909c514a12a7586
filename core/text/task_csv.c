#include "core/text/task_csv.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/text/python_text.h"
#include "core/text/task_formats.h"

enum { FIELDS = 6 };                /* question, four choices, answer */

/* A text being read, and the fields of its current record: as many as there are, the first FIELDS kept. */
typedef struct {
    const char *at, *end;
    int line;
    int n;
    char *field[FIELDS];
} Records;

static void drop_fields(Records *r)
{
    for (int i = 0; i < FIELDS; i++) free(r->field[i]), r->field[i] = NULL;
    r->n = 0;
}

static bool at_line_end(const Records *r) { return r->at == r->end || *r->at == '\n' || *r->at == '\r'; }

/* Inside quotes everything counts but a quote, and "" is one; what follows the closing quote belongs to the field as it is. */
static int read_field(Records *r, Place place)
{
    char *field = xmalloc((size_t)(r->end - r->at) + 1), *to = field;
    bool quoted = r->at < r->end && *r->at == '"';
    if (quoted) r->at++;
    while (r->at < r->end && (quoted || (*r->at != ',' && !at_line_end(r)))) {
        const char c = *r->at++;
        if (quoted && c == '"' && !(r->at < r->end && *r->at == '"')) {
            quoted = false;
            continue;
        }
        if (quoted && c == '"') r->at++;
        r->line += c == '\n';
        *to++ = c;
    }
    *to = 0;
    const bool whole = !quoted && !memchr(field, 0, (size_t)(to - field));
    if (whole && r->n < FIELDS) r->field[r->n++] = xrealloc(field, (size_t)(to - field) + 1);
    else free(field), r->n++;
    if (quoted) FAIL(ERR_FORMAT, "%s:%d: a quote is opened in this record and never closed", place.path, place.line);
    if (!whole && r->n <= FIELDS) FAIL(ERR_FORMAT, "%s:%d: a zero byte; this is no text", place.path, place.line);
    return OK;
}

static void skip_line_end(Records *r)
{
    if (r->at < r->end && *r->at == '\r') r->at++;
    if (r->at < r->end && *r->at == '\n') r->at++;
    r->line++;
}

static int read_record(Records *r, Place place)
{
    drop_fields(r);
    for (;;) {
        TRY(read_field(r, place));
        if (at_line_end(r)) break;
        r->at++;                                            /* the comma */
    }
    skip_line_end(r);
    return OK;
}

static int record_item(TaskItem *item, const Records *r, const char *subject, Place place)
{
    if (r->n != FIELDS)
        FAIL(ERR_FORMAT, "%s:%d: %d field%s; each record must be question,A,B,C,D,answer", place.path, place.line, r->n, r->n == 1 ? "" : "s");
    const char *answer = r->field[FIELDS - 1] + python_white_start(r->field[FIELDS - 1]);
    const char *letter = *answer ? strchr("ABCD", *answer) : NULL;
    if (!letter || answer[1 + python_white_start(answer + 1)])
        FAIL(ERR_FORMAT, "%s:%d: the answer is '%.20s' and not A, B, C or D%s", place.path, place.line, answer, place.line == 1 ? "; MMLU's files have no header line" : "");
    task_item_letters(item, subject, r->field[0], (const char *const *)&r->field[1]);
    return task_item_label(item, letter - "ABCD", place);
}

/* "abstract algebra" of DIR/abstract_algebra_test.csv, NULL where the file is not called so.  The caller frees. */
static char *subject_of(const char *path)
{
    static const char *const endings[] = { "_test.csv", "_val.csv", "_dev.csv", "_test.csv.gz", "_val.csv.gz", "_dev.csv.gz" };
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t n = strlen(name), end = strlen(endings[i]);
        if (n <= end || strcmp(name + n - end, endings[i])) continue;
        char *bare = xformat("%.*s", (int)(n - end), name), *words = python_replace(bare, "_", " ");
        free(bare);
        return words;
    }
    return NULL;
}

static void push_item(TaskItems *items, TaskItem item)
{
    items->item = xrealloc(items->item, (size_t)(items->n + 1) * sizeof *items->item);
    items->item[items->n++] = item;
}

int task_csv_read(TaskItems *items, const Text *text, const char *path, int most)
{
    Records r = { .at = text->bytes + text_mark(text), .end = text->bytes + text->n, .line = 1 };
    char *subject = subject_of(path);
    int status = OK;
    while (status == OK && r.at < r.end && !(most > 0 && items->n == most)) {
        if (at_line_end(&r)) {
            skip_line_end(&r);
            continue;
        }
        const Place place = { path, r.line };
        TaskItem item = { .line = r.line };
        status = read_record(&r, place);
        if (status == OK) status = record_item(&item, &r, subject, place);
        if (status == OK) push_item(items, item);
        else task_item_free(&item);
    }
    drop_fields(&r);
    free(subject);
    return status;
}
