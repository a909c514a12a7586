/*
 * bpe.h - byte-pair merging: of all neighbours that may merge, always the pair of lowest rank, the leftmost first
 */
#ifndef CORE_TEXT_BPE_H
#define CORE_TEXT_BPE_H

#include <stdint.h>

typedef struct { uint64_t pair; uint32_t rank; int32_t merged; } Merge;

typedef struct {
    Merge *slot;                    /* open addressing; merged = -1 marks an empty slot */
    uint64_t n_slots, n;
} Merges;                           /* zero-initialise; merges_free when done           */

/* left right -> merged.  A pair given twice keeps its last rank, as the tokenizers library does. */
void merges_put(Merges *merges, int32_t left, int32_t right, uint32_t rank, int32_t merged);
void merges_free(Merges *merges);

/* The letters of one word, to be merged in place; one for many words, so that memory is kept. */
typedef struct { int32_t id, previous, next; uint32_t rank; } Symbol;
typedef struct {
    Symbol *symbol;
    uint64_t *heap;                 /* rank << 32 | position of the pair's left symbol  */
    int64_t n, capacity;
    int64_t n_heap, heap_capacity;
} Word;                             /* zero-initialise; word_free when done             */

/* Starts over: word->n = 0.  A word holds at most INT32_MAX symbols; the caller sees to that. */
void word_clear(Word *word);
void word_push(Word *word, int32_t id);
void word_free(Word *word);

/* Merges until no pair may; word->n and symbol[].id are then the result.  O(n log n). */
void word_merge(Word *word, const Merges *merges);

#endif
