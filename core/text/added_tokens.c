#include "core/text/added_tokens.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

void added_tokens_add(AddedTokens *a, const AddedToken *flags, const char *text, size_t n)
{
    assert(n > 0);
    if (a->n == a->capacity) {
        a->capacity = a->capacity ? 2 * a->capacity : 16;
        a->token = xrealloc(a->token, (size_t)a->capacity * sizeof *a->token);
    }
    AddedToken *token = &a->token[a->n++];
    *token = *flags;
    token->text = (Bytes){ 0 };
    bytes_append(&token->text, text, n);
}

void added_tokens_remove(AddedTokens *a, int32_t id)
{
    int kept = 0;
    for (int i = 0; i < a->n; i++) {
        if (a->token[i].id == id) bytes_free(&a->token[i].text);
        else a->token[kept++] = a->token[i];
    }
    a->n = kept;
}

void added_tokens_free(AddedTokens *a)
{
    for (int i = 0; i < a->n; i++) bytes_free(&a->token[i].text);
    free(a->token);
    *a = (AddedTokens){ 0 };
}

/* By first byte, then the longest first, so that the first that matches is the one. */
static int compare(const void *left, const void *right)
{
    const Bytes *a = &((const AddedToken *)left)->text, *b = &((const AddedToken *)right)->text;
    if (a->data[0] != b->data[0]) return (unsigned char)a->data[0] < (unsigned char)b->data[0] ? -1 : 1;
    return (a->n < b->n) - (a->n > b->n);
}

void added_tokens_sort(AddedTokens *a)
{
    if (a->n) qsort(a->token, (size_t)a->n, sizeof *a->token, compare);
    int i = 0;
    for (int byte = 0; byte <= 256; byte++) {
        while (i < a->n && (unsigned char)a->token[i].text.data[0] < byte) i++;
        a->first[byte] = i;
    }
}

static const AddedToken *match_at(const AddedTokens *a, const char *text, size_t n, bool specials)
{
    unsigned char byte = (unsigned char)text[0];
    for (int i = a->first[byte]; i < a->first[byte + 1]; i++) {
        const AddedToken *token = &a->token[i];
        if ((specials || !token->special) && token->text.n <= n && memcmp(token->text.data, text, token->text.n) == 0) return token;
    }
    return NULL;
}

static size_t strip_left(const char *text, size_t from, size_t start)
{
    while (start > from) {
        size_t i = start - 1;
        while (i > from && ((unsigned char)text[i] & 0xc0) == 0x80) i--;
        int32_t point;
        if (utf8_character(text + i, start - i, &point) != start - i || !point_is_space(point)) break;
        start = i;
    }
    return start;
}

static size_t strip_right(const char *text, size_t end, size_t n)
{
    while (end < n) {
        int32_t point;
        size_t length = utf8_character(text + end, n - end, &point);
        if (length == 0 || !point_is_space(point)) break;
        end += length;
    }
    return end;
}

bool added_tokens_next(AddedMatch *out, const AddedTokens *a, const char *text, size_t n, size_t from, bool specials)
{
    if (a->n == 0) return false;
    for (size_t i = from; i < n; i++) {
        const AddedToken *token = match_at(a, text + i, n - i, specials);
        if (!token) continue;
        size_t end = i + token->text.n;
        *out = (AddedMatch){ token->strip_left ? strip_left(text, from, i) : i, token->strip_right ? strip_right(text, end, n) : end, token->id };
        return true;
    }
    return false;
}
