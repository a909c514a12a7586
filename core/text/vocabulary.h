/*
 * vocabulary.h - token strings by id and ids by string
 */
#ifndef CORE_TEXT_VOCABULARY_H
#define CORE_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/text/bytes.h"

enum { VOCABULARY_LIMIT = 1 << 24 };        /* ids beyond this are damage, not a vocabulary */

typedef struct {
    size_t start;                           /* in Vocabulary.text                            */
    uint32_t length;
    bool used;                              /* false: no token has this id                   */
    bool added, special;                    /* found in text before all else; a special one  */
} Token;

typedef struct {
    Bytes text;                             /* all strings, one after the other              */
    Token *token;                           /* [n], by id; gaps are not used                 */
    int32_t n, capacity;                    /* largest id + 1                                */
    int32_t *slot;                          /* open addressing: id + 1, 0 for an empty slot  */
    uint32_t n_slots, n_filled;
} Vocabulary;                               /* zero-initialise; vocabulary_free when done    */

/* Gives text[0..n) the id.  Of two ids with the same text the later is found again.
 * ERR_FORMAT where the id is out of range or already has another text. */
int vocabulary_put(Vocabulary *vocabulary, int64_t id, const char *text, size_t n);
void vocabulary_free(Vocabulary *vocabulary);

/* The id of text[0..n), -1 where there is none. */
int32_t vocabulary_find(const Vocabulary *vocabulary, const char *text, size_t n);

/* The text of an id, its length to *n; NULL for an id that has none. */
const char *vocabulary_text(const Vocabulary *vocabulary, int32_t id, size_t *n);

#endif
