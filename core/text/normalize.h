/*
 * normalize.h - what a tokenizer does to text before splitting it: NFC, a prefix, a replacement
 */
#ifndef CORE_TEXT_NORMALIZE_H
#define CORE_TEXT_NORMALIZE_H

#include "core/text/bytes.h"

typedef enum { NORMALIZE_NFC, NORMALIZE_PREPEND, NORMALIZE_REPLACE } NormalizeKind;

typedef struct {
    NormalizeKind kind;
    Bytes from, to;                 /* PREPEND puts `to` in front of text that is not empty; REPLACE every `from` by `to` */
} NormalizeStep;

typedef struct { NormalizeStep *step; int n; } Normalizer;       /* zero-initialise; normalizer_free when done */

/* Copies the bytes.  REPLACE needs n_from > 0. */
void normalizer_add(Normalizer *normalizer, NormalizeKind kind, const char *from, size_t n_from, const char *to, size_t n_to);
void normalizer_free(Normalizer *normalizer);

/* Writes the normalized text[0..n), which must be UTF-8, to *out (replaced).  out->data is not text. */
void normalizer_apply(Bytes *out, const Normalizer *normalizer, const char *text, size_t n);

#endif
