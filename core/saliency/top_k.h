/*
 * top_k.h - exactly the K largest of many scores, without a sort and without holding them all
 *
 * Scores come piece by piece, in the order of their places.  Kept are the K largest so far and at most as many candidates again; when those are
 * full, the K-th largest is found (core/base/largest.h).  Of equal scores the earlier place is kept.
 *
 * Memory: 12 bytes for each of 2 K + 2^16 candidates, or of all scores where these are fewer; of K in the end.  Time: linear.
 */
#ifndef CORE_SALIENCY_TOP_K_H
#define CORE_SALIENCY_TOP_K_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t k, n, room;
    float *score;                   /* [n] in the order of their places */
    int64_t *place;                 /* [n] ascending                    */
    bool full;                      /* k were found already: candidates are above the bar, the bits of the k-th largest then */
    uint32_t bar;
} TopK;

/* k >= 0 of n scores in all. */
void top_k_init(TopK *out, int64_t k, int64_t n);
int64_t top_k_bytes(int64_t k, int64_t n);             /* until the end of adding */
void top_k_free(TopK *top);

/* Scores [n] of the places first .. first + n, which lie behind all places so far; each >= 0 and finite. */
void top_k_add(TopK *top, const float *score, int64_t n, int64_t first);

/* Only the k largest stay (all, where there are fewer), k at most that of top_k_init. */
void top_k_keep(TopK *top, int64_t k);

/* The end of adding: keeps what top_k_keep with the k of top_k_init does, in no more memory than that takes. */
void top_k_finish(TopK *top);

#endif
