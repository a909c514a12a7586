/*
 * added_tokens.h - tokens that are found in the text before anything else: special ones, user-defined ones
 *
 * Where several match, the leftmost counts, of those the longest.
 */
#ifndef CORE_TEXT_ADDED_TOKENS_H
#define CORE_TEXT_ADDED_TOKENS_H

#include "core/text/bytes.h"

typedef struct {
    Bytes text;
    int32_t id;
    bool special;                   /* only text where the caller does not parse specials            */
    bool strip_left, strip_right;   /* swallow the white space beside them                           */
} AddedToken;

typedef struct {
    AddedToken *token;
    int n, capacity;
    int first[257];                 /* tokens that open with byte b are first[b] .. first[b + 1] - 1 */
} AddedTokens;                      /* zero-initialise; added_tokens_free when done                  */

typedef struct { size_t start, end; int32_t id; } AddedMatch;

/* Copies text, n > 0.  added_tokens_sort must follow before the first search. */
void added_tokens_add(AddedTokens *tokens, const AddedToken *flags, const char *text, size_t n);
void added_tokens_remove(AddedTokens *tokens, int32_t id);
void added_tokens_sort(AddedTokens *tokens);
void added_tokens_free(AddedTokens *tokens);

/* The first match at or after from in text[0..n); false where there is none. */
bool added_tokens_next(AddedMatch *out, const AddedTokens *tokens, const char *text, size_t n, size_t from, bool specials);

#endif
