#include "core/saliency/mask.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/largest.h"

int64_t mask_weights(const Model *model)
{
    int64_t n = 0;
    for (int l = 0; l < model_layer_count(model); l++) n += model_layer(model, l)->rows * model_layer(model, l)->cols;
    return n;
}

int64_t mask_count(double ratio, int64_t weights) { return (int64_t)floor(ratio * (double)weights); }

static int64_t *places_of(const TopK *ranking, int64_t k)
{
    int64_t *place = xmalloc(sizeof *place * (size_t)(k ? k : 1)), n = 0;
    LargestBar bar = largest_bar(ranking->score, ranking->n, k);
    for (int64_t i = 0; i < ranking->n; i++) {
        const uint32_t bits = magnitude_bits(ranking->score[i]);
        if (bits > bar.bits || (bits == bar.bits && bar.ties-- > 0)) place[n++] = ranking->place[i];
    }
    return place;
}

void mask_make(Mask *out, const Model *model, const TopK *ranking, int64_t k)
{
    *out = (Mask){ .n_layers = model_layer_count(model) };
    out->layer = xmalloc(sizeof *out->layer * (size_t)out->n_layers);
    int64_t *place = places_of(ranking, k), first = 0, at = 0;
    for (int l = 0; l < out->n_layers; l++) {
        const Layer *layer = model_layer(model, l);
        const int64_t weights = layer->rows * layer->cols, begin = at;
        for (; at < k && place[at] < first + weights; at++) place[at] -= first;
        out->layer[l] = kept_of_places(place + begin, at - begin, layer->rows, layer->cols);
        first += weights;
    }
    free(place);
}

void mask_free(Mask *mask)
{
    for (int l = 0; l < mask->n_layers; l++) kept_free(&mask->layer[l]);
    free(mask->layer);
    *mask = (Mask){ 0 };
}
