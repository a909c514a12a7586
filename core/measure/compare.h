/*
 * compare.h - losses of one model on a text, or of two models on the same text, in one go
 *
 * For `ppl` and `kl`: nothing is perturbed or kept, so the text passes in slices that fit the memory,
 * however long it is.  Definitions as in study.h; what comes out does not depend on the slices.
 */
#ifndef CORE_MEASURE_COMPARE_H
#define CORE_MEASURE_COMPARE_H

#include "core/model/model.h"
#include "core/text/corpus.h"
#include "kernels/kernels.h"

typedef struct {
    int n_windows;
    double *nll;                    /* [n_windows] of the model                                  */
    double *other_nll, *kl, *same_top;      /* [n_windows] of the other one; NULL without it      */
} Comparison;

/* Called after each segment with its number of inputs. */
typedef void (*CompareProgress)(void *context, double inputs);

/* other may be NULL.  Both must have the same vocabulary and width of context needed.
 * ERR_MEMORY, ERR_FORMAT (not finite), ERR_ARGUMENT (not the same vocabulary), ERR_INTERRUPTED. */
int compare_models(Comparison *out, const Model *model, const Model *other, const Corpus *corpus, const Kernels *kernels,
                   int64_t memory, CompareProgress progress, void *context);
void comparison_free(Comparison *comparison);

#endif
