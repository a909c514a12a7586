#include "core/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

static uint32_t hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;                   /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ (h >> 32));
}

/* The slot that holds this text, or the empty one where it belongs.  n_slots is a power of two. */
static uint32_t find_slot(const Vocabulary *v, const char *text, size_t n)
{
    uint32_t i = hash(text, n) & (v->n_slots - 1);
    for (; v->slot[i]; i = (i + 1) & (v->n_slots - 1)) {
        const Token *token = &v->token[v->slot[i] - 1];
        if (token->length == n && memcmp(v->text.data + token->start, text, n) == 0) break;
    }
    return i;
}

static void grow_slots(Vocabulary *v)
{
    int32_t *old = v->slot;
    uint32_t n_old = v->n_slots;
    v->n_slots = n_old ? 2 * n_old : 1024;
    v->slot = xcalloc(v->n_slots, sizeof *v->slot);
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i]) {
            const Token *token = &v->token[old[i] - 1];
            v->slot[find_slot(v, v->text.data + token->start, token->length)] = old[i];
        }
    free(old);
}

static void grow_tokens(Vocabulary *v, int32_t n)
{
    if (n > v->capacity) {
        v->capacity = n < 512 ? 1024 : 2 * n;
        v->token = xrealloc(v->token, (size_t)v->capacity * sizeof *v->token);
    }
    for (; v->n < n; v->n++) v->token[v->n] = (Token){ 0 };
}

int vocabulary_put(Vocabulary *v, int64_t id, const char *text, size_t n)
{
    if (id < 0 || id >= VOCABULARY_LIMIT)
        FAIL(ERR_FORMAT, "token '%.*s' has id %lld, outside 0..%d", n < 64 ? (int)n : 64, text, (long long)id, VOCABULARY_LIMIT - 1);
    if (n > UINT32_MAX) FAIL(ERR_FORMAT, "token %lld is longer than 4 GiB", (long long)id);
    if (id < v->n && v->token[id].used) {
        if (v->token[id].length == n && memcmp(v->text.data + v->token[id].start, text, n) == 0) return OK;
        FAIL(ERR_FORMAT, "id %lld belongs to two tokens, '%.*s' and '%.*s'", (long long)id,
             (int)(v->token[id].length < 64 ? v->token[id].length : 64), v->text.data + v->token[id].start, (int)(n < 64 ? n : 64), text);
    }
    if (id >= v->n) grow_tokens(v, (int32_t)id + 1);
    if (2 * (v->n_filled + 1) > v->n_slots) grow_slots(v);

    uint32_t slot = find_slot(v, text, n);
    if (!v->slot[slot]) v->n_filled++;
    v->token[id] = (Token){ .start = v->text.n, .length = (uint32_t)n, .used = true };
    bytes_append(&v->text, text, n);
    v->slot[slot] = (int32_t)id + 1;
    return OK;
}

void vocabulary_free(Vocabulary *v)
{
    bytes_free(&v->text);
    free(v->token);
    free(v->slot);
    *v = (Vocabulary){ 0 };
}

int32_t vocabulary_find(const Vocabulary *v, const char *text, size_t n)
{
    return v->n_slots ? v->slot[find_slot(v, text, n)] - 1 : -1;
}

const char *vocabulary_text(const Vocabulary *v, int32_t id, size_t *n)
{
    if (id < 0 || id >= v->n || !v->token[id].used) return NULL;
    *n = v->token[id].length;
    return *n ? v->text.data + v->token[id].start : "";
}
