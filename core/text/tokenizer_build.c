/* tokenizer_build.c - what the readers of both kinds of file put into a Tokenizer */
#include <string.h>

#include "core/base/err.h"
#include "core/text/tokenizer_parts.h"

int tokenizer_add(Tokenizer *t, int64_t id, const char *text, size_t n, const AddedToken *flags, bool normalized)
{
    TRY(vocabulary_put(&t->vocabulary, id, text, n));
    if (n == 0) return OK;
    Token *token = &t->vocabulary.token[id];
    token->added = true;
    token->special = flags->special;
    AddedToken added = *flags;
    added.id = (int32_t)id;
    added_tokens_remove(&t->added, added.id);
    added_tokens_remove(&t->added_normalized, added.id);
    if (!normalized) {
        added_tokens_add(&t->added, &added, text, n);
        return OK;
    }
    if (utf8_valid_prefix(text, n) < n) FAIL(ERR_FORMAT, "added token %lld is not UTF-8", (long long)id);
    Bytes form = { 0 };
    normalizer_apply(&form, &t->normalizer, text, n);
    if (form.n) added_tokens_add(&t->added_normalized, &added, form.data, form.n);
    bytes_free(&form);
    return OK;
}

int tokenizer_add_merge(Tokenizer *t, size_t rank, const char *left, size_t n_left, const char *right, size_t n_right)
{
    if (rank >= UINT32_MAX) FAIL(ERR_FORMAT, "more than 2^32 - 2 merges");
    Bytes *joined = &t->decoded;                /* lent as scratch while the file is read */
    joined->n = 0;
    bytes_append(joined, left, n_left);
    bytes_append(joined, right, n_right);
    const struct { const char *text; size_t n; } part[3] = { { left, n_left }, { right, n_right }, { joined->data, joined->n } };
    int32_t id[3];
    for (int i = 0; i < 3; i++) {
        id[i] = vocabulary_find(&t->vocabulary, part[i].text, part[i].n);
        if (id[i] < 0)
            FAIL(ERR_FORMAT, "merge %zu ('%.*s' with '%.*s') needs the token '%.*s', which is not in the vocabulary", rank,
                 (int)n_left, left, (int)n_right, right, (int)part[i].n, part[i].text);
    }
    merges_put(&t->merges, id[0], id[1], (uint32_t)rank, id[2]);
    return OK;
}

int tokenizer_add_merge_line(Tokenizer *t, size_t rank, const char *line, size_t n)
{
    const char *blank = memchr(line, ' ', n);
    size_t n_left = blank ? (size_t)(blank - line) : 0, n_right = n - n_left - 1;
    if (n_left == 0 || n_right == 0 || memchr(blank + 1, ' ', n_right))
        FAIL(ERR_FORMAT, "merge %zu ('%.*s') is not two tokens with a blank between", rank, (int)n, line);
    return tokenizer_add_merge(t, rank, line, n_left, blank + 1, n_right);
}
