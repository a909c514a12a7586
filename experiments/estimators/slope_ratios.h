/*
 * slope_ratios.h - slopes of the loss at an operating point over those at the clean weights, drawn toward those of like layers
 *
 * Raw ratios of a few windows are too noisy to allocate by.  Shrunken ones are drawn toward layers of the same type and fifth of the
 * depth (shrink.h).  Not as logarithms: slopes may be negative, and leaving those out took the total from 2.0 to 2.6 times that of small
 * noise (3 windows, 210 layers, 3 bits).  And with one standard error for the layers of a group: those of a few windows are as
 * uncertain as the values (with them 5-95 % of layers were at .5-4.3 instead of .9-3.8).
 */
#ifndef EXPERIMENTS_SLOPE_RATIOS_H
#define EXPERIMENTS_SLOPE_RATIOS_H

#include "experiments/experiment.h"

/* All [run->n_layers]: ratio[i] of layer run->layer[i]; shrunk values, and their posterior standard deviations in the field se. */
void shrink_slope_ratios(Mean *shrunk, const Mean *ratio, const Run *run);

#endif
