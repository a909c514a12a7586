#include "core/text/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/err.h"
#include "core/text/byte_alphabet.h"
#include "core/text/tokenizer_parts.h"

void ids_push(Ids *ids, int32_t id)
{
    if (ids->n == ids->capacity) {
        ids->capacity = ids->capacity ? 2 * ids->capacity : 256;
        ids->id = xrealloc(ids->id, (size_t)ids->capacity * sizeof *ids->id);
    }
    ids->id[ids->n++] = id;
}

void ids_free(Ids *ids)
{
    free(ids->id);
    *ids = (Ids){ 0 };
}

static int32_t find_byte(const Tokenizer *t, int byte)
{
    if (!t->byte_level) {
        char name[8];
        return vocabulary_find(&t->vocabulary, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", byte));
    }
    Bytes letter = { 0 };
    byte_alphabet_write(&letter, &(char){ (char)byte }, 1);
    int32_t id = vocabulary_find(&t->vocabulary, letter.data, letter.n);
    bytes_free(&letter);
    return id;
}

/* True where no merge can reach across the place before a mark that follows other text, so that
 * merging the parts is merging the whole.  Llama-2's text is one word of any length; this makes it
 * many short ones, which stay in the cache. */
static bool can_cut_at_marks(const Tokenizer *t)
{
    const size_t n_mark = strlen(BLANK_MARK);
    if (vocabulary_find(&t->vocabulary, BLANK_MARK, n_mark) < 0) return false;
    for (int32_t id = 0; id < t->vocabulary.n; id++) {
        size_t n, i = 0;
        const char *text = vocabulary_text(&t->vocabulary, id, &n);
        if (!text) continue;
        while (n - i >= n_mark && memcmp(text + i, BLANK_MARK, n_mark) == 0) i += n_mark;
        if (memmem(text + i, n - i, BLANK_MARK, n_mark)) return false;
    }
    return true;
}

static int finish(Tokenizer *t)
{
    if (t->vocabulary.n == 0) FAIL(ERR_FORMAT, "the vocabulary is empty");
    for (int byte = 0; byte < 256; byte++) t->byte_id[byte] = find_byte(t, byte);
    t->cut_at_marks = !t->byte_level && !t->ignore_merges && can_cut_at_marks(t);
    added_tokens_sort(&t->added);
    added_tokens_sort(&t->added_normalized);
    return OK;
}

static int read_directory(Tokenizer *t, const char *directory)
{
    char *vocabulary = xformat("%s/tokenizer.json", directory), *config = xformat("%s/tokenizer_config.json", directory);
    int status = tokenizer_read_json(t, vocabulary);
    if (status == OK) status = tokenizer_read_config(t, config);
    free(vocabulary);
    free(config);
    return status;
}

/* A tokenizer.json named by itself is read with the configuration that lies beside it. */
static int read_beside(Tokenizer *t, const char *path)
{
    TRY(tokenizer_read_json(t, path));
    const char *slash = strrchr(path, '/');
    char *config = xformat("%.*stokenizer_config.json", slash ? (int)(slash - path + 1) : 0, path);
    int status = tokenizer_read_config(t, config);
    free(config);
    return status;
}

static int read_any(Tokenizer *t, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode)) return read_directory(t, path);

    FILE *file = fopen(path, "rb");
    if (!file) FAIL(ERR_FILE, "%s: %s", path, strerror(errno));
    char magic[4] = { 0 };
    size_t n = fread(magic, 1, sizeof magic, file);
    fclose(file);
    return n == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0 ? tokenizer_read_gguf(t, path) : read_beside(t, path);
}

int tokenizer_open(Tokenizer **out, const char *path)
{
    Tokenizer *t = xcalloc(1, sizeof *t);
    t->unknown = t->bos = t->eos = -1;
    int status = read_any(t, path);
    if (status == OK && (status = finish(t)) != OK) err_context(status, "%s", path);
    if (status == OK) *out = t;
    else tokenizer_close(&t);
    return status;
}

void tokenizer_close(Tokenizer **tokenizer)
{
    Tokenizer *t = *tokenizer;
    if (!t) return;
    vocabulary_free(&t->vocabulary);
    merges_free(&t->merges);
    added_tokens_free(&t->added);
    added_tokens_free(&t->added_normalized);
    normalizer_free(&t->normalizer);
    pretokenizer_free(&t->pretokenizer);
    bytes_free(&t->decoded);
    free(t);
    *tokenizer = NULL;
}

/* Byte tokens are written <0x00> .. <0xFF>. */
static int byte_token(const Tokenizer *t, int32_t id, const char *text, size_t n)
{
    unsigned byte;
    if (!t->byte_fallback || n != 6 || sscanf(text, "<0x%2x>", &byte) != 1) return -1;
    return t->byte_id[byte] == id ? (int)byte : -1;
}

static void decode_marks(Bytes *out, const char *text, size_t n)
{
    const size_t n_mark = strlen(BLANK_MARK);
    for (size_t i = 0, length; i < n; i += length) {
        bool mark = n - i >= n_mark && memcmp(text + i, BLANK_MARK, n_mark) == 0;
        length = mark ? n_mark : 1;
        bytes_append(out, mark ? " " : text + i, 1);
    }
}

const char *tokenizer_decode(Tokenizer *t, int32_t id, size_t *n)
{
    *n = 0;
    size_t length;
    const char *text = vocabulary_text(&t->vocabulary, id, &length);
    if (!text) return "";
    Bytes *out = &t->decoded;
    out->n = 0;
    int byte = byte_token(t, id, text, length);
    if (byte >= 0) bytes_append(out, &(char){ (char)byte }, 1);
    else if (t->vocabulary.token[id].added) bytes_append(out, text, length);
    else if (t->blank_is_mark) decode_marks(out, text, length);
    else if (!t->byte_level || !byte_alphabet_read(out, text, length)) bytes_append(out, text, length);
    *n = out->n;
    return out->n ? out->data : "";
}

int32_t tokenizer_bos(const Tokenizer *t) { return t->bos; }
int32_t tokenizer_eos(const Tokenizer *t) { return t->eos; }
bool tokenizer_adds_bos(const Tokenizer *t) { return t->adds_bos; }
int tokenizer_vocabulary(const Tokenizer *t) { return t->vocabulary.n; }
bool tokenizer_is_special(const Tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocabulary.n && t->vocabulary.token[id].special;
}
