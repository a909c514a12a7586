/*
 * masks.h - masks of a model's largest scores as choices ask for them: made once, kept as long as others may ask again
 *
 * A ranking holds the weights of largest score with their scores, more of them than one mask takes, so that masks that
 * differ in their share alone are cut from one ranking: what is dear are the quantized weights that scores look at.
 */
#ifndef CORE_MEASURE_MASKS_H
#define CORE_MEASURE_MASKS_H

#include "core/base/stage.h"
#include "core/measure/evidence.h"
#include "core/saliency/mask.h"

enum { MOST_RANKINGS = 4, MOST_MASKS = 4 };

typedef struct { char *text; TopK top; } Ranking;
typedef struct { char *text; Mask mask; } NamedMask;
typedef struct {
    int next_ranking, next_mask;    /* which goes when another comes */
    Ranking ranking[MOST_RANKINGS];
    NamedMask mask[MOST_MASKS];
    KeptWeights nothing;            /* of a layer of most rows; NULL before it is asked for */
    StageCost quantizing, ranking_cost;         /* of the models that scores look at; of scores and their largest */
} Masks;

void masks_free(Masks *masks);

/* Bytes of all rankings and masks, of choices that keep little; a ranking at work, beside those that there are, takes twice what it leaves. */
int64_t masks_bytes(const ModelShape *shape);

/* What an entry keeps of its layer.  Borrowed until the next call. */
int masks_kept(const KeptWeights **out, Masks *masks, EvidenceSource *source, const MapEntry *entry);

#endif
