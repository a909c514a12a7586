/*
 * ppl_law.h - the perplexity that a predicted KL stands for, on the scale of the paper and on that of its logarithm
 *
 *     linear        PPL0 (1 + c S)          arXiv 2411.17525: PPL grows as sum_l alpha_l t_l^2
 *     exponential   PPL0 exp(c S)           the NLL does
 *
 * PPL0 = exp(mean clean NLL); S: predicted KL; c = mean delta-NLL / mean KL of a small error measured on the same
 * windows.  Standard errors leave out one window at a time, so what the three share of the text is counted once.
 */
#ifndef CORE_ESTIMATE_PPL_LAW_H
#define CORE_ESTIMATE_PPL_LAW_H

#include <stdint.h>

typedef enum { PPL_LINEAR, PPL_EXPONENTIAL } PplScale;

/* Losses by window, [n_windows] each, nats/token; borrowed. */
typedef struct {
    int n_windows;
    const int64_t *tokens;
    const double *clean;            /* NLL                          */
    const double *kl;               /* predicted                    */
    const double *small_delta, *small_kl;       /* of the small error */
} PplLaw;

/* The perplexity and its standard error (NaN for one window). */
double ppl_law(double *se, const PplLaw *law, PplScale scale);

#endif
