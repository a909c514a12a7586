#include "core/text/text_file.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#include "core/base/err.h"
#include "core/text/json_lines.h"

enum { LARGEST = INT32_MAX };       /* bytes of text, or token ids: 2 GiB */
static const char WHITE[] = " \t\n\v\f\r";

static bool is_white(char c) { return c && strchr(WHITE, c); }

static bool ends_with(const char *s, size_t n, const char *end)
{
    size_t length = strlen(end);
    return n >= length && strncasecmp(s + n - length, end, length) == 0;
}

TextKind text_kind(const char *path)
{
    size_t n = strlen(path);
    if (ends_with(path, n, ".gz")) n -= 3;
    if (ends_with(path, n, ".ids")) return TEXT_IDS;
    if (ends_with(path, n, ".jsonl") || ends_with(path, n, ".ndjson") || ends_with(path, n, ".json")) return TEXT_JSONL;
    return TEXT_PLAIN;
}

static int file_open(gzFile *out, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) FAIL(ERR_FILE, "%s: is a directory; give a text, .jsonl or .ids file", path);
    errno = 0;
    gzFile file = gzopen(path, "rb");
    if (!file) FAIL(ERR_FILE, "%s: %s", path, errno ? strerror(errno) : "cannot be opened");
    gzbuffer(file, 1 << 17);
    *out = file;
    return OK;
}

/* To be asked at the end of the file: zlib reports a stream that breaks off only here. */
static int file_check(gzFile file, const char *path)
{
    int code;
    gzerror(file, &code);
    if (code == Z_OK || code == Z_STREAM_END) return OK;
    if (code == Z_BUF_ERROR) FAIL(ERR_FORMAT, "%s: the gzip stream breaks off before its end; fetch the file again", path);
    if (code == Z_ERRNO) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    FAIL(ERR_FORMAT, "%s: damaged gzip stream; fetch the file again", path);
}

static int read_bytes(Text *out, gzFile file, const char *path)
{
    size_t capacity = 1 << 16;
    int got;
    out->bytes = xmalloc(capacity);
    while ((got = gzread(file, out->bytes + out->n, (unsigned)(capacity - out->n))) > 0) {
        out->n += (size_t)got;
        if (out->n >= LARGEST) FAIL(ERR_UNSUPPORTED, "%s: 2 GiB of text or more; give a part of it", path);
        if (out->n == capacity) out->bytes = xrealloc(out->bytes, capacity *= 2);
    }
    return file_check(file, path);
}

static int text_check(const Text *text, const char *path)
{
    for (size_t i = 0; i < text->n; i++)
        if (!is_white(text->bytes[i])) return OK;
    FAIL(ERR_FORMAT, "%s: %s", path, text->n ? "holds nothing but white space" : "is empty");
}

int text_read(Text *out, const char *path)
{
    gzFile file;
    TRY(file_open(&file, path));
    Text text = { 0 };
    int status = read_bytes(&text, file, path);
    if (status == OK) status = text_check(&text, path);
    gzclose(file);
    if (status == OK) *out = text;
    else text_free(&text);
    return status;
}

static void push_span(Documents *documents, size_t start, size_t n)
{
    int count = documents->n++;
    if ((count & (count - 1)) == 0)                         /* full at 0, 1, 2, 4, 8 ... */
        documents->span = xrealloc(documents->span, (count ? 2 * (size_t)count : 1) * sizeof(Span));
    documents->span[count] = (Span){ start, n };
}

/* Documents being read, and the place to name. */
typedef struct { Documents *documents; const char *path; } JsonlReader;

/* Puts the "text" of the JSON line in the line's own place: decoded, it is never longer than that. */
static int decode_line(void *context, json_t *line, Span span, int number)
{
    const JsonlReader *reader = context;
    const json_t *text = json_object_get(line, "text");
    if (!json_is_string(text))
        FAIL(ERR_FORMAT, "%s:%d: no \"text\" that is a string; each line must look like {\"text\": \"...\"} (questions and choices: protocol choices or answers)",
             reader->path, number);
    size_t n = json_string_length(text);
    assert(n <= span.n);
    memcpy(reader->documents->text.bytes + span.start, json_string_value(text), n);
    push_span(reader->documents, span.start, n);
    return OK;
}

int documents_read_jsonl(Documents *out, const char *path)
{
    Documents documents = { 0 };
    TRY(text_read(&documents.text, path));
    JsonlReader reader = { &documents, path };
    int status = json_lines(&documents.text, path, true, decode_line, &reader);
    if (status == OK) *out = documents;
    else documents_free(&documents);
    return status;
}

void documents_split(Documents *out, Text *text, const char *mark)
{
    assert(*mark);
    *out = (Documents){ .text = *text };
    *text = (Text){ 0 };
    size_t length = strlen(mark), at = 0;
    const char *bytes = out->text.bytes, *found;
    while ((found = memmem(bytes + at, out->text.n - at, mark, length))) {
        push_span(out, at, (size_t)(found - bytes) - at);
        at = (size_t)(found - bytes) + length;
    }
    push_span(out, at, out->text.n - at);
}

