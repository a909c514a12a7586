/*
 * sample_text.h - text that a model writes itself
 *
 * A sampled window is one whole sample of the model conditioned on its own first token, so that the
 * model is calibrated on it by construction.  The first token must be an ordinary one: a special start
 * token draws attention to itself and inflates the coefficients of the first block several hundred times.
 * Here it is drawn uniformly from the 1000 lowest ids that read as a blank and lower-case letters
 * (the commonest words of a byte-pair vocabulary).
 */
#ifndef EXPERIMENTS_SAMPLE_TEXT_H
#define EXPERIMENTS_SAMPLE_TEXT_H

#include "core/model/model.h"
#include "kernels/kernels.h"

/* ids [windows][length] of windows [first, first + windows), first a multiple of SAMPLE_GROUP.  A window follows from the
 * model, its number, length and seed, whoever else is sampled.  otherwise: what does without a tokenizer, for the
 * sentence where there is none. */
int sample_text(int32_t *ids, const Model *model, const Kernels *kernels, int64_t memory, int first, int windows, int length, uint64_t seed,
                const char *otherwise);

#endif
