/*
 * replacement.h - the weights that a map puts in the place of layers, as a patch of the network
 *
 *     W + factor (W^ - W),  W^ = what the layer's perturbation makes of W, factor = +-scale: 1, or negative where mirrored
 */
#ifndef CORE_MEASURE_REPLACEMENT_H
#define CORE_MEASURE_REPLACEMENT_H

#include "core/measure/study.h"

typedef struct {
    Study *study;
    const LayerMap *map;
    Calibration *sequential;        /* inputs of the model as it is replaced so far; NULL before something asks for them */
    const MapEntry **of_layer;      /* [layers] NULL where the layer stays clean       */
    PerturbationError *error;       /* [entries][windows]; weights that all windows share are in window 0 */
    Patch patch;                    /* borrows all this */
} Replacement;

/* The study and the map must outlive it. */
void replacement_init(Replacement *out, Study *study, const LayerMap *map);
void replacement_free(Replacement *replacement);

/* The error of an entry in a window, once its weights have been made. */
const PerturbationError *replacement_error(const Replacement *replacement, int entry, int window);

/* What a map multiplies every error by. */
double replacement_factor(const LayerMap *map);

/* Does each window have weights of its own? */
bool replacement_per_window(const MapEntry *entry);

/* "gaussian{version=1,t2=0.01,..} seed 1 draw 0": all that what a perturbation does to given weights depends on.  The caller frees. */
char *perturbation_text(const Study *study, const Perturbation *perturbation, const Options *options, int draw);

/* "blocks.3.q=gaussian{version=1,t2=0.01,..} seed 1 draw 0": what this entry's weights depend on.  The caller frees. */
char *replacement_text(const Study *study, const MapEntry *entry, const LayerMap *map);

#endif