void documents_strip(Documents *documents)
{
    int kept = 0;
    for (int i = 0; i < documents->n; i++) {
        Span span = documents->span[i];
        const char *bytes = documents->text.bytes;
        while (span.n && is_white(bytes[span.start])) span.start++, span.n--;
        while (span.n && is_white(bytes[span.start + span.n - 1])) span.n--;
        if (span.n) documents->span[kept++] = span;
    }
    documents->n = kept;
}

void documents_join(Text *out, const Documents *documents, const char *glue)
{
    size_t length = strlen(glue), n = 0;
    for (int i = 0; i < documents->n; i++) n += documents->span[i].n + length;
    Text text = { .bytes = xmalloc(n) };
    for (int i = 0; i < documents->n; i++) {
        Span span = documents->span[i];
        if (i) memcpy(text.bytes + text.n, glue, length), text.n += length;
        memcpy(text.bytes + text.n, documents->text.bytes + span.start, span.n);
        text.n += span.n;
    }
    *out = text;
}

/* One word of an .ids file: what stands between blanks and commas.  Digits past the buffer are lost;
 * a number that long is out of range with those that are kept. */
typedef struct { char text[24]; size_t n; } Word;

static void add_character(Word *word, int c)
{
    if (word->n < sizeof word->text - 1) word->text[word->n++] = (c >= ' ' && c < 127) ? (char)c : '?';
}

static int push_word(IdLists *lists, Word *word, const char *path, long long line, int vocabulary)
{
    word->text[word->n] = 0;
    if (strspn(word->text, "0123456789") != word->n)
        FAIL(ERR_FORMAT, "%s:%lld: '%s' is not a token id; ids are whole numbers separated by blanks or commas", path, line, word->text);
    errno = 0;
    unsigned long long value = strtoull(word->text, NULL, 10);
    unsigned long long limit = vocabulary > 0 ? (unsigned)vocabulary : (unsigned)INT32_MAX;
    if (errno || value >= limit)
        FAIL(ERR_FORMAT, "%s:%lld: token id %s is not below the vocabulary of %llu", path, line, word->text, limit);
    if (lists->ids.n == LARGEST) FAIL(ERR_UNSUPPORTED, "%s:%lld: more than %d token ids; give a part of them", path, line, LARGEST);
    ids_push(&lists->ids, (int32_t)value);
    word->n = 0;
    return OK;
}

static int64_t list_length(const IdLists *lists)            /* of the list that is not ended yet */
{
    return lists->ids.n - (lists->n ? lists->start[lists->n] : 0);
}

static int end_line(IdLists *lists, const char *path, long long line, int shortest)
{
    int64_t n = list_length(lists);
    if (n == 0) return OK;
    if (n < shortest)
        FAIL(ERR_FORMAT, "%s:%lld: a single token id predicts nothing; a line needs at least %d", path, line, shortest);
    id_lists_end(lists);
    return OK;
}

static int read_lists(IdLists *lists, gzFile file, const char *path, int vocabulary, int shortest, int max_lists)
{
    Word word = { .n = 0 };
    long long line = 1;
    int c;
    do {
        c = gzgetc(file);
        bool ends_line = c == '\n' || c < 0;
        if (!ends_line && c != ',' && !is_white((char)c)) {
            add_character(&word, c);
            continue;
        }
        if (word.n) TRY(push_word(lists, &word, path, line, vocabulary));
        if (ends_line) TRY(end_line(lists, path, line++, shortest));
    } while (c >= 0 && !(max_lists > 0 && lists->n == max_lists));
    return OK;
}

int id_lists_read(IdLists *out, const char *path, int vocabulary, int shortest, int max_lists)
{
    gzFile file;
    TRY(file_open(&file, path));
    IdLists lists = { 0 };
    int status = read_lists(&lists, file, path, vocabulary, shortest, max_lists);
    int damage = file_check(file, path);                    /* the cause, where a word was cut in two by it */
    if (damage != OK) status = damage;
    gzclose(file);
    if (status == OK && lists.n == 0) status = err_set(ERR_FORMAT, "%s: holds no token ids", path);
    if (status == OK) *out = lists;
    else id_lists_free(&lists);
    return status;
}

void id_lists_end(IdLists *lists)
{
    int count = ++lists->n;
    if ((count & (count - 1)) == 0)                         /* start[] holds count + 1: full at 1, 2, 4, 8 ... */
        lists->start = xrealloc(lists->start, (2 * (size_t)count) * sizeof *lists->start);
    lists->start[0] = 0;
    lists->start[count] = lists->ids.n;
}

size_t text_mark(const Text *text) { return text->n >= 3 && !memcmp(text->bytes, "\xef\xbb\xbf", 3) ? 3 : 0; }

void text_free(Text *text)
{
    if (!text) return;
    free(text->bytes);
    *text = (Text){ 0 };
}

void documents_free(Documents *documents)
{
    if (!documents) return;
    text_free(&documents->text);
    free(documents->span);
    *documents = (Documents){ 0 };
}

void id_lists_free(IdLists *lists)
{
    if (!lists) return;
    ids_free(&lists->ids);
    free(lists->start);
    *lists = (IdLists){ 0 };
}
