/*
 * masks.h - masks of a model's largest scores as choices ask for them: made once, kept as long as others may ask again
 *
 * A ranking holds the weights of largest score with their scores, more of them than one mask takes, so that masks that
 * differ in their share alone are cut from one ranking: what is dear are the quantized weights that scores look at.  Rankings go when others
 * come; masks stay, for choices ask for theirs layer by layer, all by turns.
 */
#ifndef CORE_MEASURE_MASKS_H
#define CORE_MEASURE_MASKS_H

#include "core/base/stage.h"
#include "core/measure/evidence.h"
#include "core/saliency/mask.h"

enum { MOST_RANKINGS = 4 };

typedef struct { char *text; TopK top; } Ranking;
typedef struct { char *text; Mask mask; } NamedMask;
typedef struct {
    int next_ranking;               /* rankings made so far: the next takes the place of the oldest */
    Ranking ranking[MOST_RANKINGS];
    int n_masks;
    NamedMask *mask;                /* [n_masks] */
    KeptWeights nothing;            /* of a layer of most rows; NULL before it is asked for */
    StageCost quantizing, ranking_cost;         /* of the models that scores look at; of scores and their largest */
} Masks;

void masks_free(Masks *masks);

/* Bytes of so many masks, each with a ranking of its own as long as there is room for it, which keep so many weights together, the largest of them
 * `most`, of a model's `weights`; a ranking at work beside the others included. */
int64_t masks_bytes(int64_t weights, int n_masks, int64_t kept, int64_t most);

/* What an entry keeps of its layer.  Borrowed until the next call. */
int masks_kept(const KeptWeights **out, Masks *masks, EvidenceSource *source, const MapEntry *entry);

#endif
